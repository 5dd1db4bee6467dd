"""The read model holds what the topics say, each record once, whatever interrupts it."""

import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select

from processor.console.access_tables import METADATA as ACCESS
from processor.console.database import UnusableDatabaseError
from processor.console.queries import Outcome, Queries
from processor.console.readmodel import AnotherWriterError, ReadModel, StaleReadModelError, fold, open_readmodel
from processor.console.records import Record, UnreadableRecordError, changes_of
from processor.console.tables import ACCOUNTS, DAILY, ENTRIES, METADATA, NOTICES, OUTCOMES
from processor.contracts import topics
from tests.unit.builders import NOW, TENANT, UNIT, autopay, call, conference, decided, funded, licences
from tests.unit.console_world import CLUSTER, PLACES, Console, ConsoleWorld, ms


@pytest.fixture
def world(empty_console: Console) -> ConsoleWorld:
    return empty_console.world


def test_the_read_model_equals_the_fold_of_the_ledger_and_the_account(world: ConsoleWorld) -> None:
    world.tell(funded(50), autopay(50, 20), call(600), call(60, callee="+33140000000"), conference(120))
    world.tell(call(60, tenant_id="other"))
    with world.engine.connect() as connection:
        balances = {row.tenant_id: row.balance_micros for row in connection.execute(select(ACCOUNTS))}
    assert fold(world.engine) == {TENANT: (4, balances[TENANT]), "other": (1, balances["other"])}
    assert balances[TENANT] == world.accounts[TENANT].balance_micros


def test_daily_sums_are_kept_per_tenant_day_kind_and_country(world: ConsoleWorld) -> None:
    yesterday = NOW - timedelta(days=1)
    world.tell(call(60, yesterday), call(120))
    world.tell(call(60), call(60, callee="+33140000000"))
    with world.engine.connect() as connection:
        rows = connection.execute(select(DAILY).order_by(DAILY.c.day, DAILY.c.country)).all()
    assert rows == [
        (TENANT, "2026-03-14", "charge", "GB", 1, -100_000, 60, 0),
        (TENANT, "2026-03-15", "charge", "FR", 1, -150_000, 60, 0),
        (TENANT, "2026-03-15", "charge", "GB", 2, -300_000, 180, 0),
    ]


def test_a_batch_that_fails_leaves_neither_rows_nor_offsets(world: ConsoleWorld) -> None:
    records = world.apply(funded(50))
    world.store(records)
    again = [record._replace(offset=record.offset + 1) for record in records]
    with pytest.raises(StaleReadModelError, match="--rebuild"):
        world.store(again)
    assert fold(world.engine) == {TENANT: (1, 50 * UNIT)}
    assert ReadModel(world.engine).start(CLUSTER, PLACES) == {
        (topics.LEDGER, 0): 1,
        (topics.ACCOUNT_STATE, 0): 1,
        (topics.NOTIFICATIONS, 0): 0,
        (topics.USER_POOLS, 0): 0,
    }


def test_the_slower_of_two_writers_stops_before_it_stores_anything(world: ConsoleWorld) -> None:
    other = ReadModel(world.engine)
    other.start(CLUSTER, PLACES)
    records = world.apply(funded(50))
    world.store(records)
    with pytest.raises(AnotherWriterError, match="another console"):
        other.store(changes_of(records))
    assert fold(world.engine) == {TENANT: (1, 50 * UNIT)}


def test_a_cleared_read_model_fills_again_from_the_beginning(world: ConsoleWorld) -> None:
    records = world.apply(funded(50)) + world.apply(call(60))
    world.store(records)
    before = fold(world.engine)
    world.model.clear()
    assert fold(world.engine) == {}
    assert set(world.model.start(CLUSTER, PLACES).values()) == {0}
    world.store(records)
    assert fold(world.engine) == before


def test_a_read_model_of_another_cluster_is_refused(world: ConsoleWorld) -> None:
    with pytest.raises(StaleReadModelError, match="another Kafka cluster"):
        ReadModel(world.engine).start("elsewhere", PLACES)


