"""The published schemas say what the code does: same files, same verdicts, in both drafts that readers use."""

import copy
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft7Validator, Draft202012Validator

from processor.contracts import inputs, outputs, schemas, topics
from processor.contracts.vocabulary import MEANINGS
from processor.domain.account import Account, Autopay, Decided, Lot, Recharge
from processor.domain.errors import InputRejected
from processor.domain.ledger import Entry, LotChange, Notice, RechargeRequest, UsageDetail
from processor.domain.money import MAX_MICROS

SCHEMAS = schemas.generate()
MODERN = {topic: Draft202012Validator(schema, validate_formats=True) for topic, schema in SCHEMAS.items()}
OLD = {topic: Draft7Validator(schema, validate_formats=True) for topic, schema in SCHEMAS.items()}
WITHOUT_FORMATS = {topic: Draft202012Validator(schema, validate_formats=False) for topic, schema in SCHEMAS.items()}


def example_paths(verdict: str) -> list[tuple[str, Path]]:
    return [
        (topic, path)
        for topic in SCHEMAS
        for path in sorted((schemas.DIRECTORY / "examples" / topic.removesuffix(".v1") / verdict).glob("*.json"))
    ]


def named(cases: list[tuple[str, Path]]) -> list[Any]:
    return [pytest.param(topic, path, id=f"{topic}:{path.stem}") for topic, path in cases]


def decodes(topic: str, value: bytes) -> bool:
    if topic in inputs.ACCEPTED:
        try:
            inputs.decode(topic, value)
        except InputRejected:
            return False
        return True
    try:
        msgspec.json.decode(value, type=schemas.WRITTEN[topic])
    except msgspec.DecodeError:
        return False
    return True


def walk(schema: Any) -> list[dict[str, Any]]:
    """Every object inside a schema, itself included."""
    if isinstance(schema, list):
        return [found for item in schema for found in walk(item)]
    if not isinstance(schema, dict):
        return []
    return [schema] + [found for item in schema.values() for found in walk(item)]


# The files


def test_the_committed_schemas_are_those_of_the_typed_messages():
    assert schemas.main(["--check"]) == 0, "run `make schemas`"


def test_a_changed_and_a_superfluous_file_are_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schemas, "DIRECTORY", tmp_path / "schemas")
    assert schemas.main(["--check"]) == 1
    assert schemas.main([]) == 0
    assert schemas.main(["--check"]) == 0
    changed = schemas.path_of(topics.LEDGER)
    changed.write_bytes(changed.read_bytes() + b" ")
    left_over = changed.parent / "v0.json"
    left_over.write_bytes(b"{}")
    capsys.readouterr()
    assert schemas.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "ledger/v1.json" in told
    assert "ledger/v0.json" in told


def test_every_topic_has_a_schema_but_the_two_that_are_not_json_of_ours():
    assert set(topics.ALL) - set(SCHEMAS) == {topics.DEAD_LETTERS, topics.EVENT_IDS}


@pytest.mark.parametrize("topic", SCHEMAS)
def test_a_schema_is_self_contained_and_stays_in_what_both_drafts_judge_alike(topic):
    shared = {"title", "description", "default", "type", "properties", "required", "items", "enum", "const", "oneOf"}
    shared |= {"minLength", "maxLength", "pattern", "format", "minimum", "maximum", "additionalProperties"}
    for part in walk(SCHEMAS[topic]):
        if not {"type", "enum", "const", "oneOf"} & part.keys() or isinstance(part.get("type"), dict):
            continue  # a table of properties, not a schema
        assert {name for name in part if not name.startswith(("x-", "$schema"))} <= shared


@pytest.mark.parametrize("topic", SCHEMAS)
def test_every_published_field_says_what_it_means(topic):
    for part in walk(SCHEMAS[topic]):
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), f"say in processor/contracts/vocabulary.py what `{name}` means"


def test_the_vocabulary_has_no_words_that_nothing_uses():
    used = {name for schema in SCHEMAS.values() for part in walk(schema) for name in part.get("properties", {})}
    assert set(MEANINGS) <= used


def test_phone_numbers_and_user_ids_are_marked_as_personal_data():
    data = SCHEMAS[topics.USAGE_CALL]["properties"]["data"]["properties"]
    assert {name: field["x-pii"] for name, field in data.items() if "x-pii" in field} == {
        "caller": "direct",
        "callee": "direct",
        "user_id": "indirect",
    }


