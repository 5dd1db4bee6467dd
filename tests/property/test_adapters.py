"""Whatever a vendor delivers has one outcome per row, and every event is one that schema and worker accept."""

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from processor.adapters import LEAVE_REASONS, REJECT_REASONS, VENDORS, Converted, Options, Outcome, convert, convert_row
from processor.adapters.graph import CALLS
from processor.contracts import inputs, schemas, topics
from processor.domain.messages import CallUsage, ConferenceUsage
from processor.domain.usage import TOLERANCE_MS
from tests.unit.vendor_rows import FIXTURES

SCHEMAS = {topic: Draft202012Validator(schema, validate_formats=True) for topic, schema in schemas.generate().items()}
OPTIONS = st.sampled_from(
    [Options(tenant_id="contoso"), Options(tenant_id="ü" * 128, region="DE", own=("+1", "+49"), credits_licensed=False)]
)

words = st.one_of(
    st.none(),
    st.text(max_size=300),
    st.sampled_from(["", "0", "-1", "65", "1001", "911", "+14255550100", "+442079460018", "+18005550199", "US", "USA"]),
    st.sampled_from(
        ["2026-03-02T09:12:03.2589935Z", "2026-03-02T09:13:08Z", "0001-01-01T00:00:00Z", "completed", "\ud800"]
    ),
    st.sampled_from(["Mon, 02 Mar 2026 09:12:03 +0000", "Mon, 02 Mar 2026 09:13:08 +0000", "2026-03-02 09:12:03"]),
)
values = st.one_of(
    words, st.integers(-(10**18), 10**18), st.floats(allow_nan=False), st.booleans(), st.lists(words, max_size=2)
)

NUMBERS = st.sampled_from(
    ["+14255550100", "+442079460018", "+18005550199", "+0123456789", "+12345678***", "1001", "911", "anonymous", ""]
)
SECONDS = st.sampled_from([0, 1, 64, 65, 66, 67, 86_500])
TIMES = [
    "2026-03-02T09:12:03.2589935Z",
    "2026-03-02T09:13:08.2589935Z",
    "2026-03-03T09:13:43.2589935Z",
    "0001-01-01T00:00:00Z",
]

graph_rows = st.fixed_dictionaries(
    {
        "id": st.text(max_size=40),
        "callType": st.sampled_from([*CALLS, "conf_in", "conf_out", "other"]),
        "callerNumber": NUMBERS,
        "calleeNumber": NUMBERS,
        "startDateTime": st.sampled_from(TIMES),
        "endDateTime": st.sampled_from(TIMES),
        "duration": SECONDS,
        "userId": st.sampled_from(["", "u-1"]),
    },
    optional={
        "callId": words,
        "conferenceId": words,
        "usageCountryCode": st.sampled_from(["US", "GB", "XX", "", "us", None]),
        "licenseCapability": st.sampled_from(
            ["MCOPSTN1", "MCOPSTNPP", "MCOMEETADD", "MCOMEETACPEA_GOV", "FREECALL", None]
        ),
        "inventoryType": words,
        "charge": st.one_of(st.none(), st.decimals(0, 10**9, allow_nan=False, places=4).map(float)),
        "currency": st.sampled_from(["USD", "", None]),
        "callDurationSource": st.sampled_from(["microsoft", "operator"]),
        "correlationId": words,
        "successfulCall": st.booleans(),
    },
)
twilio_rows = st.fixed_dictionaries(
    {
        "sid": st.text(max_size=40),
        "direction": st.sampled_from(["inbound", "outbound-api", "outbound-dial", "trunking-terminating"]),
        "status": st.sampled_from(["completed", "completed", "busy", "in-progress"]),
        "duration": SECONDS.map(str),
        "start_time": st.just("Mon, 02 Mar 2026 09:12:03 +0000"),
        "end_time": st.just("Mon, 02 Mar 2026 09:13:08 +0000"),
        "from": NUMBERS,
        "to": NUMBERS,
    },
    optional={
        "participant_sid": st.text(max_size=40),
        "conference_sid": words,
        "account_sid": words,
        "call_direction": st.sampled_from(["inbound", "outbound"]),
        "join_time": st.sampled_from(TIMES),
        "leave_time": st.sampled_from(TIMES),
        "duration_seconds": SECONDS,
        "parent_call_sid": words,
        "price": words,
        "price_unit": words,
    },
)
freeswitch_rows = st.fixed_dictionaries(
    {
        "variables": st.fixed_dictionaries(
            {
                "uuid": st.text(max_size=40),
                "billmsec": st.sampled_from(["0", "65000", "67540", "-1"]),
                "answer_uepoch": st.sampled_from(["0", "1772443547954373", "99999999999999999999"]),
                "end_uepoch": st.sampled_from(["1772443615494269", "0"]),
            },
            optional={"accountcode": words, "hangup_cause": words, "originating_leg_uuid": words},
        ),
        "callflow": st.lists(
            st.fixed_dictionaries(
                {"caller_profile": st.fixed_dictionaries({"caller_id_number": NUMBERS, "destination_number": NUMBERS})}
            ),
            max_size=2,
        ),
    }
)
asterisk_rows = st.builds(
    lambda src, dst, account, billsec, times, rest: [
        account, src, dst, "internal", "", "PJSIP/1", "PJSIP/2", "Dial", "", *times,
        "70", billsec, "ANSWERED", "BILLING", *rest,
    ],
    NUMBERS,
    NUMBERS,
    st.text(max_size=300),
    st.sampled_from(["0", "65", "-1", "x"]),
    st.sampled_from(
        [
            ("2026-03-02 09:12:00", "2026-03-02 09:12:03", "2026-03-02 09:13:08"),
            ("", "", "2026-03-02 09:13:08"),
            ("9999-12-31 23:59:59", "9999-12-31 23:59:59", "9999-12-31 23:59:59"),
        ]
    ),
    st.lists(st.text(max_size=260), max_size=2),
)  # fmt: skip


