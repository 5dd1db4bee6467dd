"""What a usage event costs and who pays for it, first or again."""

from datetime import datetime

from processor.domain.account import Account, debit
from processor.domain.bounds import MAX_DEBT_MICROS, may_receive, out_of_credit, out_of_room
from processor.domain.corrections import Memory, take_back
from processor.domain.coverage import (
    NOT_ALLOWED,
    NOT_LICENSED,
    UNRATEABLE,
    Cover,
    allowed,
    cover_leg,
    entitlement,
)
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.ledger import UsageDetail
from processor.domain.messages import CallUsage, ConferenceUsage
from processor.domain.money import Micros, charge_micros
from processor.domain.policy import Policy
from processor.domain.pools import Entitlement, Pools
from processor.domain.posting import Outcome, conclude, expire, notice, record
from processor.domain.tariff import Row, Tariff, billed_seconds
from processor.domain.usage import Leg, leg_of


def use(
    account: Account, message: CallUsage | ConferenceUsage, tariff: Tariff, now: datetime, memory: Memory | None
) -> Outcome:
    """Charges one leg for the first time.

    Raises `InputRejected`: what `leg_of` and `Tariff.find` do, and `balance_limit`.
    """
    leg = leg_of(message, tariff.policy, now)
    cover = cover_leg(leg)
    row = _row(account, leg, cover, tariff)
    before = account.balance_micros
    if before < -MAX_DEBT_MICROS and row is not None:
        raise out_of_credit()
    outcome = Outcome([], [], [])
    if account.lots:
        expire(account, outcome, now)
    _charge(account, message, leg, cover, row, tariff.policy, memory, outcome, now)
    conclude(account, message, before, outcome, tariff.policy, now)
    return outcome


def correct(
    account: Account, message: CallUsage | ConferenceUsage, tariff: Tariff, now: datetime, memory: Memory | None
) -> Outcome:
    """Takes an earlier charge back and, unless it is void, charges the corrected leg by its own start.

    Raises `InputRejected`: `unknown_original`, `too_old`, `balance_limit`, and whatever the corrected leg is rejected
    for; then the earlier charge stands.
    """
    data, policy = message.data, tariff.policy
    if memory is None:
        raise InvariantViolated("a correction needs the memory of earlier charges")
    original = None if data.corrects is None else memory.original(message.source, data.corrects)
    if original is None or original.tenant_id != account.tenant_id:
        raise InputRejected("unknown_original", "no applied event of this tenant and source has the id in `corrects`")
    if original.started_at < now - policy.corrections:
        raise InputRejected("too_old", f"the original began more than {policy.corrections.days} days ago")
    leg = cover = row = None
    if data.record_kind == "correction":
        leg = leg_of(message, policy, now)
        cover = cover_leg(leg)
        row = _row(account, leg, cover, tariff)
    before = account.balance_micros
    if original.amount_micros and not may_receive(account, original.amount_micros):
        raise out_of_room()
    if before + original.amount_micros < -MAX_DEBT_MICROS and row is not None:
        raise out_of_credit()
    outcome = Outcome([], [], [])
    expire(account, outcome, now)
    take_back(account, message, original, memory, outcome, now)
    expire(account, outcome, now)
    if leg is not None and cover is not None:
        usage = _charge(account, message, leg, cover, row, policy, memory, outcome, now)
        usage.corrects = original.event_id
    conclude(account, message, before, outcome, policy, now)
    return outcome


def _row(account: Account, leg: Leg, cover: Cover, tariff: Tariff) -> Row | None:
    """Finds the row that decides about a leg; None when nobody asks for it or, by policy, when there is none."""
    if cover.decision != "credits" and cover.decision != "pool":
        return None
    try:
        return tariff.find(leg.number, leg.direction, account.currency, leg.started_at)
    except InputRejected as rejected:
        if rejected.reason == "no_rate" and tariff.policy.unrateable == "free":
            return None
        raise


