"""Explains a ledger entry: who paid, and how the amount came about, as sentences with their values."""

from collections.abc import Iterator
from typing import Any, Final

from processor.console.queries import Document
from processor.console.text import Text


def N_(message: str) -> str:  # noqa: N802 - the name by which extraction tools know it
    """Marks a text that is translated where it is shown."""
    return message


REASONS: Final[dict[str, str]] = {
    "emergency": N_("Emergency calls are free."),
    "direct_routing": N_("The call used your own carrier (direct routing), so it is free here."),
    "inbound_to_user": N_("Incoming calls to a user are free."),
    "toll_inbound": N_("Dialling in to a toll number is free for the conference."),
    "toll_free_inbound": N_("Incoming calls to a toll-free number are paid per minute with credits."),
    "pay_per_minute_conferencing": N_("The organizer's conferencing licence pays every minute with credits."),
    "conference_dial_out": N_("Dialling out to this destination is paid with credits."),
    "conferencing": N_("The conferencing minutes of your licences cover this destination."),
    "conference_pool_used_up": N_("This month's conferencing minutes are used up, so credits pay."),
    "calling_plan": N_("The minutes of the calling plan cover this call."),
    "international": N_("The calling plan does not cover international calls, so credits pay."),
    "pay_as_you_go": N_("The user has no calling plan, so credits pay from the first minute."),
    "pool_used_up": N_("This month's minutes of the calling plan are used up, so credits pay."),
    "uk_shared_cost": N_("Shared-cost numbers are always paid with credits."),
    "never_pooled": N_("Premium and satellite numbers are always paid with credits."),
    "user_not_licensed": N_("The user has no Communications Credits licence, so nothing was charged."),
    "destination_not_allowed": N_("Calls to this destination are not allowed, so nothing was charged."),
    "FREECALL": N_("No price is known for this destination, so it was not charged."),
}
"""The reasons of `usage.reason` that have words of their own; another one is shown as it is."""

KINDS: Final[dict[str, str]] = {
    "charge": N_("Usage"),
    "fund": N_("Funds added"),
    "recharge": N_("Automatic payment"),
    "refund": N_("Refund"),
    "expiry": N_("Expired funds"),
    "adjustment": N_("Adjustment"),
}

NOTICES: Final = {
    "recharge.succeeded": N_("Automatic payment succeeded"),
    "recharge.failed": N_("Automatic payment failed"),
    "recharge.unknown": N_("No answer to an automatic payment yet"),
    "autopay.suspended": N_("Auto-pay is suspended"),
    "autopay.blocked": N_("Auto-pay is held back by a limit"),
    "balance.zero": N_("The balance reached zero"),
    "balance.low": N_("The balance is low"),
    "pool.threshold": N_("Most of a pool of minutes is used"),
    "lot.expiring": N_("Funds will expire soon"),
    "lot.expired": N_("Funds have expired"),
    "command.rejected": N_("A change was refused"),
}

Sentence = tuple[str, dict[str, Any]]


def explain(entry: Document, text: Text) -> Iterator[Sentence]:
    """Yields the sentences about one entry; each is a translatable text and the values in it."""
    currency, usage = entry["currency"], entry.get("usage")
    if usage is None:
        yield _named(KINDS, entry["kind"])
    else:
        yield _named(REASONS, usage["reason"])
        yield from _priced(usage, text, currency)
    for lot in entry.get("lots") or ():
        yield (
            N_("Purchase %(lot)s: %(amount)s"),
            {
                "lot": lot["lot_id"],
                "amount": text.money(lot["amount_micros"], currency),
            },
        )
    if "overdrawn" in (entry.get("flags") or ()):
        yield N_("The balance did not cover all of it; the next funds pay the rest first."), {}
    yield N_("Balance afterwards: %(balance)s"), {"balance": text.money(entry["balance_micros"], currency)}


def _named(names: dict[str, str], key: str) -> Sentence:
    return (names[key], {}) if key in names else ("%(reason)s", {"reason": key})


def _priced(usage: Document, text: Text, currency: str) -> Iterator[Sentence]:
    if usage.get("destination"):
        yield (
            N_("Destination %(destination)s, price list prefix +%(prefix)s."),
            {
                "destination": usage["destination"],
                "prefix": usage.get("prefix") or "",
            },
        )
    if usage.get("pool_minutes"):
        yield (
            N_("%(minutes)s minutes came from the pool %(pool)s."),
            {
                "minutes": text.number(usage["pool_minutes"]),
                "pool": usage.get("pool") or "",
            },
        )
    if usage.get("credit_seconds"):
        yield (
            N_("%(seconds)s seconds were billed at %(rate)s per minute."),
            {
                "seconds": text.number(usage["credit_seconds"]),
                "rate": text.money(usage.get("rate_micros_per_min", 0), currency),
            },
        )
    if usage.get("connect_fee_micros"):
        yield N_("A connection fee of %(fee)s was added."), {"fee": text.money(usage["connect_fee_micros"], currency)}
    if usage.get("deck"):
        yield N_("Price list: %(deck)s."), {"deck": usage["deck"]}
