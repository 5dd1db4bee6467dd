"""A tenant's account: lots of purchased credits, the overdraft, and the money operations on them."""

from bisect import insort
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from processor.domain.errors import InvariantViolated
from processor.domain.ledger import LotChange
from processor.domain.messages import Amount, Count
from processor.domain.money import MAX_MICROS, Micros
from processor.domain.pools import LicenceSet, PoolUse

Total = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Lot(Struct, kw_only=True):
    """One purchase: what is left of it is forfeited at `expires_at`."""

    lot_id: str
    purchased_at: datetime
    expires_at: datetime
    amount_micros: Amount
    remaining_micros: Amount
    expiry_noticed: bool = False

    def burn_order(self) -> tuple[datetime, datetime, str]:
        """Sorts the lot that expires first to the front; ties by purchase, then by id."""
        return self.expires_at, self.purchased_at, self.lot_id


class Autopay(Struct, kw_only=True):
    """The account's auto-pay settings; `set_by` is the id of the command that set them."""

    enabled: bool
    payment_amount_micros: Amount
    trigger_micros: Amount
    payment_method_ref: str
    set_by: str
    max_per_day: Count | None = None
    max_per_month_micros: Amount | None = None
    max_units: Count | None = None


class Decided(Struct, frozen=True):
    """The final result of an earlier recharge, kept to tell a repetition from a contradiction."""

    recharge_id: str
    status: str


class Recharge(Struct, kw_only=True):
    """The recharge state machine. `in_flight` is the id of the only recharge that may be waiting for its result.

    `attempt` counts how often it has been asked for; after the first deadline nobody knows what became of it.
    `recent` are the times of the latest recharges, oldest first, as many as the burst alarm looks at.
    """

    sequence: int = 0
    in_flight: str | None = None
    attempt: int = 1
    amount_micros: Amount = 0
    payment_method_ref: str = ""
    requested_at: datetime | None = None
    deadline_at: datetime | None = None
    failures: int = 0
    not_before: datetime | None = None
    suspended: bool = False
    blocked_by: str | None = None
    blocked_until: datetime | None = None
    blocks_told: dict[str, str] = {}
    recent: list[datetime] = []
    reset_by: str | None = None
    counted_on: str = ""
    count_today: int = 0
    micros_this_month: Amount = 0
    decided: list[Decided] = []


class Account(Struct, kw_only=True):
    """Everything the meter knows about a tenant; published whole to `account.state.v1`.

    `balance_micros` is what is left in the lots minus the overdraft, and also credits minus debits since the start.
    `lots` holds only lots with something left, in burn order.
    """

    tenant_id: str
    currency: str
    revision: int = 0
    balance_micros: Amount = 0
    overdraft_micros: Amount = 0
    credited_micros: Total = 0
    debited_micros: Total = 0
    lots: list[Lot] = []
    licences: list[LicenceSet] = []
    pools: list[PoolUse] = []
    autopay: Autopay | None = None
    recharge: Recharge = field(default_factory=Recharge)

    @property
    def is_new(self) -> bool:
        """True while nothing was ever applied to it: the tenant id may be a slip of the pen."""
        return not self.revision and self.autopay is None

    @property
    def untouched(self) -> bool:
        """True while no money ever moved or is about to, so that the currency may still be chosen."""
        return not self.credited_micros and not self.debited_micros and self.recharge.in_flight is None


def new_lot_id(account: Account, purchased_at: datetime) -> str:
    """Names a lot after the entry that will record it, unique for the life of the account, and after its purchase.

    A lot that is used up leaves the account; its id is what a refund opens it again from (`purchase_of`).
    """
    return f"lot-{account.revision + 1}@{purchased_at.isoformat()}"


def purchase_of(lot_id: str) -> datetime | None:
    """Reads the time of the purchase back from the id of a lot; ids before version 0.2 do not tell it."""
    purchased_at = lot_id.partition("@")[2]
    return datetime.fromisoformat(purchased_at) if purchased_at else None


def one_year_after(purchased_at: datetime) -> datetime:
    """Twelve calendar months later; 29 February becomes 28 February."""
    try:
        return purchased_at.replace(year=purchased_at.year + 1)
    except ValueError:
        return purchased_at.replace(year=purchased_at.year + 1, day=28)


