"""The administrator's pages: rendered here, complete without a script; a small one only keeps them up to date."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from processor.console.access import Role
from processor.console.amounts import plain
from processor.console.api import RECHARGE_NOTICES, Number, Wanted
from processor.console.chart import HEIGHT, WIDTH, bars
from processor.console.csv_export import csv_lines
from processor.console.explain import explain
from processor.console.pools import licences_at, pool_bars
from processor.console.problems import NOT_FOUND
from processor.console.queries import Document
from processor.console.reader import Read, Reader, Within
from processor.console.rendering import LANGUAGE
from processor.console.said import SAID
from processor.console.scope import Scope, Shared, require
from processor.console.tenants import segment_of
from processor.console.text import LOCALES, TEXTS
from processor.console.trail import Line, line
from processor.domain.pools import CONFERENCING, PLANS, month_of

DAYS: Final = 30
ROWS: Final = 50
USERS: Final = 20
"""Bars of users who share no pool, at most: those who used most."""
LICENSABLE: Final = (CONFERENCING, *PLANS)
"""The plans that fill pools."""
LIVE_PAUSE_S: Final = 1.0
"""Between two updates of a page: a person cannot read faster."""
LIVE_LOOK_S: Final = 15.0
"""A quiet stream says so this often, which also finds out that the session or the browser is gone."""

router = APIRouter()


@router.get("/language/{code}")
def language(request: Request, state: Shared, code: str) -> Response:
    """Remembers the language and goes back to the page."""
    back = request.headers.get("referer", "")
    path = back.removeprefix(str(request.base_url)) if back.startswith(str(request.base_url)) else ""
    answer = RedirectResponse(f"/{path.lstrip('/')}", HTTPStatus.SEE_OTHER)
    if code in LOCALES:
        answer.set_cookie(LANGUAGE, code, max_age=31_536_000, samesite="lax", secure=state.secure_cookies)
    return answer


@router.get("/")
def home(
    read: Read,
    state: Shared,
    search: Annotated[str, Query(max_length=128, pattern="^[^\x00]*$")] = "",
    cursor: Annotated[str, Query(max_length=128, pattern="^[^\x00]*$")] = "",
) -> Response:
    """The accounts that the reader may see; with only one in scope, that one."""
    scope = read.session.principal.tenants
    if scope is not None and len(scope) == 1:
        return RedirectResponse(f"/tenants/{segment_of(next(iter(scope)))}", HTTPStatus.SEE_OTHER)
    page = state.queries.accounts(search, scope, cursor, ROWS)
    more = urlencode({"search": search, "cursor": page.next_cursor}) if page.next_cursor else None
    may_operate = read.session.principal.role >= Role.OPERATOR
    return read.render(
        "accounts.html",
        accounts=page.items,
        search=search,
        more=more,
        may_operate=may_operate,
        lag=state.lag.records,
    )


@router.get("/tenants/{tenant}")
def tenant_page(read: Read, within: Within, said: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Communications Credits: balance, consumption, billing, pools, payments and notices of one tenant."""
    queries, tenant = within.state.queries, within.tenant
    version = queries.version(tenant)  # read first: what changes from here on is announced
    account, document, now = within.known(), queries.account_document(tenant) or "", within.state.clock()
    today = now.date()
    by_day = queries.by_day(tenant, today, DAYS)
    return read.render(
        "credits.html",
        tenant=tenant,
        version=version,
        account=account,
        may_change=within.who.role >= Role.BILLING_ADMIN,
        may_operate=within.who.role >= Role.OPERATOR,
        by_day=by_day,
        bars=bars(by_day, rtl=TEXTS[read.language].direction == "rtl"),
        chart=(WIDTH, HEIGHT),
        by_country=queries.by_country(tenant, today, DAYS)[:10],
        pools=pool_bars(document, now, queries.top_users(tenant, month_of(now), USERS)),
        licences=licences_at(document, now),
        licensable=LICENSABLE,
        recharges=queries.notices(tenant, RECHARGE_NOTICES, None, 10).items,
        notices=queries.notices(tenant, (), None, 10).items,
        lag=within.state.lag.records,
        said=said if said in SAID else None,
        key=secrets.token_urlsafe(16),
        autopay=_autopay_form(account),
    )


