"""Nobody who keeps to the last release is broken by this one: the gate that every change of a message must pass."""

import copy
import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from processor.contracts import inputs, schemas
from tests.contract.evolution import Break, Direction, Schema, breaks, closed

RELEASED = schemas.DIRECTORY / "released"
NUMBER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def releases() -> list[str]:
    """The versions whose schemas are kept, oldest first."""
    return sorted(
        (path.name for path in RELEASED.iterdir() if path.is_dir()),
        key=lambda name: [int(part) for part in name.split(".")],
    )


LAST = RELEASED / releases()[-1]
NEW = schemas.generate()
OLD: dict[str, Schema] = {
    f"{path.parent.name}.{path.stem}": json.loads(path.read_bytes()) for path in sorted(LAST.glob("*/v*.json"))
}
READ_AGAIN = {topic: schemas._topic(topic, (record,), written=False) for topic, record in schemas.WRITTEN.items()}
"""How the meter reads its own records: fields with a default may be missing, as they are in older records."""

COMPARED: list[tuple[str, Direction]] = [
    *((topic, "read") for topic in OLD if topic in inputs.ACCEPTED),
    *((topic, "written") for topic in OLD if topic in schemas.WRITTEN),
    *((topic, "kept") for topic in OLD if topic in schemas.WRITTEN),
]


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of waivers.yaml."""

    topic: str
    field: str
    direction: Direction
    reason: str


WAIVERS = [
    msgspec.convert(entry, Waiver) for entry in yaml.safe_load((RELEASED / "waivers.yaml").read_text())["waivers"]
]


def compared(topic: str, direction: Direction, waived: list[str]) -> list[Break]:
    new = READ_AGAIN if direction == "kept" else NEW
    return breaks(topic, OLD[topic], new[topic], direction, waived)


# The gate


@pytest.mark.parametrize(("topic", "direction"), COMPARED)
def test_the_schema_of_a_topic_breaks_nobody_who_keeps_to_the_last_release(topic: str, direction: Direction) -> None:
    waived = [waiver.field for waiver in WAIVERS if (waiver.topic, waiver.direction) == (topic, direction)]
    found = compared(topic, direction, waived)
    assert found == [], (
        f"incompatible with {LAST.name}: give the field a default or another name, publish a new topic version,"
        f" or add a waiver with its reason to {RELEASED.relative_to(schemas.DIRECTORY.parent)}/waivers.yaml"
    )


def test_every_waiver_is_needed_and_says_why() -> None:
    for waiver in WAIVERS:
        assert Break(waiver.topic, waiver.field, waiver.direction) in compared(waiver.topic, waiver.direction, [])
        assert len(waiver.reason.split()) >= 5


def test_every_topic_of_the_last_release_is_still_there() -> None:
    assert set(OLD) <= set(NEW)
    was = {channel["address"] for channel in described(LAST)["channels"].values()}
    now = {channel["address"] for channel in described(schemas.DIRECTORY)["channels"].values()}
    assert was <= now


def described(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((directory / "asyncapi.yaml").read_text())
    return loaded


def test_every_kept_release_has_a_full_version_number() -> None:
    assert [name for name in releases() if not NUMBER.fullmatch(name)] == []


# What the last release called valid, the code still takes: documents instead of proofs


EXAMPLES = [
    (topic, json.loads(path.read_bytes()))
    for topic in OLD
    for path in sorted((LAST / "examples" / topic.rpartition(".")[0] / "valid").glob("*.json"))
]
VALID = {topic: Draft202012Validator(closed(schema), validate_formats=True) for topic, schema in OLD.items()}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([2**53 - 1, 2**53, -(2**53) + 1, -(2**53)]),
    st.sampled_from(["", "US", "USD", "x" * 64, "x" * 65, "x" * 128, "x" * 256, "x" * 257]),
    st.sampled_from(["2026-03-02T09:12:03Z", "2026-03-02T09:12:03.123456+05:30", "2026-03-02"]),
    st.sampled_from(sorted({value for kind in get_args(inputs.Message) for value in [kind.__struct_config__.tag]})),
    st.sampled_from(["final", "correction", "void", "user", "service_toll", "call_me", "declined", "dr_in"]),
    st.just([]),
    st.just({}),
)


@st.composite
def nearby(draw: st.DrawFn, examples: list[tuple[str, Any]]) -> tuple[str, Any]:
    """A valid document of the last release with up to two fields dropped or replaced."""
    topic, document = draw(st.sampled_from(examples))
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 2))):
        inside = document["data"] if isinstance(document.get("data"), dict) and draw(st.booleans()) else document
        if not inside:
            continue
        name = draw(st.sampled_from(sorted(inside)))
        if draw(st.booleans()):
            del inside[name]
        else:
            inside[name] = draw(VALUES)
    return topic, document


@settings(max_examples=500, deadline=None)
@given(nearby([case for case in EXAMPLES if case[0] in inputs.ACCEPTED]))
def test_the_decoder_takes_whatever_the_last_release_declared_valid(case: tuple[str, Any]) -> None:
    topic, document = case
    if VALID[topic].is_valid(document):
        inputs.decode(topic, json.dumps(document).encode())


@pytest.mark.parametrize("topic", [topic for topic in OLD if topic in schemas.WRITTEN])
def test_the_meter_reads_the_records_of_the_last_release(topic: str) -> None:
    documents = [document for found, document in EXAMPLES if found == topic]
    assert documents
    for document in documents:
        msgspec.json.decode(json.dumps(document), type=schemas.WRITTEN[topic])


# The gate itself: it lets additions pass, finds what breaks, and agrees with documents


CALL = NEW["usage.call.v1"]


def changed(path: str, **keywords: Any) -> Schema:
    """The schema of calls with one field's keywords set, or, as None, removed."""
    schema = copy.deepcopy(CALL)
    node = schema["properties"]["data"]
    if path:
        node = node["properties"].setdefault(path, {})
    for name, value in keywords.items():
        if value is None:
            del node[name]
        else:
            node[name] = value
    return schema


