"""What an earlier release has left is read by this one, to the last micro; what a later one leaves is refused."""

import shutil
from pathlib import Path

import msgspec
import pytest
from rocksdict import Cache
from sqlalchemy import text

from processor.console.database import UnusableDatabaseError
from processor.console.readmodel import open_readmodel
from processor.contracts import outputs, topics
from processor.contracts.inputs import identity
from processor.domain.account import check
from processor.domain.policy import Policy
from processor.domain.tariff import Tariff
from processor.stream import frames, state_format
from processor.stream.checkpoint import CHANGELOGS, TABLES, Changes, PartitionCheckpoint
from processor.stream.event_ids import EventIds, unpack
from processor.stream.faults import diagnose
from processor.stream.frames import Stamp
from processor.stream.originals import allocation_of
from processor.stream.partition import PartitionProcessor
from processor.stream.state_format import HEADER, NewerStateError
from processor.stream.user_pools import UserPoolTable
from processor.testing import MemoryTable
from tests.crash.platform import PARTITIONS, SOURCE
from tests.upgrade import record_state
from tests.upgrade.golden import STATE, Golden, Kept, released

EVERY_RELEASE = pytest.mark.parametrize("golden", released(), ids=lambda golden: golden.directory.name)
WINDOW_MS = 36 * 86_400_000


def of(records: list[Kept], partition: int) -> list[Kept]:
    return [record for record in records if record.partition == partition]


def newest(records: list[Kept]) -> dict[bytes, bytes]:
    """Folds a compacted topic."""
    return {record.key.encode(): record.value for record in records if record.key is not None}


@EVERY_RELEASE
def test_every_account_stands_at_the_balance_that_the_platform_expects(golden: Golden) -> None:
    restored = {}
    for partition in range(PARTITIONS):
        processor = PartitionProcessor(partition, PARTITIONS, Tariff([], Policy()))
        stored = newest(of(golden.records(topics.ACCOUNT_STATE), partition))
        processor.restored(MemoryTable(stored), MemoryTable({}))
        for tenant in map(bytes.decode, stored):
            account = processor.table.get(tenant)
            assert account is not None
            check(account)
            restored[tenant] = account.balance_micros
    assert restored == golden.worth.balances
    assert len(set(restored.values())) > 1, "the state is worth a comparison"


@EVERY_RELEASE
def test_every_event_is_remembered_and_no_other(golden: Golden) -> None:
    kept = {event_id for record in golden.records(topics.EVENT_IDS) for event_id in unpack(record.value)}
    assert {identity(SOURCE, event_id) for event_id in golden.worth.usage} <= kept
    assert identity(SOURCE, "never-sent") not in kept


@EVERY_RELEASE
def test_the_ledger_adds_up_to_the_balances_and_says_what_each_event_was_charged(golden: Golden) -> None:
    balances = dict.fromkeys(golden.worth.balances, 0)
    charged = {}
    for record in golden.records(topics.LEDGER):
        entry = outputs.decode_entry(record.value).data
        balances[entry.tenant_id] += entry.amount_micros
        if entry.kind == "charge":
            charged[entry.event_id] = (entry.tenant_id, -entry.amount_micros)
            assert allocation_of(record.value).amount_micros == -entry.amount_micros
    assert balances == golden.worth.balances
    assert charged == golden.worth.usage
    assert golden.records(topics.RECHARGE_COMMANDS), "the state has seen recharges"


@EVERY_RELEASE
def test_users_have_the_minutes_that_they_had(golden: Golden) -> None:
    table = UserPoolTable(keep=10)
    table.stored = MemoryTable(newest(golden.records(topics.USER_POOLS)))
    found = {name: sum(pool.used_minutes for pool in table.get(*name.split(" "))) for name in golden.worth.pool_minutes}
    assert found == golden.worth.pool_minutes


