"""What the worker knows about each recharge, in a database: neither a crash nor a provider's short memory forgets it.

A row moves received → charging → decided → published and never back:

  received   the command was read; nothing else happened
  charging   the provider is being, or was, asked: since `asked_at` money may have been taken
  decided    the final answer, which every repetition repeats
  published  its result is committed to Kafka; the topic is the authority on that, this state follows it

SQLite belongs to one worker. A PostgreSQL database may be shared: then an answer also survives the loss of a disk, and
a worker that takes partitions over knows what its predecessor asked.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct, structs
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Engine,
    Index,
    MetaData,
    String,
    Table,
    case,
    create_engine,
    event,
    func,
    make_url,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeDecorator

from processor.payments.provider import Charge, Decision
from processor.sqlite import write_ahead

OPEN: Final = ("received", "charging", "decided")
"""The states of a recharge without a committed result."""
CARD_CHANGED: Final = "card_changed"
"""Reason of a success whose card is another one than the last time under the same payment method."""

CREATION_LOCK: Final = 0x63726564
"""Any number that no other user of the database locks."""

_INSERTS: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""An insert that leaves existing rows alone is said differently by each."""


class InboxUnusable(Exception):  # noqa: N818
    """The URL of the inbox names no database that can hold it; the message says what to do."""


class _Utc(TypeDecorator[datetime]):
    """A time in UTC, also where the database keeps no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC."""
        del dialect
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Says that it is UTC."""
        del dialect
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


_INBOX: Final = Table(
    "payment_inbox",
    MetaData(),
    Column("recharge_id", String, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("payment_method_ref", String, nullable=False),
    Column("state", String, nullable=False),
    Column("received_at", _Utc, nullable=False),
    Column("asked_at", _Utc),
    Column("status", String),
    Column("decided_at", _Utc),
    Column("reference", String),
    Column("reason_code", String),
    Column("retryable", Boolean),
    Column("card_fingerprint", String),
)
Index("payment_inbox_state", _INBOX.c.state)
Index("payment_inbox_card", _INBOX.c.payment_method_ref, _INBOX.c.decided_at)


_DECIDED: Final = case((_INBOX.c.state == "published", "published"), else_="decided")
"""What the state becomes with an answer: one that a person has given before is published already."""


class Received(Struct, frozen=True):
    """A recharge as it stands in the inbox: what to charge, and the answer where there is one."""

    charge: Charge
    decision: Decision | None


class Inbox:
    """The table `payment_inbox` of the database at `url`, made when it is missing. Safe to use from several threads.

    `url` is SQLAlchemy's: `sqlite:////var/lib/credits/inbox.sqlite` or `postgresql://user:password@host/database`.
    Raises `InboxUnusable` for another database, or one that cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._insert = _INSERTS[self._engine.dialect.name]

    def receive(self, charges: Iterable[Charge]) -> dict[str, Received]:
        """Stores the charges that are new and returns all of them by id, in their order, each as it was received first.

        The first command under an id is the one that counts: a repetition cannot change the amount or the card. What
        it does tell is how old the recharge may be, so `attempt` and `requested_at` are those of the command at hand.
        """
        asked = {charge.recharge_id: charge for charge in charges}
        now = datetime.now(UTC)
        rows = [
            {
                "recharge_id": charge.recharge_id,
                "tenant_id": charge.tenant_id,
                "amount_micros": charge.amount_micros,
                "currency": charge.currency,
                "payment_method_ref": charge.payment_method_ref,
                "state": "received",
                "received_at": now,
            }
            for charge in asked.values()
        ]
        if not rows:
            return {}
        stored = select(_INBOX).where(_INBOX.c.recharge_id.in_(asked))
        with self._engine.begin() as connection:
            connection.execute(self._insert(_INBOX).on_conflict_do_nothing(), rows)
            found = {row["recharge_id"]: row for row in connection.execute(stored).mappings()}
        return {
            recharge_id: Received(_charge(found[recharge_id], charge), _decision(found[recharge_id]))
            for recharge_id, charge in asked.items()
        }

    def charging(self, recharge_id: str) -> None:
        """Notes that the provider is asked from now on; the first time counts."""
        with self._engine.begin() as connection:
            connection.execute(
                update(_INBOX)
                .where(_INBOX.c.recharge_id == recharge_id, _INBOX.c.state == "received")
                .values(state="charging", asked_at=datetime.now(UTC))
            )

    def decide(self, recharge_id: str, decision: Decision) -> Decision:
        """Stores the final answer and returns what is stored: an earlier answer to the same id stays.

        A success with another card than the last one under the same payment method has the reason `card_changed`.
        """
        this = _INBOX.c.recharge_id == recharge_id
        with self._engine.begin() as connection:
            if decision.status == "succeeded" and decision.card_fingerprint:
                method = select(_INBOX.c.payment_method_ref).where(this).scalar_subquery()
                last = connection.scalar(
                    select(_INBOX.c.card_fingerprint)
                    .where(_INBOX.c.payment_method_ref == method, _INBOX.c.card_fingerprint.is_not(None), ~this)
                    .order_by(_INBOX.c.decided_at.desc())
                    .limit(1)
                )
                if last not in (None, decision.card_fingerprint):
                    decision = structs.replace(decision, reason_code=CARD_CHANGED)
            connection.execute(
                update(_INBOX).where(this, _INBOX.c.status.is_(None)).values(state=_DECIDED, **structs.asdict(decision))
            )
            stored = _decision(connection.execute(select(_INBOX).where(this)).mappings().one())
        assert stored is not None, f"{recharge_id} was decided"  # noqa: S101
        return stored

    def published(self, recharge_ids: Iterable[str]) -> None:
        """Notes that the results of these are committed, also where a person wrote one that this inbox never had."""
        ids = list(recharge_ids)
        if ids:
            with self._engine.begin() as connection:
                connection.execute(
                    update(_INBOX)
                    .where(_INBOX.c.recharge_id.in_(ids), _INBOX.c.state.in_(OPEN))
                    .values(state="published")
                )

    def unpublished(self) -> list[str]:
        """Returns the ids without a result that is known to be published."""
        with self._engine.connect() as connection:
            return list(connection.scalars(select(_INBOX.c.recharge_id).where(_INBOX.c.state.in_(OPEN))))

    def open(self) -> Mapping[str, int]:
        """Counts the rows that are not published, by state."""
        counts = select(_INBOX.c.state, func.count()).where(_INBOX.c.state.in_(OPEN)).group_by(_INBOX.c.state)
        with self._engine.connect() as connection:
            found = {row[0]: row[1] for row in connection.execute(counts)}
        return {state: found.get(state, 0) for state in OPEN}

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()


