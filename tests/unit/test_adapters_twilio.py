"""Twilio's Call and ConferenceParticipant resources."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.vendor_rows import call, conference, outcome, outcomes, reason, usage

CALL: dict[str, Any] = {
    "sid": "CA00000000000000000000000000000001",
    "account_sid": "AC1",
    "direction": "outbound-api",
    "status": "completed",
    "duration": "65",
    "start_time": "Mon, 02 Mar 2026 09:12:03 +0000",
    "end_time": "Mon, 02 Mar 2026 09:13:08 +0000",
    "from": "+14255550100",
    "to": "+442079460018",
    "price": "-0.03000",
    "price_unit": "USD",
    "parent_call_sid": None,
}
PARTICIPANT: dict[str, Any] = {
    "participant_sid": "CP1",
    "conference_sid": "CF1",
    "call_sid": "CA1",
    "account_sid": "AC1",
    "call_direction": "inbound",
    "from": "+12065550123",
    "to": "+14255550100",
    "call_status": "completed",
    "join_time": "2026-03-02T02:58:00Z",
    "leave_time": "2026-03-02T03:00:00Z",
    "duration_seconds": 120,
    "call_type": "carrier",
    "processing_state": "complete",
}


def test_a_list_of_calls_becomes_events() -> None:
    api, dial, inbound, failed, client = outcomes("twilio", "twilio-calls.json")
    assert (call(api).call_type, call(api).callee, call(api).connected_ms) == ("ucap_out", "+442079460018", 65_000)
    assert call(api).answered_at == datetime(2026, 3, 2, 9, 12, 3, tzinfo=UTC)
    assert (call(inbound).call_type, call(inbound).number_type) == ("ucap_in", "service_toll_free")
    assert call(dial).callee == "+33199001234"
    assert [reason(each) for each in (failed, client)] == ["not_answered", "not_pstn"]


def test_a_dialled_leg_shares_its_parents_call_and_keeps_its_own_id() -> None:
    api, dial, *_ = outcomes("twilio", "twilio-calls.json")
    assert call(dial).call_id == call(dial).correlation_id == call(api).leg_id
    assert usage(dial).event_id == call(dial).leg_id != call(api).leg_id


def test_the_duration_is_of_talking_also_where_the_start_is_of_ringing() -> None:
    dial = call(outcomes("twilio", "twilio-calls.json")[1])
    assert dial.connected_ms == 20_000
    assert dial.answered_at == datetime(2026, 3, 2, 9, 12, 40, tzinfo=UTC)


def test_prices_are_negative_strings_and_null_when_there_is_none() -> None:
    assert usage(outcome("twilio", CALL)).vendor_charge_micros == 30_000
    assert usage(outcome("twilio", CALL | {"price": None})).vendor_charge_micros is None
    assert reason(outcome("twilio", CALL | {"price": "free"})) == "schema_invalid"
    assert reason(outcome("twilio", CALL | {"price": "NaN"})) == "schema_invalid"
    assert reason(outcome("twilio", CALL | {"price": "-Infinity"})) == "schema_invalid"


@pytest.mark.parametrize(
    ("direction", "call_type"),
    [
        ("inbound", "ucap_in"),
        ("outbound-api", "ucap_out"),
        ("outbound-dial", "ucap_out"),
        ("trunking-originating", "user_in"),
        ("trunking-terminating", "user_out"),
    ],
)
def test_every_direction_is_known(direction: str, call_type: str) -> None:
    assert call(outcome("twilio", CALL | {"direction": direction})).call_type == call_type


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "busy", "price": None}, "not_answered"),
        ({"status": "no-answer"}, "not_answered"),
        ({"status": "canceled"}, "not_answered"),
        ({"status": "in-progress", "duration": ""}, "unfinished"),
        ({"to": "client:kevin"}, "not_pstn"),
        ({"to": "sip:1001@contoso.sip.example"}, "not_pstn"),
        ({"direction": "inbound", "from": "kevin"}, "not_pstn"),
        ({"direction": "sideways"}, "unknown_call_type"),
        ({"direction": None}, "unknown_call_type"),
        ({"to": "+0123456789"}, "number_invalid"),
        ({"to": "12345"}, "number_invalid"),
        ({"duration": ""}, "schema_invalid"),
        ({"duration": "1e3"}, "schema_invalid"),
        ({"duration": -5}, "schema_invalid"),
        ({"duration": "100"}, "inconsistent_times"),
        ({"start_time": None}, "schema_invalid"),
        ({"start_time": "yesterday"}, "time_invalid"),
        ({"sid": None}, "schema_invalid"),
    ],
)
def test_a_call_that_is_no_usage_or_damaged_says_why(fields: dict[str, Any], why: str) -> None:
    assert reason(outcome("twilio", CALL | fields)) == why


def test_a_withheld_caller_and_one_with_a_short_number_are_no_fault() -> None:
    for number in ("Anonymous", "12345", ""):
        assert call(outcome("twilio", CALL | {"direction": "inbound", "from": number})).caller == ""


def test_a_call_for_help_is_marked() -> None:
    data = call(outcome("twilio", CALL | {"to": "911"}))
    assert (data.emergency, data.callee) == (True, "911")


# Participants


def test_a_list_of_participants_becomes_conference_legs() -> None:
    out, toll_free, client, growing = outcomes("twilio", "twilio-participants.json")
    assert (conference(out).leg_kind, conference(out).remote_number) == ("dial_out", "+441632960961")
    assert conference(out).connected_ms == 64_000
    assert (conference(toll_free).leg_kind, conference(toll_free).bridge_number) == (
        "dial_in_toll_free",
        "+18005550199",
    )
    assert conference(out).conference_id == conference(toll_free).conference_id
    assert [reason(each) for each in (client, growing)] == ["not_pstn", "unfinished"]


def test_the_account_pays_for_its_conference_by_the_minute() -> None:
    data = conference(outcome("twilio", PARTICIPANT))
    assert (data.leg_kind, data.organizer_id, data.capability) == ("dial_in_toll", "AC1", "MCOMEETACPEA")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"call_status": "noanswer"}, "not_answered"),
        ({"call_status": "ringing"}, "unfinished"),
        ({"join_time": None}, "not_answered"),
        ({"call_direction": "up"}, "unknown_call_type"),
        ({"call_type": "sip"}, "not_pstn"),
        ({"to": "+1"}, "number_invalid"),
        ({"duration_seconds": 600}, "inconsistent_times"),
        ({"conference_sid": None}, "schema_invalid"),
        ({"account_sid": ""}, "schema_invalid"),
    ],
)
def test_a_participant_that_is_no_usage_or_damaged_says_why(fields: dict[str, Any], why: str) -> None:
    assert reason(outcome("twilio", PARTICIPANT | fields)) == why
