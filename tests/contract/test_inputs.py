"""Records become typed messages or a reason, and nothing else: no value of a field may leak into the reason."""

import json
import string
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.contracts import inputs, schemas, topics
from processor.domain.errors import REASONS, InputRejected
from processor.domain.messages import CallUsage, ConferenceUsage, Funded, RechargeDecided


def example(topic: str, name: str) -> dict[str, Any]:
    path = schemas.DIRECTORY / "examples" / topic.removesuffix(".v1") / "valid" / f"{name}.json"
    return json.loads(path.read_bytes())


CALL = example(topics.USAGE_CALL, "outbound-user-call")
FUND = example(topics.ACCOUNT_COMMANDS, "fund")


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def binary(document: dict[str, Any], **changed: bytes | None) -> tuple[list[tuple[str, bytes | None]], bytes]:
    """The same event in CloudEvents' binary mode: attributes as headers, the value is the data alone."""
    attributes = {name: str(value).encode() for name, value in document.items() if name != "data"}
    headers = [(f"ce_{name}", value) for name, value in (attributes | changed).items()]
    return [("content-type", b"application/json"), *headers], encoded(document["data"])


def rejected(topic: str, value: bytes | None, headers: inputs.Headers = None) -> InputRejected:
    with pytest.raises(InputRejected) as caught:
        inputs.decode(topic, value, headers)
    assert caught.value.reason in REASONS
    return caught.value


# What is accepted


@pytest.mark.parametrize(
    ("topic", "name", "kind"),
    [
        (topics.USAGE_CALL, "outbound-user-call", CallUsage),
        (topics.USAGE_CONFERENCE, "dial-out", ConferenceUsage),
        (topics.ACCOUNT_COMMANDS, "fund", Funded),
        (topics.RECHARGE_RESULTS, "succeeded", RechargeDecided),
        (topics.USAGE_REROUTED, "conference", ConferenceUsage),
    ],
)
def test_structured_and_binary_mode_give_the_same_message(topic, name, kind):
    document = example(topic, name)
    structured = inputs.decode(topic, encoded(document), [("content-type", b"application/cloudevents+json")])
    headers, data = binary(document)
    assert type(structured) is kind
    assert inputs.decode(topic, data, headers) == structured


def test_binary_mode_keeps_ids_that_are_not_ascii():
    headers, data = binary(CALL, id="Gespräch-7".encode())
    assert inputs.decode(topics.USAGE_CALL, data, headers).id == "Gespräch-7"


def test_headers_beside_a_structured_event_change_nothing():
    headers = [("ce_id", b"another"), ("traceparent", b"00-1-2-01"), ("ce_source", None)]
    assert inputs.decode(topics.USAGE_CALL, encoded(CALL), headers).id == CALL["id"]


def test_unknown_fields_are_ignored():
    document = CALL | {"vendorextension": {"deep": [1.5, None]}, "data": CALL["data"] | {"mos": 4.2}}
    assert inputs.decode(topics.USAGE_CALL, encoded(document)) == inputs.decode(topics.USAGE_CALL, encoded(CALL))


# What is refused, and why


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x00\x01",
        b"{",
        b"not json",
        b'{"type":',
        b"\xff\xfe{}",
        encoded(CALL)[:-1],
        encoded(CALL) + b"x",
        b"[" * 5000 + b"]" * 5000,
        b'{"type":' + b"[" * 5000 + b"]" * 5000 + b"}",
        encoded(CALL).replace(b"c-7f3a", b"c-\xe4"),
    ],
)
def test_what_is_not_json_is_called_so(value):
    assert rejected(topics.USAGE_CALL, value).reason == "not_json"


@pytest.mark.parametrize(
    "value", [b"{}", b"[]", b"null", b"7", b'"telephony.call.v1"', b'{"type":null}', b'{"type":7}']
)
def test_json_that_is_no_cloudevent_is_schema_invalid(value):
    assert rejected(topics.USAGE_CALL, value).reason == "schema_invalid"


@pytest.mark.parametrize("kind", ["telephony.call.v2", "credits.ledger.entry.v1", ""])
def test_a_type_that_no_message_has_is_unknown(kind):
    assert rejected(topics.USAGE_CALL, encoded(CALL | {"type": kind})).reason == "unknown_type"


@pytest.mark.parametrize("topic", [topics.USAGE_CALL, topics.USAGE_CONFERENCE, topics.RECHARGE_RESULTS])
def test_whoever_may_write_usage_cannot_fund_an_account(topic):
    assert rejected(topic, encoded(FUND)).reason == "unknown_type"
    headers, data = binary(FUND)
    assert rejected(topic, data, headers).reason == "unknown_type"