def _charge(
    account: Account,
    message: CallUsage | ConferenceUsage,
    leg: Leg,
    cover: Cover,
    row: Row | None,
    policy: Policy,
    memory: Memory | None,
    outcome: Outcome,
    now: datetime,
) -> UsageDetail:
    """Writes the charge entry of a leg; nothing in here can be rejected any more."""
    amount = 0
    usage = UsageDetail(decision=cover.decision, reason=cover.reason, connected_seconds=leg.seconds)
    if leg.conference:
        usage.leg_kind = leg.kind
    else:
        usage.call_type = leg.kind
    if row is not None:
        usage.country = row.country
        usage.destination = row.destination
        usage.prefix = row.prefix
        usage.deck = row.deck
        if not allowed(leg.number, row):
            usage.decision, usage.reason = NOT_ALLOWED.decision, NOT_ALLOWED.reason
        elif cover.decision == "pool":
            amount = _draw(account, leg, row, usage, policy, memory, outcome, now)
        else:
            amount = _price(leg.seconds, row, usage)
    elif cover.decision == "credits" or cover.decision == "pool":
        usage.decision, usage.reason = UNRATEABLE.decision, UNRATEABLE.reason
    changes = debit(account, amount) if amount else []
    entry = record(account, message, "charge", -amount, changes, outcome, leg.started_at, now)
    entry.usage = usage
    if amount and account.overdraft_micros:
        entry.flags = ["overdrawn"]
    if leg.seconds > 86_400:
        entry.flags = [*entry.flags, "over_24_hours"]
    return usage


def _price(seconds: int, row: Row, usage: UsageDetail) -> Micros:
    """Prices seconds on credits; without any there is no connect fee either."""
    billed = billed_seconds(seconds, row)
    usage.credit_seconds = billed
    usage.billed_seconds += billed
    usage.rate_micros_per_min = row.rate_micros_per_min
    if not billed:
        return 0
    usage.connect_fee_micros = row.connect_fee_micros
    return charge_micros(billed, row.rate_micros_per_min, row.connect_fee_micros)


def _draw(
    account: Account,
    leg: Leg,
    row: Row,
    usage: UsageDetail,
    policy: Policy,
    memory: Memory | None,
    outcome: Outcome,
    now: datetime,
) -> Micros:
    """Lets the pool pay as many whole minutes as it has, and credits the rest; returns what credits owe."""
    entitled, after = entitlement(leg, row)
    owed_s = leg.seconds
    if entitled is not None:
        if leg.conference:
            usage.zone = "A"
        pools = _pools(account, leg, entitled, memory)
        drawn = pools.draw(entitled, -(-owed_s // 60), now - policy.corrections)
        if drawn.minutes:
            usage.pool, usage.pool_minutes, usage.billed_seconds = entitled.pool, drawn.minutes, drawn.minutes * 60
            for percent in drawn.percent:
                cause = f"{entitled.pool}:{pools.month}:{percent}"
                told = notice(account, "pool.threshold", cause, pool=entitled.pool, month=pools.month, percent=percent)
                outcome.notices.append(told)
        owed_s -= 60 * drawn.minutes
        if drawn.left and owed_s <= 0:
            return 0
    split = usage.pool_minutes > 0
    if not leg.credits_licensed:
        usage.decision, usage.reason = "split" if split else NOT_LICENSED.decision, NOT_LICENSED.reason
        return 0
    usage.decision, usage.reason = "split" if split else after.decision, after.reason
    return _price(owed_s, row, usage)


def _pools(account: Account, leg: Leg, entitled: Entitlement, memory: Memory | None) -> Pools:
    if entitled.user_id is None:
        return Pools(account.licences, account.pools, leg.started_at)
    if memory is None:
        raise InvariantViolated("a user's own minutes need the memory of users")
    return Pools(account.licences, memory.own_pools(account.tenant_id, entitled.user_id), leg.started_at)
