"""The administrator's pages: rendered here, complete without a script; a small one only keeps them up to date."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Cookie, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from processor.console.access import SESSION_MS, Role, Session
from processor.console.amounts import NotAnAmountError, amount, plain
from processor.console.api import DEFAULT_WAIT_S, RECHARGE_NOTICES, Scope, Shared, Wanted, csv_lines, send
from processor.console.asked import AutopayRequest, Body, FundRequest
from processor.console.chart import HEIGHT, WIDTH, bars
from processor.console.explain import KINDS, NOTICES, REASONS, explain
from processor.console.pools import pool_bars
from processor.console.problems import NOT_FOUND, ProblemError
from processor.console.queries import Document
from processor.console.said import SAID, said_of
from processor.console.tenants import segment_of, tenant_of
from processor.console.text import LOCALES, TEXTS, Text, best_language

COOKIE: Final = "credits_session"
LANGUAGE: Final = "credits_language"
DAYS: Final = 30
ROWS: Final = 50
LIVE_PAUSE_S: Final = 1.0
"""Between two updates of a page: a person cannot read faster."""
LIVE_LOOK_S: Final = 15.0
"""A quiet stream says so this often, which also finds out that the session or the browser is gone."""

router = APIRouter()


def _environment(text: Text) -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_translations(text.translations, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(
        text=text,
        languages={code: locale.get_display_name(locale) for code, locale in LOCALES.items()},
        reasons=REASONS,
        kinds=KINDS,
        notice_names=NOTICES,
        said_texts=SAID,
        segment_of=segment_of,
    )
    return made


_ENVIRONMENTS: Final = {code: _environment(text) for code, text in TEXTS.items()}


class Reader(NamedTuple):
    """Who looks at a page, in which language."""

    request: Request
    session: Session
    secret: str
    language: str

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Fills in a template."""
        return _render(self.request, self.language, template, status, session=self.session, **values)


async def _language(
    request: Request, credits_language: Annotated[str | None, Cookie()] = None, lang: str | None = None
) -> str:
    return best_language(lang or credits_language, request.headers.get("accept-language"))


Language = Annotated[str, Depends(_language)]


def reader(
    request: Request, state: Shared, language: Language, credits_session: Annotated[str | None, Cookie()] = None
) -> Reader:
    """Finds the session of the cookie. Redirects to the sign-in page when there is none."""
    session = state.access.session(credits_session) if credits_session else None
    if session is None or credits_session is None:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "signed_out", "Sign in first.")
    return Reader(request, session, credits_session, language)


Read = Annotated[Reader, Depends(reader)]


def checked(read: Read, csrf: Annotated[str, Form(max_length=128)] = "") -> Reader:
    """Makes sure that a form was sent from one of our pages. Problem 403 otherwise."""
    same_site = read.request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    if not same_site or not secrets.compare_digest(csrf.encode(), read.session.csrf.encode()):
        detail = "The form did not come from this console, or is from an earlier session: open the page again."
        raise ProblemError(HTTPStatus.FORBIDDEN, "csrf", detail)
    return read


Checked = Annotated[Reader, Depends(checked)]


def within(read: Read, state: Shared, tenant: str) -> Scope:
    """Checks that the reader may see the tenant. Problem 404 otherwise."""
    found = tenant_of(tenant)
    if found is None or not read.session.principal.sees(found):
        raise NOT_FOUND
    return Scope(found, read.session.principal, state)


Within = Annotated[Scope, Depends(within)]


@router.get("/login")
def login_page(request: Request, language: Language, token: Annotated[str, Query(max_length=256)] = "") -> Response:
    """Asks for a token, or for a click when the printed link brought one: a preview of the link uses nothing up."""
    return _render(request, language, "login.html", token=token, failed=None)


