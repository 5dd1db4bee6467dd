"""What a usage event costs and who pays for it."""

from datetime import datetime

from processor.domain.account import Account, debit
from processor.domain.coverage import NOT_ALLOWED, UNRATEABLE, cover_leg
from processor.domain.errors import InputRejected
from processor.domain.ledger import UsageDetail
from processor.domain.messages import CallUsage, ConferenceUsage
from processor.domain.money import charge_micros
from processor.domain.posting import Outcome, conclude, expire, record
from processor.domain.tariff import Tariff, billed_seconds
from processor.domain.usage import leg_of


def use(account: Account, message: CallUsage | ConferenceUsage, tariff: Tariff, now: datetime) -> Outcome:
    """Rates one leg and takes its price from the account, or says why nobody pays."""
    leg = leg_of(message, tariff.policy, now)
    cover = cover_leg(leg)
    amount = 0
    usage = UsageDetail(decision=cover.decision, reason=cover.reason)
    if leg.conference:
        usage.leg_kind = leg.kind
    else:
        usage.call_type = leg.kind
    if cover.decision == "credits":
        try:
            row = tariff.find(leg.number, leg.direction, account.currency, leg.started_at)
        except InputRejected as rejected:
            if rejected.reason != "no_rate" or tariff.policy.unrateable != "free":
                raise
            usage.decision, usage.reason = UNRATEABLE.decision, UNRATEABLE.reason
        else:
            usage.country = row.country
            usage.destination = row.destination
            usage.prefix = row.prefix
            usage.deck = row.deck
            if row.allowed:
                usage.billed_seconds = usage.credit_seconds = billed = billed_seconds(leg.seconds, row)
                usage.rate_micros_per_min = row.rate_micros_per_min
                if billed:
                    usage.connect_fee_micros = row.connect_fee_micros
                    amount = charge_micros(billed, row.rate_micros_per_min, row.connect_fee_micros)
            else:
                usage.decision, usage.reason = NOT_ALLOWED.decision, NOT_ALLOWED.reason

    before = account.balance_micros
    outcome = Outcome([], [], [])
    if account.lots:
        expire(account, outcome, now)
    changes = debit(account, amount) if amount else []
    entry = record(account, message, "charge", -amount, changes, outcome, leg.started_at, now)
    entry.usage = usage
    if account.overdraft_micros and amount:
        entry.flags = ["overdrawn"]
    conclude(account, message, before, outcome, tariff.policy, now)
    return outcome