def judge(found: Outcome, options: Options) -> None:
    """An outcome is a known reason, or an event that means what it must."""
    if not isinstance(found, Converted):
        assert found.reason in REJECT_REASONS + LEAVE_REASONS
        return
    usage = found.usage
    event = inputs.decode(usage.topic, usage.value)
    SCHEMAS[usage.topic].validate(json.loads(usage.value))
    assert isinstance(event, CallUsage | ConferenceUsage)
    assert event.id == usage.event_id
    assert event.data.tenant_id == event.subject == options.tenant_id
    begin, end = (
        (event.data.answered_at, event.data.ended_at)
        if isinstance(event, CallUsage)
        else (event.data.joined_at, event.data.left_at)
    )
    assert abs((end - begin).total_seconds() * 1000 - event.data.connected_ms) <= TOLERANCE_MS + 1
    assert usage.topic == (topics.USAGE_CALL if isinstance(event, CallUsage) else topics.USAGE_CONFERENCE)


@given(graph_rows, OPTIONS)
def test_a_row_of_graph_has_an_outcome(row: dict[str, Any], options: Options) -> None:
    found = convert_row("graph", json.dumps(row), options)
    judge(found, options)
    assert found == convert_row("graph", json.dumps(row), options)


@given(twilio_rows, OPTIONS)
def test_a_resource_of_twilio_has_an_outcome(row: dict[str, Any], options: Options) -> None:
    judge(convert_row("twilio", json.dumps(row), options), options)


@given(freeswitch_rows, OPTIONS)
def test_a_record_of_freeswitch_has_an_outcome(row: dict[str, Any], options: Options) -> None:
    judge(convert_row("freeswitch", json.dumps(row), options), options)


@given(asterisk_rows, OPTIONS)
def test_a_row_of_asterisk_has_an_outcome(row: list[str], options: Options) -> None:
    judge(convert_row("asterisk", row, options), options)


@pytest.mark.parametrize("vendor", VENDORS)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.dictionaries(st.text(max_size=9), values, max_size=4).map(json.dumps).map(str.encode),
    )
)
@example(content=b'{"id": "\xff", "callType": "user_out"}')
@example(content=b'{"id": 1e999, "callType": {}}')
def test_any_bytes_are_rows_with_outcomes(vendor: Any, content: bytes) -> None:
    options = Options(tenant_id="contoso")
    for found in convert(vendor, io.BytesIO(content), options):
        judge(found, options)


@pytest.mark.parametrize("vendor", ["graph", "twilio", "freeswitch"])
@given(data=st.data())
def test_a_real_row_with_any_field_changed_has_an_outcome(vendor: Any, data: st.DataObject) -> None:
    name = {"graph": "graph-pstn-page-1.json", "twilio": "twilio-calls.json", "freeswitch": "freeswitch.ndjson"}[vendor]
    content = (FIXTURES / name).read_bytes()
    first = msgspec.json.decode(content.splitlines()[0] if vendor == "freeswitch" else content)
    row = first if vendor == "freeswitch" else first["value" if vendor == "graph" else "calls"][0]
    changed = row["variables"] if vendor == "freeswitch" and data.draw(st.booleans()) else row
    changed[data.draw(st.sampled_from(sorted(changed)))] = data.draw(values)
    judge(convert_row(vendor, json.dumps(row), Options(tenant_id="contoso")), Options(tenant_id="contoso"))