@router.get("/tenants/{tenant}/ledger")
def ledger(read: Read, within: Within, wanted: Wanted, cursor: Number = None) -> Response:
    """Ledger entries with their filter."""
    within.known()
    page = within.state.queries.ledger(within.tenant, wanted, cursor, ROWS)
    kept = {name: value for name, value in read.request.query_params.items() if name != "cursor" and value}
    more = urlencode({**kept, "cursor": page.next_cursor}) if page.next_cursor else None
    return read.render(
        "ledger.html",
        tenant=within.tenant,
        entries=page.items,
        wanted=wanted,
        more=more,
        kept=urlencode(kept),
        lag=within.state.lag.records,
    )


@router.get("/tenants/{tenant}/ledger.csv")
def ledger_csv(within: Within, wanted: Wanted) -> Response:
    """The entries as a file."""
    within.known()
    rows = within.state.queries.every_entry(within.tenant, wanted)
    headers = {"Content-Disposition": "attachment; filename=ledger.csv"}
    return StreamingResponse(csv_lines(rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/tenants/{tenant}/ledger/{revision}")
def entry(read: Read, within: Within, revision: int) -> Response:
    """Explains one entry."""
    found = within.state.queries.entry(within.tenant, revision) if 0 <= revision < 2**63 else None
    if found is None:
        raise NOT_FOUND
    sentences = list(explain(found, TEXTS[read.language]))
    lag = within.state.lag.records
    return read.render("entry.html", tenant=within.tenant, entry=found, sentences=sentences, lag=lag)


@router.get("/tenants/{tenant}/changes")
def tenant_changes(read: Read, within: Within, cursor: Number = None) -> Response:
    """What people asked this console to do with one account, and what became of it. For operators."""
    return _trail(read, within, frozenset({within.tenant}), cursor)


@router.get("/changes")
def all_changes(read: Read, state: Shared, cursor: Number = None) -> Response:
    """The same of every account that the reader may see; with all tenants, also sign-ins and tokens. For operators."""
    who = read.session.principal
    return _trail(read, Scope("", who, state), who.tenants, cursor)


def _trail(read: Reader, within: Scope, tenants: frozenset[str] | None, cursor: int | None) -> Response:
    require(within, Role.OPERATOR)
    state, text = within.state, TEXTS[read.language]
    page = state.access.audit(tenants, cursor, ROWS)
    lines: list[Line] = []
    for each in page.items:
        tenant, command_id = each["tenant_id"], each["command_id"]
        outcome = state.queries.outcome(tenant, command_id) if command_id else None
        lines.append(line(each, outcome, within._replace(tenant=tenant), text))
    more = urlencode({"cursor": page.next_cursor}) if page.next_cursor else None
    return read.render("changes.html", tenant=within.tenant, lines=lines, more=more, lag=state.lag.records)


@router.get("/tenants/{tenant}/live")
async def live(read: Read, within: Within, seen: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Server-sent events: one whenever a page about the tenant would look different from the version it has `seen`."""
    unbuffered = {"X-Accel-Buffering": "no"}  # nginx would keep events until it has a page full of them
    return StreamingResponse(_changes(read, within, seen), media_type="text/event-stream", headers=unbuffered)


async def _changes(read: Reader, within: Scope, shown: str) -> AsyncIterator[str]:
    state, tenant = within.state, within.tenant
    yield "retry: 2000\n\n"
    with state.signal.watch(tenant) as watch:
        while not state.closing.is_set():
            seen = watch.count
            version = await watch.version(partial(state.queries.version, tenant))
            if version != shown:
                shown = version
                yield f"data: {json.dumps(version)}\n\n"
                await asyncio.sleep(LIVE_PAUSE_S)
            else:
                await watch.wait(seen, LIVE_LOOK_S)
                yield ": still here\n\n"
            if await asyncio.to_thread(state.access.session, read.secret) is None:
                return


def _autopay_form(account: Document) -> dict[str, Any]:
    present = account.get("autopay") or {}
    return {
        "enabled": bool(present.get("enabled")),
        "payment": plain(present["payment_amount_micros"]) if present else "50",
        "trigger": plain(present["trigger_micros"]) if present else "20",
    }