def _charge(row: Mapping[Any, Any], command: Charge) -> Charge:
    return Charge(
        recharge_id=row["recharge_id"],
        tenant_id=row["tenant_id"],
        amount_micros=row["amount_micros"],
        currency=row["currency"],
        payment_method_ref=row["payment_method_ref"],
        requested_at=command.requested_at,
        attempt=command.attempt,
        asked_at=row["asked_at"],
    )


def _decision(row: Mapping[Any, Any]) -> Decision | None:
    if row["status"] is None:
        return None
    return Decision(**{name: row[name] for name in Decision.__struct_fields__})


def _engine(url: str) -> Engine:
    """Opens the database and makes the table where it is missing."""
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in _INSERTS:
            raise InboxUnusable("the payment inbox is kept in SQLite or PostgreSQL: sqlite:///… or postgresql://…")
        if parsed.get_backend_name() == "postgresql":
            engine = create_engine(parsed.set(drivername="postgresql+psycopg"), pool_size=8, pool_pre_ping=True)
        else:
            # One connection: the file is this worker's own, and writers of one process need not wait for each other's
            # locks. `:memory:` lives in it, too.
            engine = create_engine(
                url,
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=0,
                pool_timeout=60,
                connect_args={"check_same_thread": False},
            )
            event.listen(engine, "connect", _durable)
        _create(engine)
    except ImportError as error:
        raise InboxUnusable('PostgreSQL needs an extra: pip install "communication-credits[postgres]"') from error
    except (ArgumentError, SQLAlchemyError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise InboxUnusable(f"the payment inbox cannot be opened: {cause}") from error
    return engine


def _create(engine: Engine) -> None:
    """Makes table and indexes where they are missing; workers that start together do not disturb each other."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # whose IF NOT EXISTS alone may fail when two do it at once
            connection.execute(select(func.pg_advisory_xact_lock(CREATION_LOCK)))
        connection.execute(CreateTable(_INBOX, if_not_exists=True))
        for index in _INBOX.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))


def _durable(connection: Any, _record: object) -> None:
    write_ahead(connection, "FULL")
