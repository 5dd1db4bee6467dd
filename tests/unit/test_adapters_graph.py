"""Rows of Microsoft Graph's call logs."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest

from processor.adapters import Converted, Options, Rejected
from processor.adapters.graph import CALLS
from processor.domain.coverage import cover_leg
from processor.domain.messages import CallType, CallUsage
from processor.domain.policy import Policy
from processor.domain.usage import leg_of
from tests.unit.vendor_rows import OPTIONS, call, conference, outcome, outcomes, reason, usage

ROW: dict[str, Any] = {
    "id": "6f0f3a52-8c1e-4c2f-9a57-0d4f1e6b7a01",
    "callId": "1835317186_112562680@192.0.2.176",
    "userId": "3b1f0d8a-57b2-4d53-9b0e-2f6a8c4d1e01",
    "startDateTime": "2026-03-02T09:12:03.2589935Z",
    "endDateTime": "2026-03-02T09:15:42.2589935Z",
    "duration": 219,
    "callType": "user_out",
    "calleeNumber": "+442079460018",
    "callerNumber": "+14255550100",
    "usageCountryCode": "US",
    "licenseCapability": "MCOPSTN1",
    "inventoryType": "Subscriber",
}
CONFERENCE = ROW | {"callType": "conf_in", "calleeNumber": "+14255550177", "callerNumber": "+12065550123"}
TOLL_FREE = "+18005550199"


def graph(**fields: Any) -> Any:
    return outcome("graph", ROW | fields)


def test_a_page_as_the_api_answers_becomes_events() -> None:
    first, second, third, fourth = outcomes("graph", "graph-pstn-page-1.json")
    data = call(first)
    assert (data.call_type, data.caller, data.callee) == ("user_out", "+14255550100", "+442079460018")
    assert (data.connected_ms, data.user_country, data.capability) == (219_000, "US", "MCOPSTNPP")
    assert data.answered_at == datetime(2026, 3, 2, 9, 12, 3, 258993, UTC)
    assert call(second).call_type == "user_out_transfer"
    assert (call(third).call_type, call(third).number_type) == ("ucap_in", "service_toll_free")
    assert (conference(fourth).leg_kind, conference(fourth).remote_number) == ("dial_out", "+441632960961")


def test_overlapping_pulls_give_the_same_bytes_for_the_same_row() -> None:
    repeated, older, unknown = outcomes("graph", "graph-pstn-page-2.json")
    assert usage(repeated).value == usage(outcomes("graph", "graph-pstn-page-1.json")[3]).value
    assert reason(unknown) == "unknown_call_type"
    assert call(older).call_type == "user_in"


def test_the_rows_own_id_is_the_identity_as_legs_share_the_call_id() -> None:
    first, second, *_ = outcomes("graph", "graph-pstn-page-1.json")
    assert call(first).call_id == call(second).call_id
    assert usage(first).event_id != usage(second).event_id


def test_another_tenant_has_another_identity() -> None:
    one, other = (
        msgspec.json.decode(usage(outcome("graph", ROW, Options(tenant_id=tenant))).value) for tenant in ("a b", "ä")
    )
    assert (one["id"], one["source"]) == (ROW["id"], "/adapters/graph/a%20b")
    assert (other["id"], other["source"]) == (ROW["id"], "/adapters/graph/%C3%A4")


def test_an_older_row_without_operator_and_duration_source_is_read() -> None:
    older = outcomes("graph", "graph-pstn-page-2.json")[1]
    assert call(older).connected_ms == 12_000


def test_microsofts_own_sample_numbers_are_no_numbers() -> None:
    data = call(graph(callType="user_in", calleeNumber="+1234567890", callerNumber="+0123456789"))
    assert (data.caller, data.callee) == ("", "")
    assert reason(graph(calleeNumber="+0123456789")) == "number_invalid"


def test_money_is_taken_from_the_digits_and_never_from_a_float() -> None:
    text = msgspec.json.encode(ROW | {"currency": "USD"}).decode()
    small = text[:-1] + ',"charge":0.1000000000000000055511151231257827,"connectionCharge":0.05}'
    assert usage(outcome("graph", small)).vendor_charge_micros == 150_000
    big = text[:-1] + ',"charge":9007199254.740991,"connectionCharge":0}'
    assert usage(outcome("graph", big)).vendor_charge_micros == 9_007_199_254_740_991


def test_a_charge_beyond_any_amount_is_refused() -> None:
    text = msgspec.json.encode(ROW | {"currency": "USD"}).decode()
    for charge in ("1e400", "9007199255"):
        assert reason(outcome("graph", f'{text[:-1]},"charge":{charge}}}')) == "schema_invalid"


def test_an_operators_own_duration_counts_from_the_start() -> None:
    data = call(graph(duration=200, callDurationSource="operator"))
    assert (data.connected_ms, (data.ended_at - data.answered_at).total_seconds()) == (200_000, 200)
    assert reason(graph(duration=200)) == reason(graph(duration=200, callDurationSource="microsoft"))
    assert reason(graph(duration=200)) == "inconsistent_times"


def test_a_source_of_the_duration_that_is_new_is_no_fault() -> None:
    assert call(graph(callDurationSource="unknownFutureValue")).connected_ms == 219_000


def test_a_call_for_help_over_direct_routing_is_marked_and_its_masked_number_left_empty() -> None:
    data = call(graph(callType="dr_emergency_out", calleeNumber="+1911***"))
    assert (data.emergency, data.callee) == (True, "")


def test_a_leg_of_more_than_a_day_is_worth_a_look_and_no_fault() -> None:
    found = usage(graph(endDateTime="2026-03-03T09:12:04.2589935Z", duration=86_401))
    assert found.over_a_day
    assert not usage(graph(endDateTime="2026-03-03T09:12:03.2589935Z", duration=86_400)).over_a_day


@pytest.mark.parametrize("call_type", sorted(get_args(CallType)))
def test_every_call_type_of_the_contract_is_known(call_type: str) -> None:
    assert call(graph(callType=call_type)).call_type == call_type


@pytest.mark.parametrize(("spelled", "call_type"), [pair for pair in CALLS.items() if pair[0].startswith("Byot")])
def test_the_apis_spelling_of_direct_routing_is_known(spelled: str, call_type: str) -> None:
    assert call(graph(callType=spelled)).call_type == call_type


@pytest.mark.parametrize("call_type", ["", "user_out_hologram", "USER_OUT"])
def test_an_unknown_call_type_is_refused(call_type: str) -> None:
    assert reason(graph(callType=call_type)) == "unknown_call_type"


# Direct routing


def test_direct_routing_is_free_and_its_masked_numbers_are_left_empty() -> None:
    answered, forwarded, failed = outcomes("graph", "graph-direct-routing.json")
    assert (call(answered).call_type, call(answered).caller, call(answered).callee) == ("dr_in", "", "")
    assert (call(forwarded).caller, call(forwarded).callee) == ("+14255550100", "")
    assert call(answered).correlation_id == call(forwarded).correlation_id
    assert reason(failed) == "not_answered"
    for found in (answered, forwarded):
        event = msgspec.json.decode(usage(found).value, type=CallUsage)
        assert cover_leg(leg_of(event, Policy(), event.data.ended_at)).decision == "free"


def test_a_connected_call_whose_end_lies_in_the_year_1_is_refused() -> None:
    assert reason(graph(callType="ByotIn", successfulCall=True, endDateTime="0001-01-01T00:00:00Z")) == "time_invalid"


# Conferences


def test_a_toll_dial_in_names_its_bridge_and_its_organizer() -> None:
    data = conference(outcome("graph", CONFERENCE | {"conferenceId": "c-1", "licenseCapability": "MCOMEETADD"}))
    assert (data.leg_kind, data.bridge_number, data.remote_number) == ("dial_in_toll", "+14255550177", "+12065550123")
    assert (data.conference_id, data.organizer_id, data.organizer_country) == ("c-1", ROW["userId"], "US")


def test_a_toll_free_dial_in_is_known_by_its_number_or_its_inventory() -> None:
    by_number = outcome("graph", CONFERENCE | {"calleeNumber": TOLL_FREE})
    by_inventory = outcome("graph", CONFERENCE | {"inventoryType": "Service_TollFree"})
    assert conference(by_number).leg_kind == conference(by_inventory).leg_kind == "dial_in_toll_free"


def test_a_government_clouds_licence_is_the_same_licence() -> None:
    found = outcomes("graph", "graph-pstn-page-1.json")[3]
    assert conference(found).capability == "MCOMEETACPEA"


@pytest.mark.parametrize("field", ["userId", "licenseCapability"])
def test_a_conference_leg_without_its_payer_is_refused(field: str) -> None:
    assert reason(outcome("graph", CONFERENCE | {field: None})) == "schema_invalid"


def test_a_conference_call_of_a_user_is_a_call() -> None:
    data = call(graph(callType="user_out_conf", conferenceId="c-1"))
    assert (data.call_type, data.correlation_id) == ("user_out_conf", "c-1")


# Which number must be right


@pytest.mark.parametrize(
    "call_type", ["user_out", "user_out_conf", "user_out_forwarding", "ucap_out", "conf_out", "conf_in"]
)
def test_a_number_that_prices_a_leg_must_be_e164(call_type: str) -> None:
    assert reason(graph(callType=call_type, calleeNumber="tll-audiocodes01")) == "number_invalid"


def test_a_withheld_caller_is_no_fault() -> None:
    assert call(graph(callType="ucap_in", calleeNumber=TOLL_FREE, callerNumber="anonymous")).caller == ""


@pytest.mark.parametrize(("number", "country"), [("911", "US"), ("112", "DE"), ("999", "GB")])
def test_a_call_for_help_is_marked_and_needs_no_e164(number: str, country: str) -> None:
    data = call(graph(calleeNumber=number, usageCountryCode=country))
    assert (data.emergency, data.callee) == (True, number)


# Licences


def test_a_row_paid_by_credits_proves_the_licence() -> None:
    unlicensed = Options(tenant_id="contoso", credits_licensed=False)
    assert call(outcome("graph", ROW | {"licenseCapability": "MCOPSTNPP"}, unlicensed)).credits_licensed
    assert not call(outcome("graph", ROW, unlicensed)).credits_licensed
    assert call(outcome("graph", ROW, OPTIONS)).credits_licensed


def test_what_the_vendor_gave_away_for_a_fault_of_its_own_is_no_usage() -> None:
    assert reason(graph(licenseCapability="FREECALL")) == "freecall"


# Faults


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"id": ""}, "schema_invalid"),
        ({"id": "x" * 257}, "schema_invalid"),
        ({"id": None}, "schema_invalid"),
        ({"duration": "219"}, "schema_invalid"),
        ({"duration": None}, "schema_invalid"),
        ({"duration": -1}, "schema_invalid"),
        ({"duration": 219.5}, "schema_invalid"),
        ({"startDateTime": None}, "schema_invalid"),
        ({"startDateTime": "2026-03-02T09:12:03"}, "time_invalid"),
        ({"endDateTime": "2026-03-02T09:10:00Z"}, "inconsistent_times"),
        ({"endDateTime": None}, "time_invalid"),
        ({"usageCountryCode": "USA"}, "schema_invalid"),
        ({"callId": "x" * 257}, "schema_invalid"),
        ({"duration": 10**15, "callDurationSource": "operator"}, "time_invalid"),
    ],
)
def test_a_row_that_cannot_be_an_event_is_refused_with_its_text(fields: dict[str, Any], why: str) -> None:
    found = graph(**fields)
    assert isinstance(found, Rejected)
    assert found.reason == why
    assert msgspec.json.decode(found.row) == ROW | fields


def test_a_refusal_repeats_no_value_of_the_row() -> None:
    found = graph(duration="secret")
    assert isinstance(found, Rejected)
    assert "secret" not in found.message
    assert "$.duration" in found.message


def test_unknown_fields_are_no_fault() -> None:
    assert isinstance(graph(newField={"a": [1]}), Converted)