@EVERY_RELEASE
def test_a_checkpoint_and_the_topics_hold_what_a_partition_held(golden: Golden, tmp_path: Path) -> None:
    """The accounts of the first form, a file, are read from their topic again; the ids are taken as they are."""
    for partition, files in golden.checkpoints():
        first_form = {topics.ACCOUNT_STATE} if (files / "accounts").is_file() else set()
        checkpoint = PartitionCheckpoint(shutil.copytree(files, tmp_path / str(partition)), *opened(golden, partition))
        loaded = checkpoint.load(dict.fromkeys(CHANGELOGS, (0, 1 << 40)))
        assert loaded.problems == dict.fromkeys(first_form, "it is of another format")
        for topic in TABLES:
            if not loaded.offsets[topic] and (kept := newest(of(golden.records(topic), partition))):
                checkpoint.add(Changes({topic: (kept, 1 << 30)}, [], None, 0))
        ids = EventIds()
        runs, packed = checkpoint.recovered()
        ids.install(runs, b"")
        ids.fresh.update(unpack(packed))
        for topic, table in checkpoint.tables.items():
            assert dict(table.after(b"", 1000)) == newest(of(golden.records(topic), partition))
        wanted = [
            event_id for record in of(golden.records(topics.EVENT_IDS), partition) for event_id in unpack(record.value)
        ]
        assert {each for each in wanted if each in ids.fresh} | ids.sealed(wanted) == set(wanted)
        checkpoint.close()


def opened(golden: Golden, partition: int, **changed: int) -> tuple[dict[str, Stamp], int, Cache]:
    """What a checkpoint is opened with; the first release kept no copy of `user.pools.v1`."""
    recorded = {stamp.topic: stamp for stamp in golden.worth.stamps[str(partition)]}
    ids = recorded[topics.EVENT_IDS]
    stamps = {topic: recorded.get(topic, msgspec.structs.replace(ids, topic=topic)) for topic in CHANGELOGS}
    stamps = {topic: msgspec.structs.replace(stamp, **changed) for topic, stamp in stamps.items()}
    return stamps, WINDOW_MS, Cache(1 << 20)


@EVERY_RELEASE
def test_a_checkpoint_of_a_later_format_is_not_read_and_says_so(golden: Golden, tmp_path: Path) -> None:
    partition, files = next(golden.checkpoints())
    copy = shutil.copytree(files, tmp_path / "copy")
    now = PartitionCheckpoint(copy, *opened(golden, partition))
    now.load(dict.fromkeys(CHANGELOGS, (0, 1 << 40)))
    now.close()
    earlier = PartitionCheckpoint(copy, *opened(golden, partition, format=frames.FORMAT - 1))
    loaded = earlier.load(dict.fromkeys(CHANGELOGS, (0, 1 << 40)))
    said = f"a newer release wrote it (format {frames.FORMAT}, this one reads {frames.FORMAT - 1})"
    assert loaded.problems == dict.fromkeys(CHANGELOGS, said)
    assert set(loaded.offsets.values()) == {0}, "all of it is read from the topics"
    assert not any(table.after(b"", 1) for table in earlier.tables.values())
    earlier.close()


class Record:
    """As much of a Kafka message as the check reads."""

    def __init__(self, headers: list[tuple[str, bytes]] | None) -> None:
        self._headers = headers

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers

    def topic(self) -> str:
        return topics.ACCOUNT_STATE

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 17


@pytest.mark.parametrize("headers", [None, [], [("traceparent", b"x")], [(HEADER, b"1")]])
def test_state_of_this_format_is_read_with_and_without_the_header(headers: list[tuple[str, bytes]] | None) -> None:
    state_format.check([Record(headers)])  # type: ignore[list-item]


def test_state_of_a_later_format_is_refused_with_its_place_and_what_to_do() -> None:
    later = str(state_format.FORMAT + 1).encode()
    with pytest.raises(NewerStateError, match=r"account.state.v1 partition 3 offset 17 is of state format 2.*reads 1"):
        state_format.check([Record(None), Record([(HEADER, later)])])  # type: ignore[list-item]
    fault = diagnose(NewerStateError())
    assert (fault.cause, fault.exit_code) == ("newer_state", 1)
    assert "start the newer release again" in fault.next_step


def test_the_consoles_tables_of_a_later_release_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'console.sqlite'}"
    engine = open_readmodel(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_readmodel SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UnusableDatabaseError, match="are of a newer release: start that one again"):
        open_readmodel(url)


def test_a_release_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(STATE.rglob("*"))
    monkeypatch.setattr(record_state, "__version__", released()[-1].directory.name)
    with pytest.raises(SystemExit, match="stays as it is"):
        record_state.main()
    assert sorted(STATE.rglob("*")) == before
