"""What is shown of a parked record says what is wrong with it and whom nobody can call."""

import json

import pytest

from processor.cli.masking import masked, masked_key
from processor.contracts.outputs import encode
from tests.unit.builders import call, conference


def test_a_usage_event_keeps_everything_but_the_ends_of_its_numbers() -> None:
    event = call()
    shown = json.loads(masked(encode(event)))
    assert shown["data"].pop("caller") == "+1425•••••••"
    assert shown["data"].pop("callee") == "+4420••••••••"
    whole = json.loads(encode(event))
    del whole["data"]["caller"], whole["data"]["callee"]
    assert shown == whole


def test_both_numbers_of_a_conference_are_masked() -> None:
    shown = masked(encode(conference(bridge_number="+14255550111")))
    assert "+1425•••••••" in shown
    assert "5550111" not in shown
    assert "79460000" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"from": "14255550100"}', '{\n  "from": "1425•••••••"\n}'),
        (b'{"from": 14255550100}', '{\n  "from": "1425•••••••"\n}'),
        (b'{"data": {"end_reason": "busy: +1 (425) 555-0100"}}', "busy: +1 (425) •••-••••"),
        (b'{"data": {"caller": "sip:alice@example.com"}}', '"caller": "…"'),
        (b'{"data": {"caller": ""}}', '"caller": ""'),
        (b'{"data": {"caller": ["+14255550100"]}}', "+1425•••••••"),
        (b'{"+14255550100": 1}', '"+1425•••••••"'),
        (b'{"data": {"callee": "+442079460000", "cut', '{"data": {"callee": "+4420••••••••", "cut'),
        (b"\xff+442079460000", "\ufffd+4420••••••••"),
        (b'{"data": {"connected_ms": 1250000, "ok": true}}', '"connected_ms": 1250000'),
        (b'{"data": {"tenant_id": "19760412-0815"}}', '"tenant_id": "19760412-0815"'),
    ],
)
def test_numbers_are_masked_wherever_a_broken_producer_puts_them(value: bytes, shown: str) -> None:
    assert shown in masked(value)


def test_a_key_that_is_a_number_is_masked_and_a_tenant_is_not() -> None:
    assert masked_key(b"+14255550100") == "+1425•••••••"
    assert masked_key(b"tenant-00012345678") == "tenant-00012345678"
