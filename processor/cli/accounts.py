"""`credits fund`, `autopay`, `balance` and `ledger`: one tenant's account from the command line."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from processor.cli.common import (
    CommandFailed,
    brokers_option,
    client_conf,
    id_option,
    json_option,
    make_settings,
    tenant_argument,
    timeout_option,
)
from processor.cli.money import AMOUNT, PAYMENT
from processor.contracts import topics
from processor.domain.money import Micros, show

if TYPE_CHECKING:
    from processor.domain.account import Autopay
    from processor.domain.ledger import Entry
    from processor.domain.messages import AutopaySet, AutopaySetData
    from processor.settings import Settings

SHOWN = 20

_currency = click.option(
    "--currency", metavar="CODE", help="Currency of the account.  [env: CREDITS_DEFAULT_CURRENCY; default: USD]"
)


@click.command()
@tenant_argument
@click.argument("amount", type=PAYMENT)
@_currency
@click.option("--reference", help="Your payment reference, kept in the account command.  [default: the command's id]")
@id_option
@timeout_option
@brokers_option
@json_option
def fund(
    tenant: str,
    amount: Micros,
    currency: str | None,
    reference: str | None,
    command_id: str | None,
    timeout: float,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Add funds to a tenant's account, once, and wait until they are there.

    AMOUNT is in the major unit, such as 50.00. The funds expire twelve months after today. Funding also ends a
    suspension of auto-pay. With --id, the same command may be given again, after a lost connection say.

    \b
    Examples:
      credits fund tenant-00001 50.00 --reference invoice-4711
      credits fund tenant-00001 50.00 --id invoice-4711
    """
    from processor.cli.outcomes import SOURCE, new_command_id, send
    from processor.domain.ledger import Entry
    from processor.domain.messages import Funded, FundedData

    settings = make_settings(brokers=brokers, default_currency=currency)
    now, chosen = datetime.now(UTC), command_id or new_command_id()
    command = Funded(
        specversion="1.0",
        id=chosen,
        source=SOURCE,
        subject=tenant,
        time=now,
        data=FundedData(
            tenant_id=tenant,
            amount_micros=amount,
            currency=settings.default_currency,
            purchased_at=now,
            payment_reference=reference or chosen,
        ),
    )
    entry = send(settings, command, timeout, may_repeat=command_id is not None)
    assert isinstance(entry, Entry)  # noqa: S101 - what a funding leads to
    if as_json:
        print_json(entry)
    else:
        added, balance = show(entry.amount_micros, entry.currency), show(entry.balance_micros, entry.currency)
        click.echo(f"{tenant}: {added} added, the balance is {balance} (ledger entry {entry.entry_id}).")


