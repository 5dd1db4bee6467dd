"""Questions to the read model. Answers are plain data; documents are the records' own JSON, decoded."""

import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Engine, Select, and_, func, or_, select

from processor.console.tables import ACCOUNTS, DAILY, ENTRIES, NOTICES, OUTCOMES, USER_POOLS
from processor.domain.money import Micros

Document = dict[str, Any]

CSV_CHUNK: Final = 1_000
"""Entries per query of an export: it holds neither a transaction nor a whole ledger while a slow client reads."""


class Page(NamedTuple):
    """Some rows, and where the next page begins; None on the last one."""

    items: list[Document]
    next_cursor: str | None


class Filter(NamedTuple):
    """Which ledger entries are wanted; None wants all. `since` is inclusive, `until` exclusive."""

    kind: str | None = None
    decision: str | None = None
    country: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Outcome(NamedTuple):
    """What became of a command."""

    status: Literal["applied", "rejected"]
    reason: str | None
    revision: int | None


class Consumption(NamedTuple):
    """Usage of one day or country: money spent (positive), minutes paid by credits and by pools, legs."""

    key: str
    spent_micros: Micros
    credit_minutes: int
    pool_minutes: int
    legs: int


_USAGE: Final = ("charge", "refund")


class Queries:
    """Reads the read model; safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def accounts(self, search: str, scope: frozenset[str] | None, after: str, limit: int) -> Page:
        """Lists accounts by tenant id, those whose id contains `search` and which are in scope."""
        asked = select(ACCOUNTS.c.document).where(ACCOUNTS.c.tenant_id > after).order_by(ACCOUNTS.c.tenant_id)
        if search:
            asked = asked.where(ACCOUNTS.c.tenant_id.icontains(search, autoescape=True))
        if scope is not None:
            asked = asked.where(ACCOUNTS.c.tenant_id.in_(scope))
        items = [_summary(msgspec.json.decode(row["document"])) for row in self._rows(asked.limit(limit + 1))]
        return page_of(items, limit, "tenant_id")

    def account(self, tenant: str) -> Document | None:
        """Returns the account as last committed; None when there is none."""
        document = self.account_document(tenant)
        return None if document is None else msgspec.json.decode(document)

    def account_document(self, tenant: str) -> str | None:
        """Returns the account's JSON as the meter wrote it."""
        with self._engine.connect() as connection:
            return connection.scalar(select(ACCOUNTS.c.document).where(ACCOUNTS.c.tenant_id == tenant))

    def user_document(self, tenant: str, user_id: str) -> str | None:
        """Returns the JSON about the minutes of a user who shares no pool; None for one who never called."""
        asked = select(USER_POOLS.c.document).where(USER_POOLS.c.tenant_id == tenant, USER_POOLS.c.user_id == user_id)
        with self._engine.connect() as connection:
            return connection.scalar(asked)

    def users(self, tenant: str, after: str, limit: int) -> Page:
        """Lists the users who share no pool, by user id, with the minutes that each has used."""
        asked = select(USER_POOLS.c.document).where(USER_POOLS.c.tenant_id == tenant, USER_POOLS.c.user_id > after)
        return page_of(self._documents(asked.order_by(USER_POOLS.c.user_id).limit(limit + 1)), limit, "user_id")

    def top_users(self, tenant: str, month: str, limit: int) -> list[str]:
        """Returns the JSON about those of these users who used most minutes of their own in a month."""
        asked = (
            select(USER_POOLS.c.document)
            .where(USER_POOLS.c.tenant_id == tenant, USER_POOLS.c.month == month)
            .order_by(USER_POOLS.c.used_minutes.desc(), USER_POOLS.c.user_id)
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(asked.limit(limit)))

    def version(self, tenant: str) -> str:
        """Returns a text that changes whenever a page about the tenant would."""
        account = select(ACCOUNTS.c.document).where(ACCOUNTS.c.tenant_id == tenant).scalar_subquery()
        entry = select(func.max(ENTRIES.c.revision)).where(ENTRIES.c.tenant_id == tenant).scalar_subquery()
        notice = select(func.max(NOTICES.c.at_ms)).where(NOTICES.c.tenant_id == tenant).scalar_subquery()
        with self._engine.connect() as connection:
            row = connection.execute(select(account, entry, notice)).one()
        return f"{zlib.crc32((row[0] or '').encode()):x}-{row[1]}-{row[2]}"

    def ledger(self, tenant: str, wanted: Filter, before: int | None, limit: int) -> Page:
        """Returns ledger entries, newest first; `before` is the cursor of the page before."""
        asked = _entries(tenant, wanted)
        if before is not None:
            asked = asked.where(ENTRIES.c.revision < before)
        return page_of(self._documents(asked.limit(limit + 1)), limit, "revision")

    def every_entry(self, tenant: str, wanted: Filter) -> Iterator[Document]:
        """Yields all entries that are wanted, newest first."""
        cursor: str | None = None
        while True:
            page = self.ledger(tenant, wanted, None if cursor is None else int(cursor), CSV_CHUNK)
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def entry(self, tenant: str, revision: int) -> Document | None:
        """Returns one ledger entry."""
        asked = select(ENTRIES.c.document).where(ENTRIES.c.tenant_id == tenant, ENTRIES.c.revision == revision)
        return next(iter(self._documents(asked)), None)

    def notices(self, tenant: str, kinds: tuple[str, ...], after: str | None, limit: int) -> Page:
        """Returns what people were told, newest first; `kinds` is empty for all, `after` the cursor of the page before.

        Many notices may be of one moment, so a cursor is the time and the id of the last one: `<epoch ms>-<notice id>`.
        """
        asked = select(NOTICES.c.notice_id, NOTICES.c.at_ms, NOTICES.c.document).where(NOTICES.c.tenant_id == tenant)
        if kinds:
            asked = asked.where(NOTICES.c.kind.in_(kinds))
        if after is not None:
            at_ms, _, notice_id = after.partition("-")
            same_moment = and_(NOTICES.c.at_ms == int(at_ms), NOTICES.c.notice_id > notice_id)
            asked = asked.where(or_(NOTICES.c.at_ms < int(at_ms), same_moment))
        rows = self._rows(asked.order_by(NOTICES.c.at_ms.desc(), NOTICES.c.notice_id).limit(limit + 1))
        items = [
            {**msgspec.json.decode(row["document"]), "notice_id": row["notice_id"], "at": iso(row["at_ms"])}
            for row in rows[:limit]
        ]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(items, None if last is None else f"{last['at_ms']}-{last['notice_id']}")

    def outcome(self, tenant: str, command_id: str) -> Outcome | None:
        """Returns what became of a command; None while the meter has not decided."""
        asked = select(OUTCOMES.c.status, OUTCOMES.c.reason, OUTCOMES.c.revision).where(
            OUTCOMES.c.tenant_id == tenant, OUTCOMES.c.command_id == command_id
        )
        with self._engine.connect() as connection:
            row = connection.execute(asked).first()
        return None if row is None else Outcome(*row)

    def by_day(self, tenant: str, last: date, days: int) -> list[Consumption]:
        """Returns the usage of the `days` days that end with `last`, one each, also where there was none."""
        wanted = [(last - timedelta(days=back)).isoformat() for back in reversed(range(days))]
        found = {item.key: item for item in self._consumption(tenant, DAILY.c.day, wanted[0], wanted[-1])}
        return [found.get(day, Consumption(day, 0, 0, 0, 0)) for day in wanted]

    def by_country(self, tenant: str, last: date, days: int) -> list[Consumption]:
        """Returns the usage of the same days by destination country, the dearest first; "" is usage without one."""
        first = (last - timedelta(days=days - 1)).isoformat()
        found = self._consumption(tenant, DAILY.c.country, first, last.isoformat())
        return sorted(found, key=lambda item: (-item.spent_micros, item.key))

    def _consumption(self, tenant: str, key: Any, first: str, last: str) -> list[Consumption]:
        sums = (DAILY.c.amount_micros, DAILY.c.credit_seconds, DAILY.c.pool_minutes, DAILY.c.entries)
        asked = (
            select(key, *map(func.sum, sums))
            .where(DAILY.c.tenant_id == tenant, DAILY.c.day.between(first, last), DAILY.c.kind.in_(_USAGE))
            .group_by(key)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(asked).all()
        return [Consumption(row[0], -int(row[1]), int(row[2]) // 60, int(row[3]), int(row[4])) for row in rows]

    def _rows(self, asked: Select[Any]) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(asked).mappings())

    def _documents(self, asked: Select[Any]) -> list[Document]:
        return [msgspec.json.decode(row["document"]) for row in self._rows(asked)]


def _entries(tenant: str, wanted: Filter) -> Select[Any]:
    asked = select(ENTRIES.c.document).where(ENTRIES.c.tenant_id == tenant).order_by(ENTRIES.c.revision.desc())
    for column, value in (
        (ENTRIES.c.kind, wanted.kind),
        (ENTRIES.c.decision, wanted.decision),
        (ENTRIES.c.country, wanted.country),
    ):
        if value is not None:
            asked = asked.where(column == value)
    if wanted.since is not None:
        asked = asked.where(ENTRIES.c.occurred_ms >= round(wanted.since.timestamp() * 1000))
    if wanted.until is not None:
        asked = asked.where(ENTRIES.c.occurred_ms < round(wanted.until.timestamp() * 1000))
    return asked


def _summary(account: Document) -> Document:
    autopay, recharge = account.get("autopay") or {}, account.get("recharge") or {}
    lots = account.get("lots") or [{}]
    return {
        "tenant_id": account["tenant_id"],
        "balance_micros": account["balance_micros"],
        "currency": account["currency"],
        "revision": account["revision"],
        "next_expiry": lots[0].get("expires_at"),
        "autopay_enabled": bool(autopay.get("enabled")),
        "autopay_suspended": bool(recharge.get("suspended")),
    }


def page_of(items: list[Document], limit: int, cursor: str) -> Page:
    """Makes a page of at most `limit` rows out of one more; `cursor` names the column by which they go on."""
    return Page(items[:limit], str(items[limit - 1][cursor]) if len(items) > limit else None)


def iso(at_ms: int) -> str:
    """Writes epoch milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
