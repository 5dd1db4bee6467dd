"""What is fetched comes in pieces; each partition's records are applied together and in their order."""

import itertools

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from processor.stream.batches import runs

PLACES = st.tuples(st.sampled_from(["usage", "commands"]), st.integers(0, 3))


@given(st.lists(PLACES))
def test_runs_hold_every_record_once_in_the_order_of_its_partition(places: list[tuple[str, int]]) -> None:
    records = [Message(topic, number, offset) for offset, (topic, number) in enumerate(places)]
    found = list(runs(records))
    for topic, number, run in found:
        assert {(record.topic(), record.partition()) for record in run} == {(topic, number)}
    fetched = sorted((number, offset) for offset, (_, number) in enumerate(places))
    assert [(number, record.offset()) for _, number, run in found for record in run] == fetched


@given(st.lists(PLACES))
def test_neighbouring_runs_differ_in_topic_or_partition(places: list[tuple[str, int]]) -> None:
    found = [run[:2] for run in runs([Message(topic, number, offset) for offset, (topic, number) in enumerate(places)])]
    assert all(one != other for one, other in itertools.pairwise(found))