def test_a_record_is_too_large_beyond_the_limit_and_not_before():
    padded = encoded(CALL | {"pad": ""})
    room = inputs.MAX_RECORD_BYTES - len(padded)
    assert inputs.decode(topics.USAGE_CALL, padded.replace(b'"pad": ""', b'"pad": "' + b"x" * room + b'"')).id
    above = padded.replace(b'"pad": ""', b'"pad": "' + b"x" * (room + 1) + b'"')
    assert rejected(topics.USAGE_CALL, above).reason == "too_large"


def test_binary_mode_has_the_same_reasons():
    headers, data = binary(CALL)
    assert rejected(topics.USAGE_CALL, data[:-1], headers).reason == "not_json"
    assert rejected(topics.USAGE_CALL, b"{}", headers).reason == "schema_invalid"
    headers, data = binary(CALL, type=b"telephony.call.v2")
    assert rejected(topics.USAGE_CALL, data, headers).reason == "unknown_type"
    headers, data = binary(CALL, id=None)
    assert rejected(topics.USAGE_CALL, data, headers).reason == "schema_invalid"
    headers, data = binary(CALL, specversion=b"0.3")
    assert rejected(topics.USAGE_CALL, data, headers).reason == "schema_invalid"


def test_data_without_its_attributes_is_no_event():
    _, data = binary(CALL)
    assert rejected(topics.USAGE_CALL, data).reason == "schema_invalid"


def test_a_rejection_names_the_field():
    document = CALL | {"data": CALL["data"] | {"connected_ms": -1}}
    assert "$.data.connected_ms" in rejected(topics.USAGE_CALL, encoded(document)).message


VALUE = "zq'zq`zq\"zq+15555550177"
"""Looks like nothing that a message says by itself, and has the quotes that a careless redaction stops at."""


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*CALL, *CALL["data"]]),
    st.sampled_from([VALUE, [VALUE], {VALUE: VALUE}, 918273645546, -918273645546, 91827.5, "$.type" + VALUE]),
    st.booleans(),
)
def test_a_rejection_never_carries_a_value_of_the_record(field, value, as_binary):
    document = json.loads(encoded(CALL))
    (document if field in document else document["data"])[field] = value
    headers, body = binary(document) if as_binary else (None, encoded(document))
    try:
        inputs.decode(topics.USAGE_CALL, body, headers)
    except InputRejected as refusal:
        told = refusal.message + str(refusal)
        for leaked in ("zq", "5555", "918273", "91827.5"):
            assert leaked not in told
        for value_of_the_example in ("contoso", "442079", "c-7f3a", "MCOPSTN1"):
            assert value_of_the_example not in told


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(topics.INPUTS))
def test_any_bytes_are_a_message_or_a_rejection(value, topic):
    assert rejected(topic, value).reason in ("not_json", "schema_invalid", "unknown_type")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_event_is_a_message_or_a_rejection(data):
    value = bytearray(encoded(CALL))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputRejected):
        assert isinstance(inputs.decode(topics.USAGE_CALL, bytes(value)), CallUsage)


# The identity of an event


def test_an_event_and_its_retry_have_one_identity():
    assert inputs.identity("/sbc", "evt-1") == inputs.identity("/sbc", "evt-1")
    assert len(inputs.identity("/sbc", "evt-1")) == 16


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=40), st.data())
def test_moving_the_border_between_source_and_id_is_another_identity(text, data):
    first = data.draw(st.integers(0, len(text)))
    second = data.draw(st.integers(0, len(text)).filter(lambda place: place != first))
    assert inputs.identity(text[:first], text[first:]) != inputs.identity(text[:second], text[second:])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("1:a", "b"), ("1", ":ab")),
        (("a", "1:b"), ("a1:", "b")),
        (("", "1:ab"), ("a", "b")),
        (("é", "x"), ("e", "\u0301x")),
        (("12:", ""), ("1", "2:")),
    ],
)
def test_sources_that_look_like_the_separator_do_not_collide(one, other):
    assert inputs.identity(*one) != inputs.identity(*other)


def test_every_digit_of_the_alphabet_counts():
    seen = {inputs.identity(source, event) for source in string.printable for event in string.printable}
    assert len(seen) == len(string.printable) ** 2


def test_the_decoder_reads_what_its_own_types_write():
    message = inputs.decode(topics.USAGE_CALL, encoded(CALL))
    assert inputs.decode(topics.USAGE_CALL, msgspec.json.encode(message)) == message