def required(*names: str) -> list[str]:
    return [*CALL["properties"]["data"]["required"], *names]


TYPES: list[str] = CALL["properties"]["data"]["properties"]["call_type"]["enum"]
CHANGES: list[tuple[str, Schema, list[str], list[str]]] = [
    ("nothing", CALL, [], []),
    ("a new optional field", changed("zone", type="string"), [], []),
    ("a new field, required", changed("", required=required("zone")), ["data.zone"], []),
    ("a field may be missing", changed("", required=required()[1:]), [], [f"data.{required()[0]}"]),
    ("one more value", changed("call_type", enum=[*TYPES, "video"]), [], ["data.call_type"]),
    ("one value less", changed("call_type", enum=TYPES[1:]), ["data.call_type"], []),
    ("shorter", changed("user_id", maxLength=255), ["data.user_id"], []),
    ("longer", changed("user_id", maxLength=257), [], ["data.user_id"]),
    ("null no more", changed("user_id", type="string"), ["data.user_id"], []),
    ("another type", changed("callee", type="integer"), ["data.callee"], ["data.callee"]),
    ("fractions too", changed("connected_ms", type="number"), [], ["data.connected_ms"]),
    ("a larger minimum", changed("connected_ms", minimum=1), ["data.connected_ms"], []),
    ("any text for a time", changed("ended_at", format=None, pattern=None), [], ["data.ended_at"]),
    ("no such format", changed("ended_at", format=None), [], ["data.ended_at"]),
    ("another pattern", changed("ended_at", pattern="^2"), ["data.ended_at"], ["data.ended_at"]),
]


@pytest.mark.parametrize(("change", "schema", "read", "written"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_change_breaks_exactly_whom_it_hurts(
    change: str, schema: Schema, read: list[str], written: list[str]
) -> None:
    assert [found.field for found in breaks("t", CALL, schema, "read")] == read
    assert [found.field for found in breaks("t", CALL, schema, "written")] == written


@pytest.mark.parametrize(("change", "schema", "read", "written"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_waived_field_is_left_out_of_the_proof_and_no_other(
    change: str, schema: Schema, read: list[str], written: list[str]
) -> None:
    assert breaks("t", CALL, schema, "read", waived=read) == []
    assert breaks("t", CALL, schema, "written", waived=written) == []
    assert [found.field for found in breaks("t", CALL, schema, "read", waived=["data.caller"])] == read


def test_a_type_of_event_may_be_added_but_one_that_was_read_may_not_go() -> None:
    both = NEW["account.commands.v1"]
    one = {**both, "oneOf": both["oneOf"][1:]}
    gone = both["oneOf"][0]["properties"]["type"]["const"]
    assert breaks("t", one, both, "read") == breaks("t", one, both, "written") == []
    assert [found.field for found in breaks("t", both, one, "read")] == [f"type={gone}"]
    notices = NEW["notifications.v1"]
    more = copy.deepcopy(notices)
    more["properties"]["type"]["enum"].append("credits.news.v1")
    assert breaks("t", notices, more, "written") == []


def test_a_change_deep_inside_a_list_is_found_and_named() -> None:
    ledger = NEW["ledger.v1"]
    wider = copy.deepcopy(ledger)
    wider["properties"]["data"]["properties"]["lots"]["items"]["properties"]["amount_micros"]["type"] = [
        "integer",
        "null",
    ]
    assert breaks("t", ledger, wider, "written") == [Break("t", "data.lots[].amount_micros", "written")]
    assert breaks("t", ledger, wider, "written", waived=["data.lots[].amount_micros"]) == []


@settings(max_examples=300, deadline=None)
@given(nearby([case for case in EXAMPLES if case[0] == "usage.call.v1"]), st.sampled_from(CHANGES))
def test_no_document_contradicts_a_proof(
    case: tuple[str, Any], change: tuple[str, Schema, list[str], list[str]]
) -> None:
    _, document = case
    _, schema, read, written = change
    before, after = (Draft202012Validator(each, validate_formats=True) for each in (CALL, schema))
    if not read and Draft202012Validator(closed(CALL), validate_formats=True).is_valid(document):
        assert after.is_valid(document)
    if not written and after.is_valid(document):
        assert before.is_valid(document)
