"""Records of FreeSWITCH's mod_json_cdr."""

from typing import Any

import pytest

from processor.adapters import Options
from tests.unit.vendor_rows import OPTIONS, call, outcome, outcomes, reason, usage

ANSWERED, ENDED = 1_772_443_547_954_373, 1_772_443_615_494_269


def record(caller: str = "1001", callee: str = "+442079460018", **variables: Any) -> dict[str, Any]:
    told = {"uuid": "u-1", "answer_uepoch": str(ANSWERED), "end_uepoch": str(ENDED), "billmsec": "67540"}
    profile = {"caller_id_number": caller, "destination_number": callee}
    return {"variables": told | variables, "callflow": [{"caller_profile": profile}]}


def test_a_file_as_the_module_writes_it_is_one_call_to_where_the_dial_plan_sent_it() -> None:
    (found,) = outcomes("freeswitch", "freeswitch-outbound.json")
    data = call(found)
    assert (data.call_type, data.callee, data.user_id) == ("user_out", "+442079460018", "1001")
    assert (data.leg_id, data.end_reason) == ("3da8bf84-c133-4959-9e24-e72875cb3301", "NORMAL_CLEARING")


def test_talk_time_counts_and_not_ring_time() -> None:
    (found,) = outcomes("freeswitch", "freeswitch-outbound.json")
    assert call(found).connected_ms == 67_540  # `duration` says 71, `billsec` rounds to 68
    assert call(found).answered_at.microsecond == 954_373


def test_seconds_serve_where_there_are_no_milliseconds() -> None:
    assert call(outcome("freeswitch", record(billmsec=None, billsec="68"))).connected_ms == 68_000
    assert reason(outcome("freeswitch", record(billmsec=None))) == "schema_invalid"


def test_records_one_per_line_say_what_each_leg_was() -> None:
    toll_free, forwarded, b_leg, busy, internal, help_call = outcomes("freeswitch", "freeswitch.ndjson")
    assert (call(toll_free).call_type, call(toll_free).number_type) == ("ucap_in", "service_toll_free")
    assert call(toll_free).callee == "+18005550199"
    assert (call(forwarded).call_type, call(forwarded).callee) == ("user_out_forwarding", "+442079460018")
    assert [reason(each) for each in (b_leg, busy, internal)] == ["same_call", "not_answered", "not_pstn"]
    assert (call(help_call).emergency, call(help_call).callee) == (True, "911")


def test_the_account_is_the_user_without_the_modules_encoding() -> None:
    assert call(outcome("freeswitch", record(accountcode="adele%40contoso.example"))).user_id == "adele@contoso.example"
    assert call(outcome("freeswitch", record(user_name="1001"))).user_id == "1001"


def test_legs_of_one_call_share_its_id_and_keep_their_own() -> None:
    toll_free, forwarded, *_ = outcomes("freeswitch", "freeswitch.ndjson")
    assert call(forwarded).correlation_id == call(toll_free).leg_id
    assert call(forwarded).call_id == call(toll_free).call_id
    assert usage(forwarded).event_id != usage(toll_free).event_id


@pytest.mark.parametrize(
    ("caller", "callee", "call_type"),
    [
        ("1001", "+442079460018", "user_out"),
        ("+14255550100", "+442079460018", "user_out"),
        ("anonymous", "+442079460018", "user_out"),
        ("+12065550123", "1001", "user_in"),
        ("+12065550123", "+14255550100", "user_in"),
        ("anonymous", "+14255550100", "user_in"),
        ("+12065550123", "sales", "user_in"),
        ("1001", "*97", "not_pstn"),
        ("1001", "+14255550100", "not_pstn"),
        ("+12065550123", "+442079460018", "direction_unknown"),
        ("1001", "99123456789012345", "number_invalid"),
        ("1001", "", "number_invalid"),
    ],
)
def test_the_two_ends_tell_the_direction(caller: str, callee: str, call_type: str) -> None:
    found = outcome("freeswitch", record(caller, callee), Options(tenant_id="contoso", own=("+1425555",)))
    assert (call(found).call_type if hasattr(found, "usage") else reason(found)) == call_type


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (record(answer_uepoch="0"), "not_answered"),
        (record(answer_uepoch="soon"), "schema_invalid"),
        (record(end_uepoch="0"), "time_invalid"),
        (record(end_uepoch=str(ANSWERED)), "inconsistent_times"),
        (record(billmsec="-1", billsec="-1"), "schema_invalid"),
        (record(uuid=None), "schema_invalid"),
        (record() | {"callflow": []}, "schema_invalid"),
        ({"variables": {}}, "schema_invalid"),
    ],
)
def test_a_record_that_is_no_usage_or_damaged_says_why(row: dict[str, Any], why: str) -> None:
    assert reason(outcome("freeswitch", row, OPTIONS)) == why