def test_retention_deletes_old_detail_in_steps_and_keeps_the_sums(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.console.readmodel.PRUNED_AT_ONCE", 2)
    for _ in range(5):
        world.tell(call(60))
        world.now += timedelta(hours=1)
    before = ms(NOW + timedelta(hours=4))
    assert [world.model.prune(before) for _ in range(3)] == [2, 2, 0]
    assert fold(world.engine) == {TENANT: (1, -100_000)}
    with world.engine.connect() as connection:
        assert connection.scalar(select(DAILY.c.entries)) == 5


def test_users_who_no_longer_use_their_own_minutes_are_forgotten(world: ConsoleWorld) -> None:
    world.tell(licences("MCOPSTN8:GB:2"))
    for user, started_at in (("alice", NOW - timedelta(days=30)), ("bob", NOW)):
        world.tell(call(60, started_at, capability="MCOPSTN8", user_country="GB", user_id=user))
    world.model.prune(ms(NOW))
    assert [user["user_id"] for user in Queries(world.engine).users(TENANT, "", 10).items] == ["bob"]


def test_outcomes_tell_applied_and_rejected_commands_apart(world: ConsoleWorld) -> None:
    good, small, settings = funded(50), funded(1), autopay()
    world.tell(good, small, settings)
    with world.engine.connect() as connection:
        found = connection.execute(select(OUTCOMES.c["command_id", "status", "reason", "revision"])).all()
    assert sorted(found) == sorted(
        [
            (good.id, "applied", None, 1),
            (small.id, "rejected", "below_minimum", None),
            (settings.id, "applied", None, None),
        ]
    )


def test_outcomes_are_forgotten_after_the_retention(world: ConsoleWorld) -> None:
    command = funded(50)
    world.tell(command)
    queries, now_ms = Queries(world.engine), time.time_ns() // 1_000_000
    world.model.prune(now_ms - 3_600_000)
    assert queries.outcome(TENANT, command.id) is not None
    world.model.prune(now_ms + 3_600_000)
    assert queries.outcome(TENANT, command.id) is None


def test_a_command_that_the_next_one_replaces_at_once_was_applied_all_the_same(world: ConsoleWorld) -> None:
    first, second = autopay(50, 20), autopay(60, 10)
    world.tell(first, second)  # the meter publishes the account after each, and the batch keeps the last one
    queries = Queries(world.engine)
    assert [queries.outcome(TENANT, each.id) for each in (first, second)] == [Outcome("applied", None, None)] * 2


def test_notices_keep_their_document_and_their_time(world: ConsoleWorld) -> None:
    world.tell(funded(50), autopay(50, 50))
    world.tell(decided(world.accounts[TENANT].recharge.in_flight or "", "declined", reason_code="expired_card"))
    with world.engine.connect() as connection:
        row = connection.execute(select(NOTICES).where(NOTICES.c.kind == "recharge.failed")).one()
    assert row.at_ms == ms(NOW)
    assert msgspec.json.decode(row.document)["reason"] == "expired_card"


@pytest.mark.parametrize("value", [None, b"", b"{}", b'{"id":1}', b"\xff"])
def test_a_record_that_the_meter_would_not_write_stops_the_console(value: bytes | None) -> None:
    with pytest.raises(UnreadableRecordError, match=r"ledger.v1\[3\] at offset 7"):
        changes_of([Record(topics.LEDGER, 3, 7, value)])


def test_the_migrations_lead_to_the_tables_of_the_code(empty_console: Console) -> None:
    sets = {"readmodel": (empty_console.world.engine, METADATA), "access": (empty_console.access._engine, ACCESS)}
    for name, (engine, metadata) in sets.items():
        (other,) = sets.keys() - {name}
        others = {*sets[other][1].tables, f"alembic_{other}"}  # in PostgreSQL beside ours

        def ours(_item: object, table: str | None, kind: str, *_: object, others: set[str] = others) -> bool:
            return kind != "table" or table not in others

        with engine.connect() as connection:
            opts = {"version_table": f"alembic_{name}", "include_object": ours}
            assert compare_metadata(MigrationContext.configure(connection, opts=opts), metadata) == []


def test_a_database_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UnusableDatabaseError, match="SQLite or PostgreSQL"):
        open_readmodel("mysql://somewhere/db")
    with pytest.raises(UnusableDatabaseError, match="unable to open database file"):
        open_readmodel(f"sqlite:///{tmp_path}/missing/model.sqlite")


def test_fields_that_the_meter_adds_travel_on_in_the_document(world: ConsoleWorld) -> None:
    ledger = world.apply(call(60))[0]
    event = msgspec.json.decode(ledger.value or b"")
    event["data"]["usage"]["invented_later"] = 7
    world.store([ledger._replace(value=msgspec.json.encode(event))])
    with world.engine.connect() as connection:
        document = connection.scalar(select(ENTRIES.c.document))
        assert connection.scalar(select(func.count()).select_from(ENTRIES)) == 1
    assert msgspec.json.decode(document or "")["usage"]["invented_later"] == 7
