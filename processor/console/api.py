"""The HTTP API under `/v1`: accounts, ledger and commands, for machines that hold a bearer token.

Money is integer micros, times are RFC 3339. It takes bearer tokens only, never a browser's cookie, so no other site can
use it on behalf of somebody.
"""

from asyncio import to_thread
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator

from processor.console import answers
from processor.console.access import Role
from processor.console.asked import (
    AdjustRequest,
    AutopayRequest,
    Body,
    FundRequest,
    LicencesRequest,
    ResetRequest,
    written_out,
)
from processor.console.authorization import Answer, Question, authorize
from processor.console.commands import CommandNotStoredError, KeyReusedError
from processor.console.csv_export import csv_lines
from processor.console.problems import NOT_FOUND, ProblemDetails, ProblemError
from processor.console.queries import Filter, Page
from processor.console.scope import Caller, Credentials, Scope, Shared, TenantPath, Within, caller, require, scope
from processor.console.tenants import segment_of

EVERY_PROBLEM: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProblemDetails} for status in (400, 401, 403, 404, 413, 422, 500, 503)
}
COMMAND_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": answers.Command, "description": "Stored; the meter has not decided yet. `Location` will tell."},
    409: {"model": ProblemDetails, "description": "The meter refused it; `type` ends with its reason."},
    503: {"model": ProblemDetails, "description": "Kafka or the database did not answer; repeat with the same key."},
}
RECHARGE_NOTICES: Final = (
    "recharge.succeeded",
    "recharge.failed",
    "recharge.unknown",
    "autopay.suspended",
    "autopay.blocked",
)
DEFAULT_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 30.0

router = APIRouter(prefix="/v1", responses=EVERY_PROBLEM)
Limit = Annotated[int, Query(ge=1, le=1000, description="Items per page at most.")]
After = Annotated[
    str | None,
    Query(max_length=640, pattern="^[0-9]{1,15}-[^\x00]+$", description="`next_cursor` of the page before."),
]
Number = Annotated[int | None, Query(ge=0, lt=2**63, description="`next_cursor` of the page before.")]


UserAfter = Annotated[str, Query(max_length=256, pattern="^[^\x00]*$", description="`next_cursor` of the page before.")]


Moment = Annotated[datetime, BeforeValidator(written_out)]


async def entries_filter(
    kind: Annotated[Literal["charge", "fund", "recharge", "refund", "expiry", "adjustment"] | None, Query()] = None,
    decision: Annotated[Literal["free", "pool", "credits", "split", "refused"] | None, Query()] = None,
    country: Annotated[str | None, Query(pattern="^[A-Z]{2}$", description="Destination, ISO 3166-1.")] = None,
    since: Annotated[Moment | None, Query(description="Occurred at this time or later.")] = None,
    until: Annotated[Moment | None, Query(description="Occurred before this time.")] = None,
) -> Filter:
    """Reads the filter of ledger entries; times without a zone are UTC."""
    return Filter(kind, decision, country, _aware(since), _aware(until))


Wanted = Annotated[Filter, Depends(entries_filter)]


@router.get("/status", tags=["console"])
def status(state: Shared, _who: Caller) -> answers.Status:
    """How far the console is behind the meter."""
    return answers.Status(behind_records=state.lag.records, stored_records=state.lag.stored)


@router.get("/accounts", tags=["accounts"])
def accounts(
    state: Shared,
    who: Caller,
    search: Annotated[str, Query(max_length=128, pattern="^[^\x00]*$", description="Part of the tenant id.")] = "",
    cursor: Annotated[str, Query(max_length=128, pattern="^[^\x00]*$")] = "",
    limit: Limit = 50,
) -> answers.Accounts:
    """Accounts that the caller may see, by tenant id."""
    return answers.Accounts(**_body(state.queries.accounts(search, who.tenants, cursor, limit)))


@router.get("/accounts/{tenant}", tags=["accounts"])
def account(within: Within) -> answers.Account:
    """One account: balance, lots, auto-pay settings and the state of its recharges."""
    return answers.Account(**within.known())


@router.get("/accounts/{tenant}/lots", tags=["accounts"])
def lots(within: Within) -> answers.Items:
    """Purchases with something left, the first to be used first."""
    return answers.Items(items=within.known().get("lots") or [])


