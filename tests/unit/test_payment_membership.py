"""The payment worker settles only what it read as a member of its group; a consumer that lost its place is replaced."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from processor.payments.inbox import Inbox
from processor.payments.simulated import SimulatedProvider

# What kafka-python does while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")


class Consumer:
    """Reads one undecodable record over and over; its membership is what the test says."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.sought: list[int] = []

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        assert timeout_ms > 0
        return {Place(3): [SimpleNamespace(offset=7, value=b"no command", headers=[])]}

    def group_metadata(self) -> object:
        return SimpleNamespace(state=self.state)

    def assignment(self) -> set[Any]:
        return {Place(3)}

    def seek(self, at: Any, offset: int) -> None:
        assert at == Place(3)
        self.sought.append(offset)


class Place(int):
    """Stands for a TopicPartition."""

    @property
    def partition(self) -> int:
        return int(self)


def work(consumer: Consumer) -> None:
    from processor.payments.worker import PaymentWorker

    worker = PaymentWorker(
        {}, SimulatedProvider(), Inbox("sqlite://"), group="g", instance="i", registry=CollectorRegistry()
    )
    worker._work(consumer, producer=None, cashier=None)  # type: ignore[arg-type]


def test_records_of_a_member_are_settled() -> None:
    from kafka.structs import MemberState

    from processor.payments.batch import UndecodableCommand

    with pytest.raises(UndecodableCommand):
        work(Consumer(MemberState.STABLE))


def test_without_membership_nothing_is_settled_and_the_consumer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka.structs import MemberState

    monkeypatch.setattr("processor.payments.worker.MEMBERSHIP_S", 0.05)
    consumer = Consumer(MemberState.REBALANCING)
    work(consumer)
    assert set(consumer.sought) == {7}
