"""What a change to an account leaves behind: ledger entries, recharge requests and notices.

The classes are the `data` of the output topics, exactly as published.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from processor.domain.messages import Amount
from processor.domain.money import Micros

EntryKind = Literal["charge", "fund", "recharge", "refund", "expiry", "adjustment"]
NoticeKind = Literal[
    "recharge.succeeded",
    "recharge.failed",
    "recharge.unknown",
    "autopay.suspended",
    "autopay.blocked",
    "balance.zero",
    "pool.threshold",
    "balance.low",
    "lot.expiring",
    "lot.expired",
    "command.rejected",
]


class LotChange(Struct, frozen=True, gc=False):
    """What one entry added to a lot (positive) or took from it (negative)."""

    lot_id: str
    amount_micros: Amount


class UsageDetail(Struct, kw_only=True, omit_defaults=True, gc=False):
    """How a usage event was judged and priced; no phone number, only its prefix."""

    decision: Literal["free", "pool", "credits", "split", "refused"]
    reason: str
    call_type: str | None = None
    leg_kind: str | None = None
    country: str | None = None
    destination: str | None = None
    prefix: str | None = None
    zone: str | None = None
    connected_seconds: int = 0
    billed_seconds: int = 0
    pool: str | None = None
    pool_minutes: int = 0
    credit_seconds: int = 0
    rate_micros_per_min: Micros = 0
    connect_fee_micros: Micros = 0
    deck: str | None = None
    corrects: str | None = None


class Entry(Struct, kw_only=True, gc=False):
    """One line of a tenant's ledger. `revision` counts up by one, so a reader can prove that it missed nothing.

    The entry's amount is the sum of its lot changes plus what the overdraft changed by.
    """

    entry_id: str
    tenant_id: str
    revision: int
    kind: EntryKind
    event_id: str
    event_source: str
    occurred_at: datetime
    recorded_at: datetime
    amount_micros: Amount
    balance_micros: Amount
    currency: str
    flags: list[str] = []
    usage: UsageDetail | None = None
    lots: list[LotChange] = []


class RechargeRequest(Struct, kw_only=True, frozen=True):
    """The command to the payment worker: charge this amount once, under this id."""

    recharge_id: str
    tenant_id: str
    sequence: int
    attempt: int
    amount_micros: Amount
    currency: str
    requested_at: datetime
    deadline_at: datetime
    balance_micros: Amount
    trigger_micros: Amount
    payment_method_ref: str
    caused_by: str


class Notice(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Something a person should know. (`tenant_id`, `kind`, `cause`) identifies it, so a replay does not mail twice."""

    kind: NoticeKind
    tenant_id: str
    cause: str
    balance_micros: Amount
    currency: str
    amount_micros: Amount | None = None
    reason: str | None = None
    recharge_id: str | None = None
    lot_id: str | None = None
    command_id: str | None = None
    pool: str | None = None
    month: str | None = None
    percent: int | None = None