@router.get("/accounts/{tenant}/pools", tags=["accounts"])
def pools(within: Within) -> answers.Pools:
    """Minutes used by month from each pool that users share, and the licences that fill them."""
    found = within.known()
    return answers.Pools(items=found.get("pools") or [], licences=found.get("licences") or [])


@router.get("/accounts/{tenant}/users", tags=["accounts"])
def users(within: Within, cursor: UserAfter = "", limit: Limit = 50) -> answers.Users:
    """Minutes used by month by each user who shares no pool (`MCOPSTN8`), by user id."""
    within.known()
    return answers.Users(**_body(within.state.queries.users(within.tenant, cursor, limit)))


@router.get("/accounts/{tenant}/ledger", tags=["ledger"])
def ledger(within: Within, wanted: Wanted, cursor: Number = None, limit: Limit = 50) -> answers.Ledger:
    """Ledger entries, newest first."""
    within.known()
    return answers.Ledger(**_body(within.state.queries.ledger(within.tenant, wanted, cursor, limit)))


@router.get("/accounts/{tenant}/ledger.csv", tags=["ledger"], response_class=StreamingResponse)
def ledger_csv(within: Within, wanted: Wanted) -> StreamingResponse:
    """All entries that the filter wants, as CSV with a header row, streamed."""
    within.known()
    rows = within.state.queries.every_entry(within.tenant, wanted)
    headers = {"Content-Disposition": "attachment; filename=ledger.csv"}
    return StreamingResponse(csv_lines(rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/accounts/{tenant}/recharges", tags=["accounts"])
def recharges(within: Within, cursor: After = None, limit: Limit = 50) -> answers.Recharges:
    """What became of automatic payments and why, newest first, and the one that is waiting for its result."""
    found = within.known()
    page = within.state.queries.notices(within.tenant, RECHARGE_NOTICES, cursor, limit)
    return answers.Recharges(**_body(page), state=found.get("recharge") or {})


@router.get("/accounts/{tenant}/notifications", tags=["accounts"])
def notifications(within: Within, cursor: After = None, limit: Limit = 50) -> answers.Notices:
    """What people were told, newest first."""
    within.known()
    return answers.Notices(**_body(within.state.queries.notices(within.tenant, (), cursor, limit)))


@router.post("/accounts/{tenant}/authorize", tags=["calls"])
async def authorize_call(tenant: TenantPath, state: Shared, credentials: Credentials, question: Question) -> Answer:
    """May this call be made, who pays, and how long do pool and balance last? Ask before the call and during it."""
    # On the event loop: two look-ups by key take less time than the way to a thread and back, and a caller waits.
    within = scope(tenant, caller(state, credentials), state)
    document = within.state.queries.account_document(within.tenant)
    own = partial(within.state.queries.user_document, within.tenant)
    return authorize(document, question, within.state.rates.tariff, within.state.clock(), own)


@router.get("/accounts/{tenant}/audit", tags=["console"])
def audit(within: Within, cursor: Number = None, limit: Limit = 50) -> answers.Audit:
    """Changes to one account that people asked this console for, or were refused, newest first. For operators."""
    require(within, Role.OPERATOR)
    return answers.Audit(**_body(within.state.access.audit(frozenset({within.tenant}), cursor, limit)))


@router.get("/audit", tags=["console"])
def everything(state: Shared, who: Caller, cursor: Number = None, limit: Limit = 50) -> answers.Audit:
    """The same of every account that the caller may see; with all tenants, also sign-ins and tokens. For operators."""
    require(Scope("", who, state), Role.OPERATOR)
    return answers.Audit(**_body(state.access.audit(who.tenants, cursor, limit)))


class Ask(NamedTuple):
    """How a command is to be sent, from the headers."""

    key: str | None
    wait_s: float
    response: Response


async def ask_of(
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="Repeat it with a retry: the change is made once."),
    ] = None,
    prefer: Annotated[str | None, Header(description="`respond-async`, or `wait=N` seconds (RFC 7240).")] = None,
) -> Ask:
    """Reads the headers of a command."""
    return Ask(idempotency_key, _wait_s(prefer), response)


Asked = Annotated[Ask, Depends(ask_of)]


