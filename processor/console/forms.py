"""The forms of the pages: each sends one account command and comes back to the page with what became of it."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from processor.console.access import Role
from processor.console.amounts import NotAnAmountError, amount, whole
from processor.console.api import DEFAULT_WAIT_S, send
from processor.console.asked import AdjustRequest, AutopayRequest, Body, FundRequest, LicencesRequest, ResetRequest
from processor.console.reader import Checked, Within
from processor.console.said import said_of
from processor.console.scope import Scope
from processor.console.tenants import segment_of

router = APIRouter(prefix="/tenants/{tenant}")

Key = Annotated[str, Form(min_length=1, max_length=64)]
Typed = Annotated[str, Form(max_length=64)]
Rows = Annotated[list[Annotated[str, Form(max_length=64)]], Form(max_length=1000)]


@router.post("/funds")
async def fund(read: Checked, within: Within, key: Key, money: Annotated[Typed, Form(alias="amount")] = "") -> Response:
    """Adds funds once, however often the form is sent."""
    del read
    try:
        body = FundRequest(amount_micros=amount(money))
    except NotAnAmountError:
        return _back(within, "not_an_amount")
    return await _change(within, key, Role.BILLING_ADMIN, "credits.funded.v1", body, "funded")


@router.post("/autopay")
async def autopay(
    read: Checked, within: Within, key: Key, payment: Typed = "", trigger: Typed = "", enabled: Typed = ""
) -> Response:
    """Saves the auto-pay settings; limits that the form does not show stay as they are."""
    del read
    present = await asyncio.to_thread(lambda: within.account.get("autopay") or {})
    kept = {name: present.get(name) for name in ("max_per_day", "max_per_month_micros", "max_units")}
    try:
        body = AutopayRequest(
            enabled=bool(enabled), payment_amount_micros=amount(payment), trigger_micros=amount(trigger), **kept
        )
    except NotAnAmountError:
        return _back(within, "not_an_amount")
    return await _change(within, key, Role.BILLING_ADMIN, "credits.autopay.set.v1", body, "saved")


@router.post("/licences")
async def licences(read: Checked, within: Within, key: Key, plan: Rows, country: Rows, count: Rows) -> Response:
    """Sets all licences from now on: one of each list makes a row; a row without a count is no licence."""
    del read
    try:
        rows = [
            {"capability": named, "country": place.strip().upper(), "count": whole(number)}
            for named, place, number in zip(plan, country, count, strict=True)
            if number.strip()
        ]
        body = LicencesRequest.model_validate({"licences": [row for row in rows if row["count"]]})
    except ValueError:  # pydantic's, too
        return _back(within, "not_a_licence")
    return await _change(within, key, Role.OPERATOR, "credits.licences.set.v1", body, "licences_set")


@router.post("/adjustments")
async def adjust(
    read: Checked,
    within: Within,
    key: Key,
    money: Annotated[Typed, Form(alias="amount")] = "",
    reason: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """Corrects the balance, up or down."""
    del read
    try:
        body = AdjustRequest(amount_micros=amount(money), reason=reason.strip())
    except NotAnAmountError:
        return _back(within, "not_an_amount")
    except ValidationError:
        return _back(within, "no_reason")
    return await _change(within, key, Role.OPERATOR, "credits.adjusted.v1", body, "adjusted")


@router.post("/reset")
async def reset(read: Checked, within: Within, key: Key) -> Response:
    """Ends a pause or a suspension of auto-pay."""
    del read
    return await _change(within, key, Role.OPERATOR, "credits.recharge.reset.v1", ResetRequest(), "reset")


async def _change(within: Scope, key: str, role: Role, kind: str, body: Body, done: str) -> Response:
    outcome = await send(within, f"form-{kind}-{key}", DEFAULT_WAIT_S, role, kind, body)
    return _back(within, said_of(outcome, done))


def _back(within: Scope, said: str) -> Response:
    return RedirectResponse(f"/tenants/{segment_of(within.tenant)}?said={said}", HTTPStatus.SEE_OTHER)
