"""Timers fire in order and once, and every transaction that they make can be fenced."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta

from confluent_kafka import Message as Record
from hypothesis import given
from hypothesis import strategies as st

from processor.contracts import topics
from processor.contracts.outputs import decode_account, encode, glimpse
from processor.domain.account import Account
from processor.domain.metering import apply
from processor.domain.timers import next_due
from processor.stream.balance_table import partition_of
from processor.stream.batches import Batch
from processor.stream.cycle import TIMERS_REST, Cycle
from processor.stream.partition import PartitionProcessor
from processor.stream.survey import HORIZON, Survey
from processor.stream.timers import STALE_MAX, Timers
from processor.stream.work import Work
from processor.testing import Input, MemoryTable, kafka_message
from tests.property.histories import histories, rates, resolve
from tests.unit.builders import NOW, TENANT, autopay, call, tariff

PARTITIONS = 8
HOME = partition_of(TENANT, PARTITIONS)
DEADLINE = timedelta(seconds=300)
TOPIC_OF = {"telephony.call.v1": topics.USAGE_CALL, "telephony.conference.v1": topics.USAGE_CONFERENCE,
            "payments.recharge.decided.v1": topics.RECHARGE_RESULTS}  # fmt: skip


def record(message, now: datetime = NOW) -> Record:
    kind = type(message).__struct_config__.tag
    sent = Input(TOPIC_OF.get(kind, topics.ACCOUNT_COMMANDS), TENANT, encode(message))
    return kafka_message(sent, HOME, 0, now)


# The heap


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 50))), max_size=60), st.integers(1, 5))
def test_timers_fire_in_order_each_at_the_last_time_it_was_set_to(moves, limit):
    timers, expected = Timers(), {}
    for tenant, minute in moves:
        due = None if minute is None else NOW + timedelta(minutes=minute)
        timers.arm(f"t{tenant}", due)
        expected[f"t{tenant}"] = due
    expected = {tenant: due for tenant, due in expected.items() if due is not None}
    assert (timers.next(), len(timers)) == (min(expected.values(), default=None), len(expected))
    now, fired = NOW + timedelta(minutes=25), []
    while taken := timers.take(now, limit):
        assert len(taken) <= limit
        fired += taken
    assert sorted(fired) == sorted(tenant for tenant, due in expected.items() if due <= now)
    assert [expected[tenant] for tenant in fired] == sorted(expected[tenant] for tenant in fired)


def test_a_timer_that_is_moved_for_years_does_not_fill_the_memory():
    timers = Timers()
    for minute in range(10 * STALE_MAX):
        timers.arm(TENANT, NOW + timedelta(minutes=minute % 7))
    assert len(timers._heap) <= STALE_MAX + 3


# The partition


@given(histories)
def test_a_timer_is_never_later_than_what_the_account_needs(history):
    """A timer that is early finds nothing to do and is set again; one that is late would be a promise broken."""
    processor = PartitionProcessor(HOME, PARTITIONS, rates())
    for message, now in resolve(history):
        made = record(message, now)
        processor.process(made.topic(), [made], Work(now))
        account = processor.table.get(TENANT)
        if account is not None:
            due, armed = next_due(account, processor.tariff.policy), processor.timers.next()
            assert due is None or (armed is not None and armed <= due)


@given(histories)
def test_a_glimpse_of_the_published_account_tells_when_it_needs_the_clock(history):
    processor = PartitionProcessor(HOME, PARTITIONS, rates())
    for message, now in resolve(history):
        made = record(message)
        processor.process(made.topic(), [made], Work(now))
    account, policy = processor.table.get(TENANT), processor.tariff.policy
    if account is not None:
        assert next_due(glimpse(encode(account)), policy) == next_due(decode_account(encode(account)), policy)


# The cycle


class Broker:
    """Takes commits; stands in for the transactional producer."""

    def __init__(self) -> None:
        self.committed: asyncio.Queue[Work] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    def open(self) -> None:
        pass

    def commit(self, work: Work, _group_metadata: object) -> None:
        assert work.offsets, "a transaction that nobody can fence"
        self._loop.call_soon_threadsafe(self.committed.put_nowait, work)


class Silent:
    """Checkpoints that keep nothing, and an observer who looks away."""

    def __getattr__(self, name: str):
        return lambda *_: None


class World:
    """A cycle on one partition with a clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW
        self.broker = Broker()
        self.processor: PartitionProcessor
        self.sequence = 0
        self.cycle = make_cycle(self)

    async def adopt(self, positions: dict[tuple[str, int], int]) -> None:
        await self.cycle.adopt({HOME}, positions)
        self.processor = self.cycle.processors[HOME]

    async def bring(self, *messages, ends: dict[tuple[str, int], int] | None = None) -> None:
        self.cycle.offer(Batch(self.sequence, [record(message, self.now) for message in messages], ends or {}))
        self.sequence += 1

    async def commit(self) -> Work:
        return await self.broker.committed.get()

    def after(self, time: timedelta) -> None:
        self.now += time
        self.cycle._wake.set()  # what the clock of the loop would do a little later


def commands(work: Work) -> list[tuple[str, int]]:
    found = [json.loads(out[3])["data"] for out in work.outputs if out[0] == topics.RECHARGE_COMMANDS]
    return [(command["recharge_id"], command["attempt"]) for command in found]


def play(scene) -> None:
    async def run() -> None:
        world = World()
        await world.cycle.start()
        await scene(world)
        await world.cycle.stop()

    asyncio.run(run())


