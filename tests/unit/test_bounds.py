"""Whatever waits or is gathered has a limit, and who is at the limit waits or stops gathering."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from processor.contracts import topics
from processor.contracts.outputs import encode
from processor.domain.errors import InputRejected
from processor.settings import Settings
from processor.stream.batches import Batch
from processor.stream.cycle import BATCHES_WAITING_MAX, TIMERS_MAX
from processor.stream.dead_letters import MAX_PARKED_BYTES, park
from processor.stream.lane import Lane
from processor.stream.partition import PartitionProcessor
from processor.stream.work import Work
from processor.testing import Input, kafka_message
from processor.worker import consumer_config
from tests.unit.builders import NOW, TENANT, autopay, call, tariff
from tests.unit.test_stream_timers import HOME, World, record


def play(scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Runs a scene on a cycle whose loop does not run: what is offered stays until the scene takes it."""

    async def run() -> None:
        await scene(World())

    asyncio.run(run())


async def settled(task: "asyncio.Task[Any]") -> bool:
    """Tells whether a task ends without anything else happening."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


def test_so_many_batches_may_wait_and_the_next_is_not_fetched_before_some_are_taken() -> None:
    async def scene(world: World) -> None:
        for sequence in range(BATCHES_WAITING_MAX):
            assert await settled(asyncio.create_task(world.cycle.has_room()))
            world.cycle.offer(Batch(sequence, [record(call())] * 60))
        waiting = asyncio.create_task(world.cycle.has_room())
        assert not await settled(waiting)
        world.cycle._take()
        assert await settled(waiting)

    play(scene)


def test_a_transaction_takes_no_more_batches_than_it_may_have_records() -> None:
    async def scene(world: World) -> None:  # whose limit is 100
        for sequence, size in enumerate((60, 40, 1, 150)):
            world.cycle.offer(Batch(sequence, [record(call())] * size))
        assert [len(world.cycle._take()[0]) for _ in range(3)] == [100, 1, 150]

    play(scene)


def test_timers_of_all_partitions_together_have_a_limit_per_transaction_and_the_rest_follows() -> None:
    async def scene(world: World) -> None:
        due = NOW + timedelta(minutes=6)
        for number in (0, 1):
            processor = PartitionProcessor(0, 1, tariff())  # where every tenant is at home
            for index in range(TIMERS_MAX * 3 // 4):
                sent = Input(topics.ACCOUNT_COMMANDS, f"t{index}", encode(autopay(tenant_id=f"t{index}")))
                processor.process(sent.topic, [kafka_message(sent, 0, 0, NOW)], Work(NOW))
            world.cycle.processors[number] = processor
        world.cycle._positions[topics.ACCOUNT_COMMANDS, 0] = 1
        world.cycle._timers_from = NOW
        fired = []
        for _ in range(3):
            work = Work(due)
            world.cycle._fire(work)
            fired.append(work.timers)
        assert fired == [TIMERS_MAX, TIMERS_MAX // 2, 0]

    play(scene)


def test_the_lane_asks_for_room_before_it_delivers_a_batch_and_waits_until_it_arrived() -> None:
    told: list[str] = []

    class Owner:
        async def has_room(self) -> None:
            told.append("room")

        async def arrived(self, sequence: int) -> None:
            told.append(f"arrived {sequence}")

    async def deliver(batch: Batch) -> None:
        told.append(f"delivered {batch.sequence}")

    async def run() -> None:
        conf = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
        lane = Lane(
            conf,
            topics.INPUTS,
            Owner(),
            batch_max_events=1,
            patience_s=1,
            on_death=lambda _: None,  # type: ignore[arg-type]
        )
        lane._deliver = deliver
        await lane._hand_over([])
        await lane._hand_over([])
        lane._consumer.close()

    asyncio.run(run())
    assert told == ["room", "delivered 0", "arrived 0", "room", "delivered 1", "arrived 1"]


def test_what_is_fetched_ahead_has_a_limit_in_bytes_that_is_a_fraction_of_a_workers_memory() -> None:
    config = consumer_config(Settings(), {}, "a")
    assert config["queued.max.messages.kbytes"] == 64 << 10
    assert config["fetch.message.max.bytes"] <= 512 << 10


def test_a_dead_letter_has_a_limit_however_large_its_record_and_its_headers_were() -> None:
    limit = MAX_PARKED_BYTES
    for value, headers in ((b"x" * (limit + 1), []), (b"", [("h", b"x" * (limit + 1))]), (b"x" * limit, [])):
        sent = kafka_message(Input(topics.USAGE_CALL, "t" * 2000, value, headers), HOME, 0, NOW)
        letter = park(sent, "decode", InputRejected("too_large", "…"))
        size = (
            len(letter.key or b"") + len(letter.value or b"") + sum(len(n) + len(v or b"") for n, v in letter.headers)
        )
        assert size < 4096
    kept = park(
        kafka_message(Input(topics.USAGE_CALL, TENANT, b"x"), HOME, 0, NOW), "decode", InputRejected("not_json", "")
    )
    assert kept.value == b"x"