@pytest.mark.parametrize("topic", schemas.WRITTEN)
def test_no_output_has_a_field_of_personal_data(topic):
    assert not [part for part in walk(SCHEMAS[topic]) if "x-pii" in part]


# The examples


@pytest.mark.parametrize("topic", SCHEMAS)
def test_there_are_enough_examples(topic):
    valid = [found for found, _ in example_paths("valid") if found == topic]
    invalid = [found for found, _ in example_paths("invalid") if found == topic]
    assert len(valid) >= (3 if topic in inputs.ACCEPTED else 2)
    assert len(invalid) >= (5 if topic in inputs.ACCEPTED else 0)


@pytest.mark.parametrize(("topic", "path"), named(example_paths("valid")))
def test_a_valid_example_passes_the_schema_and_the_decoder(topic, path):
    document = json.loads(path.read_bytes())
    MODERN[topic].validate(document)
    OLD[topic].validate(document)
    assert decodes(topic, path.read_bytes())


@pytest.mark.parametrize(("topic", "path"), named(example_paths("invalid")))
def test_an_invalid_example_fails_the_schema_and_the_decoder(topic, path):
    document = json.loads(path.read_bytes())
    assert not MODERN[topic].is_valid(document)
    assert not OLD[topic].is_valid(document)
    assert not decodes(topic, path.read_bytes())


def test_without_format_assertion_only_days_that_no_month_has_slip_through():
    """2020-12 validators take `format` for an annotation unless told otherwise: the pattern does most of its work."""
    slipping = [
        path.stem
        for topic, path in example_paths("invalid")
        if WITHOUT_FORMATS[topic].is_valid(json.loads(path.read_bytes()))
    ]
    assert slipping == ["ended-at-not-a-date"]


# The same verdict on everything near the truth