@click.command()
@tenant_argument
@click.option("--amount", type=PAYMENT, help="What every payment adds. Needed unless --off.")
@click.option("--trigger", type=AMOUNT, help="Pay when the balance falls to this. Needed unless --off.")
@click.option("--max-per-day", type=click.IntRange(1, 1_000_000), help="Payments per day at most.  [default: 10]")
@click.option(
    "--max-units", type=click.IntRange(1, 1_000_000), help="Payment amounts in one payment at most.  [default: 1]"
)
@click.option("--max-per-month", type=AMOUNT, help="Sum of the payments of a calendar month at most.")
@click.option(
    "--payment-method", metavar="REF", help="The provider's reference of the card.  [default: the present one]"
)
@click.option("--off", is_flag=True, help="Switch auto-pay off; the numbers stay as they are unless given.")
@_currency
@id_option
@timeout_option
@brokers_option
@json_option
def autopay(
    tenant: str,
    amount: Micros | None,
    trigger: Micros | None,
    max_per_day: int | None,
    max_units: int | None,
    max_per_month: Micros | None,
    payment_method: str | None,
    off: bool,
    currency: str | None,
    command_id: str | None,
    timeout: float,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Set when and how much is paid automatically, and wait until it is in force.

    Like the form of the administration centre: it replaces all settings, so a limit that is not given is the
    operator's default again. Amounts are in the major unit. When the balance is at or below the trigger already, the
    first payment is requested at once.

    \b
    Examples:
      credits autopay tenant-00001 --amount 50 --trigger 20
      credits autopay tenant-00001 --off
    """
    from processor.cli.account_tables import autopay_in_words
    from processor.cli.outcomes import send
    from processor.domain.account import Account
    from processor.domain.messages import AutopaySetData

    if not off and (amount is None or trigger is None):
        raise click.UsageError("--amount and --trigger are needed, or --off")
    settings = make_settings(brokers=brokers, default_currency=currency)
    present, kept_in = _present(settings, tenant, needed=off)
    if off and present is not None:
        amount = present.payment_amount_micros if amount is None else amount
        trigger = present.trigger_micros if trigger is None else trigger
        max_per_day, max_units = max_per_day or present.max_per_day, max_units or present.max_units
        max_per_month = present.max_per_month_micros if max_per_month is None else max_per_month
    data = AutopaySetData(
        tenant_id=tenant,
        enabled=not off,
        payment_amount_micros=amount or 0,
        trigger_micros=trigger or 0,
        currency=currency or kept_in or settings.default_currency,
        payment_method_ref=payment_method or (present.payment_method_ref if present else "card-on-file"),
        max_per_day=max_per_day,
        max_per_month_micros=max_per_month,
        max_units=max_units,
    )
    account = send(settings, _autopay_set(data, command_id), timeout, may_repeat=command_id is not None)
    assert isinstance(account, Account)  # noqa: S101 - what auto-pay settings lead to
    assert account.autopay is not None  # noqa: S101
    if as_json:
        print_json(account.autopay)
    else:
        click.echo(f"{tenant}: {autopay_in_words(account.autopay, account.currency)}")


@click.command()
@tenant_argument
@brokers_option
@json_option
def balance(tenant: str, brokers: str | None, as_json: bool) -> None:
    """Show a tenant's balance, lots with their expiry, auto-pay and recharge.

    Reads the account as last committed. --json prints it as published in account.state.v1.

    \b
    Example:
      credits balance tenant-00001
    """
    from processor.cli.account_tables import print_account
    from processor.cli.outcomes import account_of

    account = account_of(make_settings(brokers=brokers), tenant)
    if account is None:
        raise _unknown(tenant)
    if as_json:
        print_json(account)
    else:
        print_account(account)


@click.command()
@tenant_argument
@click.option(
    "--last",
    type=click.IntRange(min=1),
    help=f"Show only the newest N entries.  [default: {SHOWN}; with --json all]",
)
@brokers_option
@json_option
def ledger(tenant: str, last: int | None, brokers: str | None, as_json: bool) -> None:
    """Show a tenant's debits and credits, oldest first.

    --json prints one entry per line, the data of ledger.v1.

    \b
    Examples:
      credits ledger tenant-00001 --last 50
      credits ledger tenant-00001 --json | jq 'select(.kind == "recharge")'
    """
    from processor.cli.account_tables import print_entries
    from processor.cli.outcomes import account_of, home_of
    from processor.cli.reading import read_committed
    from processor.contracts.outputs import decode_entry

    settings = make_settings(brokers=brokers)
    key = tenant.encode()
    kept = last if last is not None or as_json else SHOWN
    newest: deque[bytes] = deque(maxlen=kept)
    seen = 0
    for record in read_committed(client_conf(settings), topics.LEDGER, [home_of(settings, tenant)]):
        if record.key() == key:
            newest.append(record.value())
            seen += 1
    if not seen and account_of(settings, tenant) is None:
        raise _unknown(tenant)
    entries: list[Entry] = [decode_entry(value).data for value in newest]
    if as_json:
        for entry in entries:
            print_json(entry)
    else:
        print_entries(tenant, entries, seen)


def _present(settings: Settings, tenant: str, *, needed: bool) -> tuple[Autopay | None, str | None]:
    """Returns the present auto-pay settings and the account's currency, where there are any."""
    from processor.cli.outcomes import account_of

    account = account_of(settings, tenant)
    if needed and (account is None or account.autopay is None):
        raise CommandFailed(f"auto-pay of {tenant} was never set, so there is nothing to switch off")
    return (None, None) if account is None else (account.autopay, account.currency)


def _autopay_set(data: AutopaySetData, command_id: str | None) -> AutopaySet:
    from processor.cli.outcomes import SOURCE, new_command_id
    from processor.domain.messages import AutopaySet

    return AutopaySet(
        specversion="1.0",
        id=command_id or new_command_id(),
        source=SOURCE,
        subject=data.tenant_id,
        time=datetime.now(UTC),
        data=data,
    )


def _unknown(tenant: str) -> CommandFailed:
    return CommandFailed(f"there is no account {tenant}: nothing was ever funded, set or used under this tenant id")


def print_json(document: object) -> None:
    """Prints what an account command led to, for programs."""
    import msgspec

    click.echo(msgspec.json.encode(document))