@router.post("/login")
def login(
    request: Request, state: Shared, language: Language, token: Annotated[str, Form(max_length=256)] = ""
) -> Response:
    """Opens a session."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ProblemError(HTTPStatus.FORBIDDEN, "csrf", "Sign in on this console's own page.")
    address = request.client.host if request.client else ""
    if not state.signin.limit.allows(address):
        return _render(request, language, "login.html", 429, token="", failed="too_many")
    secret = state.signin.session(token.strip())
    if secret is None:
        return _render(request, language, "login.html", 401, token="", failed="unknown")
    answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        COOKIE, secret, max_age=SESSION_MS // 1000, httponly=True, samesite="lax", secure=state.secure_cookies
    )
    return answer


@router.post("/logout")
def logout(read: Checked, state: Shared) -> Response:
    """Ends the session."""
    state.access.close_session(read.secret)
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE)
    return answer


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
    return read.render("accounts.html", accounts=page.items, search=search, more=more, lag=state.lag.records)


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
        by_day=by_day,
        bars=bars(by_day, rtl=TEXTS[read.language].direction == "rtl"),
        chart=(WIDTH, HEIGHT),
        by_country=queries.by_country(tenant, today, DAYS)[:10],
        pools=pool_bars(document, now),
        recharges=queries.notices(tenant, RECHARGE_NOTICES, None, 10).items,
        notices=queries.notices(tenant, (), None, 10).items,
        lag=within.state.lag.records,
        said=said if said in SAID else None,
        key=secrets.token_urlsafe(16),
        autopay=_autopay_form(account),
    )


@router.get("/tenants/{tenant}/ledger")
def ledger(
    read: Read, within: Within, wanted: Wanted, cursor: Annotated[int | None, Query(ge=0, lt=2**63)] = None
) -> Response:
    """Ledger entries with their filter."""
    within.known()
    page = within.state.queries.ledger(within.tenant, wanted, cursor, ROWS)
    kept = {name: value for name, value in read.request.query_params.items() if name != "cursor" and value}
    more = urlencode({**kept, "cursor": page.next_cursor}) if page.next_cursor else None
    return read.render(
        "ledger.html", tenant=within.tenant, entries=page.items, wanted=wanted, more=more, kept=urlencode(kept)
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
    return read.render("entry.html", tenant=within.tenant, entry=found, sentences=sentences)


@router.post("/tenants/{tenant}/funds")
async def fund(
    read: Checked,
    within: Within,
    key: Annotated[str, Form(min_length=1, max_length=64)],
    money: Annotated[str, Form(alias="amount", max_length=64)] = "",
) -> Response:
    """Adds funds once, however often the form is sent."""
    del read
    try:
        body = FundRequest(amount_micros=amount(money))
    except NotAnAmountError:
        return _back(within, "not_an_amount")
    return await _change(within, key, "credits.funded.v1", body, "funded")


@router.post("/tenants/{tenant}/autopay")
async def autopay(
    read: Checked,
    within: Within,
    key: Annotated[str, Form(min_length=1, max_length=64)],
    payment: Annotated[str, Form(max_length=64)] = "",
    trigger: Annotated[str, Form(max_length=64)] = "",
    enabled: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Saves the auto-pay settings; limits that the form does not show stay as they are."""
    del read
    present = await asyncio.to_thread(lambda: within.account.get("autopay") or {})
    kept = {name: present.get(name) for name in ("max_per_day", "max_per_month_micros", "max_units")}
    try:
        body = AutopayRequest(
            enabled=bool(enabled),
            payment_amount_micros=amount(payment),
            trigger_micros=amount(trigger),
            **kept,
        )
    except NotAnAmountError:
        return _back(within, "not_an_amount")
    return await _change(within, key, "credits.autopay.set.v1", body, "saved")


@router.get("/tenants/{tenant}/live")
async def live(read: Read, within: Within, seen: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Server-sent events: one whenever a page about the tenant would look different from the version it has `seen`."""
    return StreamingResponse(_changes(read, within, seen), media_type="text/event-stream")


async def _changes(read: Reader, within: Scope, shown: str) -> AsyncIterator[str]:
    signal, queries = within.state.signal, within.state.queries
    yield "retry: 2000\n\n"
    while not within.state.closing.is_set():
        seen = signal.count
        version = await asyncio.to_thread(queries.version, within.tenant)
        if version != shown:
            shown = version
            yield f"data: {json.dumps(version)}\n\n"
            await asyncio.sleep(LIVE_PAUSE_S)
        else:
            await signal.wait(seen, LIVE_LOOK_S)
            yield ": still here\n\n"
        if await asyncio.to_thread(within.state.access.session, read.secret) is None:
            return


async def _change(within: Scope, key: str, kind: str, body: Body, done: str) -> Response:
    outcome = await send(within, f"form-{key}", DEFAULT_WAIT_S, Role.BILLING_ADMIN, kind, body)
    return _back(within, said_of(outcome, done))


def _back(within: Scope, said: str) -> Response:
    return RedirectResponse(f"/tenants/{segment_of(within.tenant)}?said={said}", HTTPStatus.SEE_OTHER)


def error_page(request: Request, problem: ProblemError) -> Response:
    """Shows a problem to a person; without a session, the sign-in page."""
    if problem.code == "signed_out":
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    language = best_language(request.cookies.get(LANGUAGE), request.headers.get("accept-language"))
    return _render(request, language, "problem.html", problem.status, problem=problem)


def _autopay_form(account: Document) -> dict[str, Any]:
    present = account.get("autopay") or {}
    return {
        "enabled": bool(present.get("enabled")),
        "payment": plain(present["payment_amount_micros"]) if present else "50",
        "trigger": plain(present["trigger_micros"]) if present else "20",
    }


def _render(request: Request, language: str, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    values.setdefault("session", None)
    page = _ENVIRONMENTS[language].get_template(template).render(path=request.url.path, **values)
    return HTMLResponse(page, status, headers={"Content-Language": language, "Vary": "Accept-Language, Cookie"})
