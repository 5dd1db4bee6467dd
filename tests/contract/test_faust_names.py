"""The private names of faust-streaming that the batch transport stands on are still there, with their signatures.

When one of these fails after an upgrade: read `processor/stream/batch_transport.py`, follow the renamed piece, adjust
both, and run the crash tests before anything else.
"""

import inspect
from importlib.metadata import version
from typing import Any

import faust
import pytest
from faust.tables.manager import TableManager
from faust.transport import base
from faust.transport.consumer import Consumer
from faust.transport.drivers import confluent
from faust.types.tuples import ConsumerMessage

PINNED = "0.15.3"

NAMES: list[tuple[Any, str, list[str]]] = [
    (faust.App, "_new_transport", ["self"]),
    (faust.App, "on_rebalance_start", ["self"]),
    (confluent.Transport, "Consumer", []),
    (confluent.Transport, "Producer", []),
    (confluent.Consumer, "_new_consumer_thread", ["self"]),
    (confluent.ConfluentConsumerThread, "_create_consumer", ["self", "loop"]),
    (confluent.ConfluentConsumerThread, "subscribe", ["self", "topics"]),
    (confluent.ConfluentConsumerThread, "seek_to_committed", ["self"]),
    (Consumer, "_drain_messages", ["self", "fetcher"]),
    (Consumer, "ack", ["self", "message"]),
    (Consumer, "on_partitions_assigned", ["self", "assigned", "generation_id"]),
    (confluent.Consumer, "commit", ["self", "topics", "start_new_transaction"]),
    (base.Producer, "flush", ["self"]),
    (TableManager, "_update_channels", ["self"]),
    (TableManager, "on_start", ["self"]),
]


@pytest.mark.parametrize(
    ("owner", "name", "parameters"), NAMES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_an_override_point_of_faust_has_its_name_and_signature(owner: Any, name: str, parameters: list[str]) -> None:
    found = getattr(owner, name, None)
    assert found is not None, f"faust-streaming {version('faust-streaming')}: {owner.__name__}.{name} is gone"
    if parameters:
        assert list(inspect.signature(found).parameters) == parameters


def test_faust_is_the_release_that_the_overrides_were_written_for() -> None:
    assert version("faust-streaming") == PINNED


def test_a_message_can_carry_a_batch_and_a_generation() -> None:
    wanted = ["topic", "partition", "offset", "timestamp", "timestamp_type", "headers", "key", "value", "checksum"]
    parameters = list(inspect.signature(ConsumerMessage).parameters)
    assert parameters[:9] == wanted
    assert "generation_id" in parameters


def test_a_stream_skips_only_messages_of_another_generation_which_the_lane_never_changes() -> None:
    from faust import streams

    assert "message.generation_id != self.app.consumer_generation_id" in inspect.getsource(streams)