@router.post("/accounts/{tenant}/funds", tags=["commands"], responses=COMMAND_ANSWERS)
async def fund(within: Within, ask: Asked, body: FundRequest) -> answers.Command:
    """Add funds once. They expire twelve months later."""
    return await _command(within, ask, Role.BILLING_ADMIN, "credits.funded.v1", body)


@router.put("/accounts/{tenant}/autopay", tags=["commands"], responses=COMMAND_ANSWERS)
async def autopay(within: Within, ask: Asked, body: AutopayRequest) -> answers.Command:
    """Set when and how much is paid automatically."""
    return await _command(within, ask, Role.BILLING_ADMIN, "credits.autopay.set.v1", body)


@router.put("/accounts/{tenant}/licences", tags=["commands"], responses=COMMAND_ANSWERS)
async def licences(within: Within, ask: Asked, body: LicencesRequest) -> answers.Command:
    """Say which licences a tenant has from a time on; they fill its pools. For operators."""
    return await _command(within, ask, Role.OPERATOR, "credits.licences.set.v1", body)


@router.post("/accounts/{tenant}/adjustments", tags=["commands"], responses=COMMAND_ANSWERS)
async def adjust(within: Within, ask: Asked, body: AdjustRequest) -> answers.Command:
    """Correct a balance, up or down, with a reason. For operators."""
    return await _command(within, ask, Role.OPERATOR, "credits.adjusted.v1", body)


@router.post("/accounts/{tenant}/recharge/reset", tags=["commands"], responses=COMMAND_ANSWERS)
async def reset(within: Within, ask: Asked) -> answers.Command:
    """End a pause or a suspension of auto-pay. For operators."""
    return await _command(within, ask, Role.OPERATOR, "credits.recharge.reset.v1", ResetRequest())


@router.get("/accounts/{tenant}/commands/{command_id}", tags=["commands"])
async def command(within: Within, command_id: Annotated[str, Path(max_length=256)]) -> answers.Command:
    """What became of a command that this console was asked for."""
    outcome = await within.state.commands.outcome(within.tenant, command_id, 0)
    if outcome is None and not within.state.access.requested(within.tenant, command_id):
        raise NOT_FOUND
    return answers.command(command_id, outcome)


async def _command(within: Scope, ask: Ask, role: Role, kind: str, body: Body) -> answers.Command:
    outcome = await send(within, ask.key, ask.wait_s, role, kind, body)
    if outcome.status == "rejected":
        reason = outcome.reason or "rejected"
        raise ProblemError(HTTPStatus.CONFLICT, reason, f"The meter refused the change: {reason}. Nothing was changed.")
    if outcome.status == "pending":
        ask.response.status_code = HTTPStatus.ACCEPTED
        where = f"/v1/accounts/{segment_of(within.tenant)}/commands/{outcome.command_id}"
        ask.response.headers["Location"] = where
    return outcome


async def send(within: Scope, key: str | None, wait_s: float, role: Role, kind: str, body: Body) -> answers.Command:
    """Asks the meter for a change and waits for what became of it.

    Problems: 403 for a lesser role, 422 for a key that was used otherwise, 503 when Kafka does not take the command.
    """
    await to_thread(require, within, role)
    commands = within.state.commands
    try:
        data = await to_thread(body.data, within)
        command_id = await to_thread(commands.ask, within.who, within.tenant, kind, data, key)
    except KeyReusedError:
        said = "This Idempotency-Key was used for another change: use a new key for a new change."
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "key_reused", said) from None
    except CommandNotStoredError as error:
        said = (
            f"Kafka did not answer ({error}): the change may be made all the same."
            " Repeat it with the same Idempotency-Key, which makes it once."
        )
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "not_stored", said, {"Retry-After": "5"}) from error
    return answers.command(command_id, await commands.outcome(within.tenant, command_id, wait_s))


def _body(page: Page) -> dict[str, Any]:
    return {"items": page.items, "next_cursor": page.next_cursor}


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _wait_s(prefer: str | None) -> float:
    for preference in (prefer or "").split(","):
        name, _, value = preference.strip().partition("=")
        if name == "respond-async":
            return 0.0
        if name == "wait" and value.isascii() and value.isdigit() and len(value) < 4:
            return min(float(value), LONGEST_WAIT_S)
    return DEFAULT_WAIT_S
