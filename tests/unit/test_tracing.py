"""The trace of the event that caused a recharge is linked from the command; what is not a trace context is not."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from processor.settings import Settings
from processor.stream.tracing import link

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class FakeRecord:
    """As much of a Kafka message as a link is made from."""

    attributes: object = None
    its_headers: list[tuple[str, bytes | None]] | None = None

    def value(self) -> bytes:
        return json.dumps(self.attributes or {}).encode()

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.its_headers


def linked(record: FakeRecord) -> object:
    return link(record)  # type: ignore[arg-type]


def test_the_attributes_of_the_event_become_headers() -> None:
    event = {"traceparent": PARENT, "tracestate": "vendor=abc,other=1", "data": {"caller": "+14255550100"}}
    assert linked(FakeRecord(event)) == [("traceparent", PARENT.encode()), ("tracestate", b"vendor=abc,other=1")]


@pytest.mark.parametrize("name", ["traceparent", "ce_traceparent"])
def test_headers_of_the_record_win_over_attributes(name: str) -> None:
    found = linked(FakeRecord({"traceparent": PARENT}, [(name, OTHER.encode())]))
    assert found == [("traceparent", OTHER.encode())]


@pytest.mark.parametrize(
    "value", ["", "+442079460018", PARENT.upper(), PARENT + "-more", "00-" + "0" * 32 + PARENT[35:], "ff" + PARENT[2:]]
)
def test_what_is_no_trace_context_is_not_passed_on(value: str) -> None:
    assert linked(FakeRecord({"traceparent": value, "tracestate": "a=1"})) is None


@pytest.mark.parametrize("state", ["", "no pairs", "a=1\n", "a=" + "x" * 600])
def test_a_malformed_state_is_left_out(state: str) -> None:
    assert linked(FakeRecord({"traceparent": PARENT, "tracestate": state})) == [("traceparent", PARENT.encode())]


@pytest.mark.parametrize("attributes", [None, [], {"traceparent": 5}])
def test_an_event_without_context_has_no_link(attributes: object) -> None:
    assert linked(FakeRecord(attributes)) is None


def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    looking = "import sys, processor.worker, processor.cli.payments; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looking], check=False).returncode == 0


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="tracing_endpoint"):
        Settings(tracing_endpoint="collector:4318")