def debit(account: Account, amount_micros: Micros) -> list[LotChange]:
    """Takes a charge from the lots in burn order; what they cannot pay becomes overdraft."""
    if amount_micros < 0:
        raise InvariantViolated("a charge is negative")
    account.balance_micros -= amount_micros
    account.debited_micros += amount_micros
    changes, due = [], amount_micros
    lots = account.lots
    while due and lots:
        lot = lots[0]
        taken = min(due, lot.remaining_micros)
        lot.remaining_micros -= taken
        due -= taken
        changes.append(LotChange(lot.lot_id, -taken))
        if not lot.remaining_micros:
            del lots[0]
    account.overdraft_micros += due
    return changes


def credit(account: Account, lot_id: str, amount_micros: Micros, purchased_at: datetime) -> list[LotChange]:
    """Adds a purchase as a new lot; it pays the overdraft first."""
    if amount_micros <= 0:
        raise InvariantViolated("a credit is not positive")
    left = _take_in(account, amount_micros)
    if not left:
        return []
    _open(account, lot_id, purchased_at, amount_micros, left)
    return [LotChange(lot_id, left)]


def refund(account: Account, amount_micros: Micros, taken: list[LotChange], charged_at: datetime) -> list[LotChange]:
    """Returns a charge: what is owed is paid first, the rest goes back to the lots it was taken from.

    A lot that is used up is opened again, to expire when it would have. What was overdraft when it was charged and has
    been paid since becomes a lot of its own, as old as the charge.
    """
    left = _take_in(account, amount_micros)
    changes = []
    for change in reversed(taken):
        back = min(left, -change.amount_micros)
        if back > 0:
            _reopen(account, change.lot_id, back, purchase_of(change.lot_id) or charged_at)
            changes.append(LotChange(change.lot_id, back))
            left -= back
    if left:
        lot_id = new_lot_id(account, charged_at)
        _open(account, lot_id, charged_at, left, left)
        changes.append(LotChange(lot_id, left))
    return changes


def _reopen(account: Account, lot_id: str, micros: Micros, purchased_at: datetime) -> None:
    for lot in account.lots:
        if lot.lot_id == lot_id:
            lot.remaining_micros += micros
            lot.amount_micros = max(lot.amount_micros, lot.remaining_micros)
            return
    _open(account, lot_id, purchased_at, micros, micros)


def _open(account: Account, lot_id: str, purchased_at: datetime, micros: Micros, left: Micros) -> None:
    """Puts a lot of `micros`, of which `left` is there, into its place in the burn order."""
    lot = Lot(
        lot_id=lot_id,
        purchased_at=purchased_at,
        expires_at=one_year_after(purchased_at),
        amount_micros=micros,
        remaining_micros=left,
    )
    insort(account.lots, lot, key=Lot.burn_order)


def _take_in(account: Account, amount_micros: Micros) -> Micros:
    """Books money that comes in and pays the overdraft with it first; returns what is left for lots."""
    account.balance_micros += amount_micros
    account.credited_micros += amount_micros
    repaid = min(account.overdraft_micros, amount_micros)
    account.overdraft_micros -= repaid
    return amount_micros - repaid


def expire_next(account: Account, now: datetime) -> Lot | None:
    """Forfeits what is left of the first lot whose twelve months have passed; None when there is none (any more)."""
    if not account.lots or account.lots[0].expires_at > now:
        return None
    lot = account.lots.pop(0)
    account.balance_micros -= lot.remaining_micros
    account.debited_micros += lot.remaining_micros
    return lot


def check(account: Account) -> None:
    """Raises `InvariantViolated` when the books of an account do not agree with themselves."""
    in_lots = sum(lot.remaining_micros for lot in account.lots)
    if in_lots - account.overdraft_micros != account.balance_micros:
        raise InvariantViolated("lots minus overdraft differ from the balance")
    if account.credited_micros - account.debited_micros != account.balance_micros:
        raise InvariantViolated("credits minus debits differ from the balance")
    if account.overdraft_micros < 0 or (account.overdraft_micros and account.lots):
        raise InvariantViolated("there is an overdraft beside unspent lots")
    if any(not 0 < lot.remaining_micros <= lot.amount_micros for lot in account.lots):
        raise InvariantViolated("a lot holds less than nothing or more than was paid")
    if abs(account.balance_micros) > MAX_MICROS:
        raise InvariantViolated("a balance outgrew the exact range of JSON numbers")
