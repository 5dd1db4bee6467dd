"""Accounts and ledger entries as tables for people."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.cli.money import show_time
from processor.domain.account import Account, Autopay, Recharge
from processor.domain.ledger import Entry
from processor.domain.money import show
from processor.domain.pools import LicenceSet


def print_account(account: Account) -> None:
    """Prints balance, lots, auto-pay and the state of the recharge."""
    console, currency = Console(), account.currency
    summary = Table.grid(padding=(0, 2))
    summary.add_row("Tenant", Text(account.tenant_id))
    summary.add_row("Balance", Text(show(account.balance_micros, currency), "bold"))
    if account.overdraft_micros:
        owed = show(account.overdraft_micros, currency)
        summary.add_row("Overdraft", Text(f"{owed}, paid from the next funds", "red"))
    summary.add_row("Auto-pay", Text(autopay_in_words(account.autopay, currency)))
    summary.add_row("Recharge", Text(recharge_in_words(account.recharge, currency)))
    summary.add_row("Ledger", Text(f"{account.revision:,} entries"))
    if account.licences:
        summary.add_row("Licences", Text(licences_in_words(account.licences[-1])))
    console.print(summary)
    if account.pools:
        pools = Table("pool", "month", title_justify="left")
        pools.add_column("minutes used", justify="right")
        for use in account.pools:
            pools.add_row(Text(use.pool), use.month, f"{use.used_minutes:,}")
        console.print(pools)
    if account.lots:
        lots = Table("lot", "purchased", "expires", title_justify="left")
        for heading in ("paid", "left"):
            lots.add_column(heading, justify="right")
        for lot in account.lots:
            lots.add_row(
                Text(_lot(lot.lot_id)),
                show_time(lot.purchased_at),
                show_time(lot.expires_at),
                show(lot.amount_micros, currency),
                show(lot.remaining_micros, currency),
            )
        console.print(lots)


def licences_in_words(licences: LicenceSet) -> str:
    """Names the licences and from when on they count."""
    named = ", ".join(f"{each.count:,} {each.capability} {each.country}" for each in licences.licences)
    return f"{named or 'no licences with minutes'} from {show_time(licences.effective_at)}"


def print_entries(tenant: str, entries: Sequence[Entry], total: int) -> None:
    """Prints ledger entries, oldest first, and how many there are in all."""
    table = Table("no.", "occurred", "kind", "what")
    for heading in ("amount", "balance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in entries:
        table.add_row(
            f"{entry.revision}",
            show_time(entry.occurred_at),
            Text(entry.kind),
            Text(entry_in_words(entry)),
            show(entry.amount_micros, entry.currency, code=False),
            Text(show(entry.balance_micros, entry.currency), "red" if entry.balance_micros < 0 else ""),
        )
    console = Console()
    console.print(table)
    console.print(f"{len(entries):,} of {total:,} entries of {tenant}", style="dim", markup=False, highlight=False)


def entry_in_words(entry: Entry) -> str:
    """Says what an entry was about, without phone numbers."""
    usage = entry.usage
    if usage is None:
        return ", ".join(_lot(lot.lot_id) for lot in entry.lots) or "paid the overdraft"
    kind = usage.call_type or usage.leg_kind or "leg"
    words = [f"{kind} to {usage.destination}" if usage.destination else kind]
    if usage.pool_minutes:
        words.append(f"{usage.pool_minutes} min {'from' if usage.pool_minutes > 0 else 'back to'} {usage.pool}")
    if entry.kind == "refund":
        words.append(f"{usage.reason} of {usage.corrects}")
    elif usage.decision in ("credits", "split"):
        words.append(f"{usage.credit_seconds} s")
    elif usage.decision != "pool":
        words.append(f"{usage.decision}: {usage.reason}")
    return ", ".join([*words, *entry.flags])


def _lot(lot_id: str) -> str:
    """Names a lot without its time of purchase, which stands beside it."""
    return lot_id.partition("@")[0]


def autopay_in_words(autopay: Autopay | None, currency: str) -> str:
    """Says what auto-pay does, with the limits that were set for this account."""
    if autopay is None:
        return "auto-pay was never set"
    amount, trigger = show(autopay.payment_amount_micros, currency), show(autopay.trigger_micros, currency)
    what = f"{amount} when the balance falls to {trigger}"
    if not autopay.enabled:
        return f"auto-pay is off (it would pay {what})"
    limits = []
    if autopay.max_per_day is not None:
        limits.append(f"at most {autopay.max_per_day:,} times a day")
    if autopay.max_per_month_micros is not None:
        limits.append(f"at most {show(autopay.max_per_month_micros, currency)} a month")
    if autopay.max_units is not None:
        limits.append(f"up to {autopay.max_units:,} amounts at once")
    return ", ".join([f"auto-pay adds {what}", *limits, f"with {autopay.payment_method_ref}"])


def recharge_in_words(recharge: Recharge, currency: str, now: datetime | None = None) -> str:
    """Says where the recharge state machine stands."""
    if recharge.in_flight is not None and recharge.requested_at is not None:
        amount, since = show(recharge.amount_micros, currency), show_time(recharge.requested_at)
        asked = "no result yet" if recharge.attempt == 1 else f"asked for {recharge.attempt} times, no result yet"
        return f"{amount} requested {since} as {recharge.in_flight}, {asked}"
    failures = f"{recharge.failures} failed payment{'s' if recharge.failures > 1 else ''}"
    if recharge.suspended:
        return f"suspended after {failures}: reset it, change its auto-pay or fund the account"
    if recharge.not_before is not None and recharge.not_before > (now or datetime.now(UTC)):
        return f"waiting until {show_time(recharge.not_before)} after {failures}"
    if recharge.blocked_by is not None:
        until = f" until {show_time(recharge.blocked_until)}" if recharge.blocked_until is not None else ""
        return f"held back by {recharge.blocked_by.replace('_', ' ')}{until}"
    return f"ready, {recharge.sequence:,} requested so far"
