"""Explains a ledger entry: who paid, and how the amount came about, as sentences with their values."""

from collections.abc import Iterator
from typing import Final

from processor.console.naming import pool_name
from processor.console.queries import Document
from processor.console.text import N_, Text
from processor.domain.account import purchase_of

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


def explain(entry: Document, text: Text) -> Iterator[str]:
    """Yields the sentences about one entry."""
    currency, usage = entry["currency"], entry.get("usage")
    if usage is None:
        yield named(KINDS, entry["kind"], text)
    else:
        yield named(REASONS, usage["reason"], text)
        yield from _priced(usage, text, currency)
    for lot in entry.get("lots") or ():
        yield _lot(lot, text, currency)
    if "overdrawn" in (entry.get("flags") or ()):
        yield text.say(N_("The balance did not cover all of it; the next funds pay the rest first."))
    yield text.say(N_("Balance afterwards: %(balance)s"), balance=text.money(entry["balance_micros"], currency))
    yield text.say(N_("Event %(id)s of %(source)s."), id=entry["event_id"], source=entry["event_source"])


def named(names: dict[str, str], key: str, text: Text) -> str:
    """Returns the sentence about a key; an unknown key is text of somebody else and stays as it is."""
    return text.say(names[key]) if key in names else key


def _lot(lot: Document, text: Text, currency: str) -> str:
    amount, purchased_at = text.money(lot["amount_micros"], currency), purchase_of(lot["lot_id"])
    if purchased_at is None:
        return text.say(N_("Purchase %(lot)s: %(amount)s"), lot=lot["lot_id"], amount=amount)
    return text.say(N_("Purchase of %(day)s: %(amount)s"), day=text.day(purchased_at.date()), amount=amount)


def _priced(usage: Document, text: Text, currency: str) -> Iterator[str]:
    if usage.get("destination"):
        prefix = usage.get("prefix") or ""
        yield text.say(
            N_("Destination %(destination)s, price list prefix %(prefix)s."),
            destination=usage["destination"],
            prefix=f"+{prefix.removeprefix('+')}",
        )
    if usage.get("connected_seconds"):
        yield text.say(N_("It was connected for %(seconds)s seconds."), seconds=text.number(usage["connected_seconds"]))
    if usage.get("billed_seconds"):
        yield text.say(
            N_("Billed length: %(seconds)s seconds, after rounding up."),
            seconds=text.number(usage["billed_seconds"]),
        )
    if usage.get("pool_minutes"):
        yield text.say(
            N_("%(minutes)s minutes came from the pool %(pool)s."),
            minutes=text.number(usage["pool_minutes"]),
            pool=pool_name(usage.get("pool") or "", text),
        )
    if usage.get("credit_seconds"):
        yield text.say(
            N_("%(seconds)s seconds were billed at %(rate)s per minute."),
            seconds=text.number(usage["credit_seconds"]),
            rate=text.money(usage.get("rate_micros_per_min", 0), currency),
        )
    if usage.get("connect_fee_micros"):
        yield text.say(
            N_("A connection fee of %(fee)s was added."), fee=text.money(usage["connect_fee_micros"], currency)
        )
    if usage.get("deck"):
        yield text.say(N_("Price list: %(deck)s."), deck=usage["deck"])
