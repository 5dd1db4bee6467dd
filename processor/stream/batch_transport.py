"""A Faust transport that hands an agent whole fetched batches.

Faust keeps what it is good at: the application frame, the agent and the life cycle. Partitions, offsets and commits
are the lane's. To Faust the lane looks like one partition that is assigned once and never revoked, so its own
rebalancing, which drops events of an older generation without a word, has nothing to do. Private names of
faust-streaming 0.15.3 are used here and nowhere else (tests/contract/test_faust_names.py).
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.transport import base
from faust.transport.drivers import confluent
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from processor.domain.errors import InvariantViolated
from processor.stream.batches import Batch
from processor.stream.lane import Lane


class BatchApp(faust.App):
    """A Faust app whose only transport is the lane."""

    lane: Lane

    def _new_transport(self) -> "BatchTransport":
        return BatchTransport(self.conf.broker_consumer, self)


class NoTables(TableManager):
    """Faust's table manager without tables: it would wait a second for some to be declared."""

    async def on_start(self) -> None:
        """Declares at once that there are none."""
        await self._update_channels()
        await self.recovery.start()


class LaneThread(confluent.ConfluentConsumerThread):
    """Stands where Faust's consumer thread would; the consumer is the lane."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        del loop
        return self.app.lane

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Called by Faust when the agents are ready: announces the one partition and starts to fetch."""
        await self.consumer.begin(TP(min(topics), 0))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Positions are the lane's (steps A1 and A3)."""
        return {}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock detector watches offsets that it does not own here."""


class LaneConsumer(confluent.Consumer):
    """Passes batches to Faust's streams and commits nothing: offsets are part of the transaction."""

    def _new_consumer_thread(self) -> LaneThread:
        return LaneThread(self, loop=self.loop, beacon=self.beacon)

    async def begin(self, lane_tp: TP) -> None:
        """Tells Faust about the lane, once, and lets the lane join the consumer group."""
        self._lane_tp = lane_tp
        self._assigning = asyncio.create_task(self._assign_once())

    async def _assign_once(self) -> None:
        self.app.consumer_generation_id = 1
        self.app.on_rebalance_start()
        await self.on_partitions_assigned({self._lane_tp}, 1)
        self.app.lane.start(self.deliver)

    async def deliver(self, batch: Batch) -> None:
        """Puts one batch on the agent's stream."""
        tp = self._lane_tp
        await self.callback(
            ConsumerMessage(
                tp.topic, tp.partition, batch.sequence, 0.0, 0, (), None, batch, None, 0, 0, tp, generation_id=1
            )
        )

    async def _drain_messages(self, fetcher: Any) -> None:
        while not fetcher.should_stop:
            await fetcher.sleep(1.0)

    def ack(self, message: Any) -> bool:
        """Forgets a message that the agent took; nothing is committed by it."""
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Leaves committing to the transaction (steps B5 and B6)."""
        del topics, start_new_transaction
        return False


class SilentProducer(base.Producer):
    """Faust sends nothing here: every output belongs to the transaction."""

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Refuses: a record sent by Faust would be outside of the transaction."""
        del args, kwargs
        raise InvariantViolated(f"{topic}: outputs are produced by the commit cycle")

    async def flush(self) -> None:
        """Has nothing to flush."""


class BatchTransport(confluent.Transport):
    """The lane as a Faust transport."""

    Consumer = LaneConsumer
    Producer = SilentProducer