TIMES = [
    "2026-03-02T09:12:03Z",
    "2026-03-02T09:12:03.1234567Z",
    "2026-03-02t09:12:03z",
    "2026-03-02T10:12:03+01:00",
    "2026-03-02T09:12:03",
    "2026-03-02",
    "2026-03-02T09:12Z",
    "2026-02-29T00:00:00Z",
    "2024-02-29T00:00:00Z",
    "2026-03-02T24:00:00Z",
    "2026-06-30T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.9999999Z",
    "2026-03-02T09:12:03+0100",
    "2026-03-02T09:12:03-00:00",
    "2026-03-02T09:12:03+24:00",
    "2026-03-02T09:12:03.Z",
    "20260302T091203Z",
    "2026-3-2T09:12:03Z",
    "2026-03-02T09:12:03+01",
    "2026-03-02 09:12:03Z",
    "2026-03-02T09:12:03Z ",
    "2026-03-02T09:12:03Z\n",
    "",
    "2026-03-02\t09:12:03Z",
]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.sampled_from([0, 1, -1, 2, 1_000_000, 1_000_001, MAX_MICROS, MAX_MICROS + 1, -MAX_MICROS, -MAX_MICROS - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 1.0, 60_000.0, 1e3, 0.5]),
    st.sampled_from(TIMES),
    st.sampled_from([1, 2, 3, 64, 65, 128, 129, 256, 257]).flatmap(
        lambda length: st.sampled_from(["a", "é", "😀", "Ⅷ"]).map(lambda letter: letter * length)
    ),
    st.sampled_from(["final", "void", "FINAL", "user", "user_in", "call_me", "USD", "usd", "USD\n", "ÄÖÜ", "1.0"]),
    st.sampled_from([kind.__struct_config__.tag for kind in inputs.ACCEPTED[topics.USAGE_REROUTED]]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


@st.composite
def near_valid(draw: st.DrawFn) -> tuple[str, Any]:
    """A valid example with up to three things changed: dropped, replaced, added."""
    topic, path = draw(st.sampled_from([case for case in example_paths("valid") if case[0] in inputs.ACCEPTED]))
    document = copy.deepcopy(json.loads(path.read_bytes()))
    for _ in range(draw(st.integers(1, 3))):
        inside = document["data"] if isinstance(document.get("data"), dict) and draw(st.booleans()) else document
        name = draw(st.sampled_from([*inside, "unknown"]))
        if draw(st.integers(0, 4)) == 0:
            inside.pop(name, None)
        else:
            inside[name] = draw(VALUES)
    return topic, document


def without_waivers(value: Any) -> Any:
    """Spells a document so that the decoder's three known differences from JSON Schema do not matter.

    The decoder forgives two spellings of a time, a space for the T and an offset without its colon. It refuses a time
    that rounds up into year 10000. It refuses 60000.0 where JSON Schema sees the integer 60000: money and durations
    are never floats. (A record of more than 65,536 bytes it refuses unread, which no schema can say.)
    """
    if isinstance(value, dict):
        return {name: without_waivers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_waivers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return 0.5
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d", value):
        if re.match(r"9999-12-31.23:59:59\.9{6}[5-9]", value):
            return "later than every clock"
        return re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", value[:10] + "T" + value[11:])
    return value


@settings(max_examples=1500, deadline=None)
@given(near_valid())
def test_schema_and_decoder_judge_every_document_alike(case):
    topic, document = case
    verdict = decodes(topic, json.dumps(document).encode())
    canonical = without_waivers(document)
    assert MODERN[topic].is_valid(canonical) == verdict
    assert OLD[topic].is_valid(canonical) == verdict


@pytest.mark.parametrize(
    ("time", "decoded", "valid"),
    [
        ("2026-03-02T09:12:03Z", True, True),
        ("2026-03-02 09:12:03Z", True, False),
        ("2026-03-02T09:12:03+0000", True, False),
        ("9999-12-31T23:59:59.9999999Z", False, True),
    ],
)
def test_the_waivers_about_times_are_exactly_these(time, decoded, valid):
    document = json.loads(next(path for topic, path in example_paths("valid")).read_bytes()) | {"time": time}
    assert decodes(topics.USAGE_CALL, json.dumps(document).encode()) is decoded
    assert MODERN[topics.USAGE_CALL].is_valid(document) is valid


# What the meter writes


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
MONEY = st.integers(-MAX_MICROS, MAX_MICROS)
COUNT = st.integers(1, 1_000_000)
NOW = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
AUTOPAY = st.builds(
    Autopay,
    payment_amount_micros=MONEY,
    trigger_micros=MONEY,
    max_per_day=st.none() | COUNT,
    max_per_month_micros=st.none() | MONEY,
    max_units=st.none() | COUNT,
)
USAGE = st.builds(UsageDetail, reason=NAMES, country=st.none() | NAMES, pool=st.none() | NAMES, billed_seconds=COUNT)
ENTRIES = st.builds(
    Entry,
    occurred_at=NOW,
    recorded_at=NOW,
    amount_micros=MONEY,
    balance_micros=MONEY,
    flags=st.lists(NAMES, max_size=2),
    usage=st.none() | USAGE,
    lots=st.lists(st.builds(LotChange, NAMES, MONEY), max_size=3),
)
REQUESTS = st.builds(
    RechargeRequest,
    attempt=st.integers(1, 3),
    requested_at=NOW,
    deadline_at=NOW,
    amount_micros=MONEY,
    balance_micros=MONEY,
    trigger_micros=MONEY,
)
NOTICES = st.builds(
    Notice, balance_micros=MONEY, amount_micros=st.none() | MONEY, reason=st.none() | NAMES, lot_id=st.none() | NAMES
)
ACCOUNTS = st.builds(
    Account,
    balance_micros=MONEY,
    overdraft_micros=MONEY,
    lots=st.lists(st.builds(Lot, purchased_at=NOW, expires_at=NOW, amount_micros=MONEY, remaining_micros=MONEY)),
    autopay=st.none() | AUTOPAY,
    recharge=st.builds(
        Recharge,
        in_flight=st.none() | NAMES,
        requested_at=st.none() | NOW,
        amount_micros=MONEY,
        blocked_by=st.none() | NAMES,
        decided=st.lists(st.builds(Decided, NAMES, NAMES), max_size=2),
    ),
)


@settings(max_examples=150, deadline=None)
@given(ENTRIES, REQUESTS, NOTICES, ACCOUNTS, NOW)
def test_what_the_meter_writes_obeys_the_published_schemas(entry, request, notice, account, now):
    written = {
        topics.LEDGER: outputs.entry_record(entry),
        topics.RECHARGE_COMMANDS: outputs.request_record(request),
        topics.NOTIFICATIONS: outputs.notice_record(notice, now),
        topics.ACCOUNT_STATE: outputs.encode(account),
    }
    for topic, record in written.items():
        MODERN[topic].validate(json.loads(record))
        OLD[topic].validate(json.loads(record))
