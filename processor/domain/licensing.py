"""The licences of a tenant: they fill its pools of minutes."""

from datetime import datetime
from typing import Final

from processor.domain.account import Account
from processor.domain.messages import LicencesSet
from processor.domain.policy import Policy
from processor.domain.pools import CONFERENCING, PLANS, LicenceSet
from processor.domain.posting import Outcome, refuse

SETS_MAX: Final = 400
"""Four changes a day for as long as a leg can still be charged or corrected: enough, and it bounds the account."""


def set_licences(account: Account, message: LicencesSet, policy: Policy, now: datetime) -> Outcome:
    """Takes note of the licences from a time on, in the past or the future; legs charged already stay as they are."""
    data = message.data
    kept = [each for each in account.licences if each.effective_at != data.effective_at]
    licences = [each for each in data.licences if each.capability in PLANS or each.capability == CONFERENCING]
    kept.append(LicenceSet(data.effective_at, message.id, licences))
    kept.sort(key=lambda each: each.effective_at)
    oldest_leg = now - policy.corrections
    while len(kept) > 1 and kept[1].effective_at <= oldest_leg:
        if kept[0].set_by == message.id:
            return refuse(account, message, "too_old")
        del kept[0]
    if len(kept) > SETS_MAX:
        return refuse(account, message, "too_many_changes")
    account.licences = kept
    return Outcome([], [], [])