def test_a_deadline_on_an_idle_partition_is_committed_with_the_position_of_an_owned_partition():
    async def scene(world: World) -> None:
        await world.adopt({})
        await world.bring(autopay())
        assert commands(await world.commit()) == [(f"{TENANT}:1", 1)]
        world.after(DEADLINE)
        work = await world.commit()
        assert commands(work) == [(f"{TENANT}:1", 2)]
        assert work.offsets == {(topics.ACCOUNT_COMMANDS, HOME): 1}
        assert (work.events, work.timers) == (0, 1)

    play(scene)


def test_a_position_moves_behind_the_markers_at_the_end_of_its_partition_and_never_back():
    async def scene(world: World) -> None:
        await world.adopt({(topics.RECHARGE_RESULTS, HOME): 5})
        await world.bring(ends={(topics.RECHARGE_RESULTS, HOME): 7, (topics.USAGE_CALL, HOME): 0})
        work = await world.commit()
        assert (work.events, work.offsets) == (0, {(topics.RECHARGE_RESULTS, HOME): 7})
        await world.bring(ends={(topics.RECHARGE_RESULTS, HOME): 6})  # says nothing new: no transaction
        await world.bring(autopay(), ends={(topics.ACCOUNT_COMMANDS, HOME): 2})
        assert (await world.commit()).offsets == {(topics.ACCOUNT_COMMANDS, HOME): 2}

    play(scene)


def test_what_a_partition_held_at_its_end_is_forgotten_with_the_partition():
    async def scene(world: World) -> None:
        await world.adopt({(topics.RECHARGE_RESULTS, HOME): 5})
        async with world.cycle._lock:  # nothing is taken meanwhile
            await world.bring(ends={(topics.RECHARGE_RESULTS, HOME): 7})
            releasing = asyncio.create_task(world.cycle.release({HOME}))
        await releasing
        await world.adopt({(topics.RECHARGE_RESULTS, HOME): 5})
        await world.bring(autopay())
        assert (await world.commit()).offsets == {(topics.ACCOUNT_COMMANDS, HOME): 1}

    play(scene)


def test_under_load_timers_are_part_of_the_transaction_of_a_batch():
    async def scene(world: World) -> None:
        await world.adopt({})
        await world.bring(autopay())
        await world.commit()
        world.now += DEADLINE
        await world.bring(call(started_at=world.now - timedelta(seconds=60)))
        work = await world.commit()
        assert commands(work) == [(f"{TENANT}:1", 2)]
        assert work.offsets == {(topics.USAGE_CALL, HOME): 1}

    play(scene)


def test_after_a_take_over_timers_wait_for_results_that_have_arrived_meanwhile():
    async def scene(world: World) -> None:
        await world.adopt({})
        await world.bring(autopay())
        await world.commit()
        await world.cycle.release({HOME})
        left = world.processor.table.get(TENANT)
        assert left is not None
        world.now += 2 * DEADLINE
        await world.adopt({(topics.RECHARGE_RESULTS, HOME): 7})
        accounts = MemoryTable({TENANT.encode(): encode(left)})
        world.processor.restored(accounts, MemoryTable({}))
        Survey(world.processor, accounts, world.now + HORIZON).step()
        assert world.cycle._until_due_s() == TIMERS_REST.total_seconds()
        world.after(TIMERS_REST)
        work = await world.commit()
        assert commands(work) == [(f"{TENANT}:1", 2)]
        assert work.offsets == {(topics.RECHARGE_RESULTS, HOME): 7}

    play(scene)


def test_without_any_known_position_no_timer_fires_before_the_first_record_gives_one():
    """So it is where the group's positions were lost and the accounts were not."""

    async def scene(world: World) -> None:
        await world.adopt({})
        accounts = MemoryTable({TENANT.encode(): encode(waiting())})
        world.processor.restored(accounts, MemoryTable({}))
        Survey(world.processor, accounts, NOW + HORIZON).step()
        world.now += DEADLINE
        assert world.cycle._until_due_s() == float("inf")
        await world.bring(call(call_type="user_in"))
        assert commands(await world.commit()) == [(f"{TENANT}:1", 2)]

    play(scene)


def waiting() -> Account:
    """An account with a recharge in flight."""
    account = Account(tenant_id=TENANT, currency="USD")
    apply(account, autopay(), tariff(), NOW)
    return account


@given(histories)
def test_an_account_is_never_committed_without_a_position_of_its_partition(history):
    """So a partition with accounts has a position that the transaction of a timer can carry."""
    processor = PartitionProcessor(HOME, PARTITIONS, rates())
    for message, now in resolve(history):
        made, work = record(message, now), Work(now)
        processor.process(made.topic(), [made], work)
        processor.finish(work)
        if (topics.ACCOUNT_STATE, HOME) in work.changelogs:
            assert any(number == HOME for _, number in work.offsets)


def die(error: BaseException) -> None:
    raise error


def make_cycle(world: World, on_death: Callable[[BaseException], None] = die, commit_within_s: float = 600.0) -> Cycle:
    def clock() -> datetime:
        return world.now

    return Cycle(
        world.broker,  # type: ignore[arg-type]
        tariff(),
        lambda number, prices: PartitionProcessor(number, PARTITIONS, prices),
        lambda _fresh: 0,
        Silent(),  # type: ignore[arg-type]  # no checkpoints
        Silent(),  # type: ignore[arg-type]
        batch_max_events=100,
        linger_s=0,
        on_death=on_death,
        clock=clock,
        commit_within_s=commit_within_s,
    )
