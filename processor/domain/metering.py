"""Decides what one message does to one account: the one way in which an account changes."""

from datetime import datetime

from processor.domain.account import Account
from processor.domain.autopay import decide, reset, set_autopay
from processor.domain.charging import correct, use
from processor.domain.corrections import Memory
from processor.domain.funding import adjust, fund
from processor.domain.licensing import set_licences
from processor.domain.messages import (
    Adjusted,
    AutopaySet,
    CallUsage,
    ConferenceUsage,
    Funded,
    LicencesSet,
    Message,
    RechargeDecided,
    RechargeReset,
    Tick,
)
from processor.domain.posting import Outcome
from processor.domain.tariff import Tariff
from processor.domain.timers import due


def apply(
    account: Account, message: Message | Tick, tariff: Tariff, now: datetime, memory: Memory | None = None
) -> Outcome:
    """Changes `account` as `message` demands and returns what the world must be told.

    Amounts are micros of the account's currency; `now` is the aware UTC time at which the batch is applied. `memory`
    is what corrections and users with minutes of their own need beside the account. Raises `InputRejected` for a
    message that cannot be applied (it is parked and `account` is unchanged); any other exception is our own fault.
    """
    match message:
        case CallUsage() | ConferenceUsage():
            how = use if message.data.record_kind == "final" else correct
            return how(account, message, tariff, now, memory)
        case LicencesSet():
            return set_licences(account, message, tariff.policy, now)
        case Funded():
            return fund(account, message, tariff.policy, now)
        case AutopaySet():
            return set_autopay(account, message, tariff.policy, now)
        case RechargeDecided():
            return decide(account, message, tariff.policy, now)
        case Adjusted():
            return adjust(account, message, tariff.policy, now)
        case RechargeReset():
            return reset(account, message, tariff.policy, now)
        case Tick():
            return due(account, tariff.policy, now)
