"""`credits adjust` and `credits reset`: what an operator does to an account by hand."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from processor.cli.common import brokers_option, id_option, json_option, make_settings, tenant_argument, timeout_option
from processor.cli.money import ADJUSTMENT
from processor.domain.money import Micros, show

if TYPE_CHECKING:
    from processor.domain.messages import Adjusted, RechargeReset

operator_option = click.option(
    "--operator", metavar="NAME", default=getpass.getuser, show_default="your login name", help="Who does it."
)


@click.command(context_settings={"ignore_unknown_options": True})  # so that -5.00 is an amount
@tenant_argument
@click.argument("amount", type=ADJUSTMENT)
@click.option("--reason", required=True, help="Why, for the books: kept in the account command.")
@operator_option
@id_option
@timeout_option
@brokers_option
@json_option
def adjust(
    tenant: str,
    amount: Micros,
    reason: str,
    operator: str,
    command_id: str | None,
    timeout: float,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Add an amount to a tenant's balance, or take it, and wait until it is done.

    AMOUNT is in the major unit of the account's currency, such as 5.00 or -5.00. What is added pays the overdraft and
    then expires in twelve months; what is taken comes from the purchase that expires first.

    \b
    Examples:
      credits adjust tenant-00001 12.50 --reason "outage of 3 March"
      credits adjust tenant-00001 -5.00 --reason "goodwill booked twice"
    """
    import msgspec

    from processor.cli.outcomes import send
    from processor.domain.ledger import Entry

    settings = make_settings(brokers=brokers)
    command = _adjusted(tenant, amount, reason, operator, command_id)
    entry = send(settings, command, timeout, may_repeat=command_id is not None)
    assert isinstance(entry, Entry)  # noqa: S101 - what an adjustment leads to
    if as_json:
        click.echo(msgspec.json.encode(entry))
    else:
        moved, balance = show(abs(amount), entry.currency), show(entry.balance_micros, entry.currency)
        done = "added" if amount > 0 else "taken"
        click.echo(f"{tenant}: {moved} {done}, the balance is {balance} (ledger entry {entry.entry_id}).")


@click.command()
@tenant_argument
@operator_option
@id_option
@timeout_option
@brokers_option
@json_option
def reset(
    tenant: str, operator: str, command_id: str | None, timeout: float, brokers: str | None, as_json: bool
) -> None:
    """End the pause or the suspension of a tenant's auto-pay, and wait until it is done.

    A payment that is due is requested at once. One that waits for its result goes on waiting. Payments that a clock
    which was ahead has counted to a day to come are forgotten: they kept the caps shut.

    \b
    Example:
      credits reset tenant-00001
    """
    import msgspec

    from processor.cli.account_tables import recharge_in_words
    from processor.cli.outcomes import send
    from processor.domain.account import Account

    settings, command = make_settings(brokers=brokers), _reset(tenant, operator, command_id)
    account = send(settings, command, timeout, may_repeat=command_id is not None)
    assert isinstance(account, Account)  # noqa: S101 - what a reset leads to
    if as_json:
        click.echo(msgspec.json.encode(account.recharge))
    else:
        click.echo(f"{tenant}: auto-pay is {recharge_in_words(account.recharge, account.currency)}")


def _adjusted(tenant: str, amount: Micros, reason: str, operator: str, command_id: str | None) -> Adjusted:
    from processor.cli.outcomes import SOURCE, new_command_id
    from processor.domain.messages import Adjusted, AdjustedData

    data = AdjustedData(tenant_id=tenant, amount_micros=amount, reason=reason, operator=operator)
    chosen = command_id or new_command_id()
    return Adjusted(specversion="1.0", id=chosen, source=SOURCE, subject=tenant, time=datetime.now(UTC), data=data)


def _reset(tenant: str, operator: str, command_id: str | None) -> RechargeReset:
    from processor.cli.outcomes import SOURCE, new_command_id
    from processor.domain.messages import RechargeReset, RechargeResetData

    data = RechargeResetData(tenant_id=tenant, operator=operator)
    chosen = command_id or new_command_id()
    return RechargeReset(specversion="1.0", id=chosen, source=SOURCE, subject=tenant, time=datetime.now(UTC), data=data)
