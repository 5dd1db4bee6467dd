"""The read model: stores batches of records together with the offsets they end at, in one database transaction.

A console that dies at any moment reads on from the stored offsets, so every record counts exactly once. The offsets
also are the fence: they change only from the value that this writer last saw, so of two consoles that follow into one
database the slower stops.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from processor.console.database import connect
from processor.console.records import Changes, Row
from processor.console.tables import ACCOUNTS, DAILY, ENTRIES, METADATA, NOTICES, OFFSETS, ORIGIN, OUTCOMES, USER_POOLS
from processor.domain.pools import month_of

_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

PRUNED_AT_ONCE: Final = 5_000
"""Rows deleted per transaction, so that retention never holds up the records that arrive."""

Place = tuple[str, int]


def open_readmodel(url: str) -> Engine:
    """Opens the database of the read model. Raises `UnusableDatabaseError`."""
    return connect(url, "readmodel", METADATA)


class StaleReadModelError(Exception):
    """The read model does not continue where the topics are; it can be built anew from them."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}: build it anew from the topics with `credits console --rebuild`")


class AnotherWriterError(Exception):
    """Another console has moved the offsets."""

    def __init__(self) -> None:
        super().__init__("another console follows the topics into this database: run one of them, or give each its own")


class ReadModel:
    """Writes the read model; one per database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._offsets: dict[Place, int] = {}
        upsert = _INSERTS[engine.dialect.name]
        self._statements = _Statements(upsert, engine)

    def start(self, cluster_id: str, places: Iterable[Place]) -> dict[Place, int]:
        """Returns the offset to read on from at each (topic, partition); 0 is the beginning.

        Raises `StaleReadModelError` when the database was filled from another cluster.
        """
        with self._engine.begin() as connection:
            origin = connection.scalar(select(ORIGIN.c.cluster_id))
            if origin is None:
                connection.execute(insert(ORIGIN).values(cluster_id=cluster_id))
            elif origin != cluster_id:
                raise StaleReadModelError("the read model was filled from another Kafka cluster")
            rows = [{"topic": topic, "partition": part, "next_offset": 0} for topic, part in places]
            connection.execute(self._statements.offsets, rows)
            found = connection.execute(select(OFFSETS))
            self._offsets = {(row.topic, row.partition): row.next_offset for row in found}
        return dict(self._offsets)

    def store(self, changes: Changes) -> None:
        """Commits one batch.

        Raises `AnotherWriterError`, and `StaleReadModelError` for an entry that is stored already.
        """
        with self._engine.begin() as connection:
            self._advance(connection, changes.offsets)
            try:
                if changes.entries:
                    # Straight to the driver: preparing each row in Python would cost as much as storing it.
                    connection.exec_driver_sql(self._statements.entries, changes.entries)
            except IntegrityError as error:
                raise StaleReadModelError("the ledger repeats an entry that the read model holds") from error
            _execute(connection, self._statements.days, [_day_row(day, sums) for day, sums in changes.days.items()])
            _execute(connection, self._statements.accounts, list(changes.accounts.values()))
            _execute(connection, self._statements.users, list(changes.users.values()))
            _execute(connection, self._statements.notices, changes.notices)
            stored_ms = int(time.time() * 1000)
            outcomes = [{**outcome, "stored_ms": stored_ms} for outcome in changes.outcomes.values()]
            _execute(connection, self._statements.outcomes, outcomes)
        self._offsets |= changes.offsets

    def prune(self, before_ms: int) -> int:
        """Deletes some entries and notices recorded before a time; returns how many. Daily sums stay.

        Users who have not used their own minutes since, and outcomes of commands, go at once: they are few.
        """
        gone = 0
        with self._engine.begin() as connection:
            for table, age in ((ENTRIES, ENTRIES.c.recorded_ms), (NOTICES, NOTICES.c.at_ms)):
                cut = connection.scalar(
                    select(age).where(age < before_ms).order_by(age).offset(PRUNED_AT_ONCE).limit(1)
                )
                gone += connection.execute(delete(table).where(age < (before_ms if cut is None else cut))).rowcount
            month = month_of(datetime.fromtimestamp(before_ms / 1000, UTC))
            connection.execute(delete(USER_POOLS).where(USER_POOLS.c.month < month))
            connection.execute(delete(OUTCOMES).where(OUTCOMES.c.stored_ms < before_ms))
        return gone

    def clear(self) -> None:
        """Empties the read model, so that it fills again from the topics."""
        with self._engine.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(delete(table))
        self._offsets.clear()

    def _advance(self, connection: Connection, offsets: dict[Place, int]) -> None:
        for (topic, partition), reached in offsets.items():
            values = {"topic_": topic, "partition_": partition, "seen": self._offsets[topic, partition], "to": reached}
            if connection.execute(_ADVANCE, values).rowcount != 1:
                raise AnotherWriterError


_ADVANCE: Final = (
    update(OFFSETS)
    .where(OFFSETS.c.topic == bindparam("topic_"), OFFSETS.c.partition == bindparam("partition_"))
    .where(OFFSETS.c.next_offset == bindparam("seen"))
    .values(next_offset=bindparam("to"))
)


class _Statements:
    """The upserts, in the dialect of the database."""

    def __init__(self, upsert: Any, engine: Engine) -> None:
        self.entries = str(insert(ENTRIES).compile(engine))
        self.offsets = upsert(OFFSETS).on_conflict_do_nothing()
        self.notices = upsert(NOTICES).on_conflict_do_nothing()  # the same id says the same thing
        self.outcomes = upsert(OUTCOMES).on_conflict_do_nothing()  # the first one is the command's
        self.accounts, self.users = _newest(upsert(ACCOUNTS), ACCOUNTS), _newest(upsert(USER_POOLS), USER_POOLS)
        days = upsert(DAILY)
        self.days = days.on_conflict_do_update(
            index_elements=list(DAILY.primary_key),
            set_={name: DAILY.c[name] + days.excluded[name] for name in _SUMS},
        )


def _newest(rows: Any, table: Table) -> Any:
    """Makes the insertion of rows replace those that are there."""
    key = table.primary_key.columns
    return rows.on_conflict_do_update(
        index_elements=list(key),
        set_={column.name: rows.excluded[column.name] for column in table.columns if column.name not in key},
    )


_SUMS: Final = ("entries", "amount_micros", "credit_seconds", "pool_minutes")


def _day_row(day: tuple[str, ...], sums: list[int]) -> Row:
    return dict(zip((*DAILY.primary_key.columns.keys(), *_SUMS), (*day, *sums), strict=True))


def _execute(connection: Connection, statement: Any, rows: list[Row]) -> None:
    if rows:
        connection.execute(statement, rows)


def fold(engine: Engine) -> dict[str, tuple[int, int]]:
    """Returns (entries, sum of their amounts in micros) of each tenant: what `credits verify` compares with."""
    by_tenant = select(ENTRIES.c.tenant_id, func.count(), func.sum(ENTRIES.c.amount_micros)).group_by(
        ENTRIES.c.tenant_id
    )
    with engine.connect() as connection:
        return {tenant: (count, int(total)) for tenant, count, total in connection.execute(by_tenant)}
