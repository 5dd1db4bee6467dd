"""What the passing of time does to an account: one question and one answer, both from its state alone.

`next_due` names the time at which `due` has something to do; nothing else about timers is ever stored. Applying `due`
twice, or late, does the same as once and in time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from processor.domain import recharge
from processor.domain.account import Account
from processor.domain.policy import Policy
from processor.domain.posting import Outcome, Timer, about_lot, conclude, expire, notice, timer


class TimedLot(Protocol):
    """What `next_due` reads of a lot."""

    @property
    def expires_at(self) -> datetime:
        """When it is forfeited."""

    @property
    def expiry_noticed(self) -> bool:
        """Whether that is announced."""


class TimedRecharge(Protocol):
    """What `next_due` reads of the recharge state machine."""

    @property
    def deadline_at(self) -> datetime | None:
        """When the recharge in flight is asked for again."""

    @property
    def not_before(self) -> datetime | None:
        """When the pause ends."""

    @property
    def blocked_until(self) -> datetime | None:
        """When the blocked window ends."""


class Timed(Protocol):
    """What `next_due` reads of an account, so that a recovery need not decode all of it."""

    @property
    def lots(self) -> Sequence[TimedLot]:
        """In burn order."""

    @property
    def recharge(self) -> TimedRecharge:
        """The state machine."""


def next_due(account: Timed, policy: Policy) -> datetime | None:
    """Returns when the account next needs the clock, None when it never does; later than the last `due`."""
    state, times = account.recharge, []
    if account.lots:
        times.append(account.lots[0].expires_at)
        for lot in account.lots:
            if not lot.expiry_noticed:
                times.append(lot.expires_at - policy.expiry_notice)
                break
    times += [at for at in (state.deadline_at, state.not_before, state.blocked_until) if at is not None]
    return min(times, default=None)


def may_be_sooner(account: Account, outcome: Outcome) -> bool:
    """Tells whether the outcome may have moved `next_due` forward; False for the many charges that only spend money."""
    entries = outcome.entries
    return (
        len(entries) != 1
        or entries[0].kind != "charge"
        or bool(outcome.requests or outcome.notices)
        or account.recharge.blocked_until is not None
    )


def due(account: Account, policy: Policy, now: datetime) -> Outcome:
    """Does all that is due by `now`: forfeits lots, gives notice of it, asks again, ends pauses and blocked windows."""
    outcome, before = Outcome([], [], []), account.balance_micros
    cause = _cause(account, now)
    expire(account, outcome, now)
    _announce_expiry(account, outcome, policy, now)
    state = account.recharge
    if state.in_flight is not None and state.deadline_at is not None and state.deadline_at <= now:
        _ask_again(account, outcome, policy, now)
    if state.not_before is not None and state.not_before <= now:
        state.not_before = None
    if cause is not None:
        conclude(account, cause, before, outcome, policy, now)
    return outcome


def _cause(account: Account, now: datetime) -> Timer | None:
    """Names what may make a payment due now, before it is done and forgotten."""
    state = account.recharge
    if state.blocked_by is not None and state.blocked_until is not None and state.blocked_until <= now:
        return timer(state.blocked_by, state.blocks_told[state.blocked_by])
    if state.not_before is not None and state.not_before <= now:
        return timer("backing_off", f"{account.tenant_id}:{state.sequence}")
    if account.lots and account.lots[0].expires_at <= now:
        return timer("expiry", account.lots[0].lot_id)
    return None


def _announce_expiry(account: Account, outcome: Outcome, policy: Policy, now: datetime) -> None:
    for lot in account.lots:
        if lot.expires_at - policy.expiry_notice > now:
            return
        if not lot.expiry_noticed:
            lot.expiry_noticed = True
            outcome.notices.append(about_lot(account, "lot.expiring", lot, lot.remaining_micros))


def _ask_again(account: Account, outcome: Outcome, policy: Policy, now: datetime) -> None:
    """Nobody knows whether the card was charged: the same id is asked for again, so it is charged at most once."""
    state = account.recharge
    cause = timer("deadline", f"{state.in_flight}#{state.attempt}")
    if state.attempt == 1:
        told = notice(
            account,
            "recharge.unknown",
            str(state.in_flight),
            amount_micros=state.amount_micros,
            recharge_id=state.in_flight,
        )
        outcome.notices.append(told)
    outcome.requests.append(recharge.ask(account, cause.id, now, policy))
