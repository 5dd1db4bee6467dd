"""`credits settle`: a person says what became of a payment when the provider never will."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import click

from processor.cli.adjustments import operator_option
from processor.cli.common import (
    CommandFailed,
    brokers_option,
    client_conf,
    json_option,
    make_settings,
    tenant_argument,
    timeout_option,
)
from processor.domain.money import show

if TYPE_CHECKING:
    from processor.cli.reading import Tail
    from processor.domain.account import Account
    from processor.payments.provider import Status
    from processor.settings import Settings

BY_HAND = "settled_by_hand"
"""Reason of a result that no provider gave."""


@click.command()
@tenant_argument
@click.argument("recharge_id", metavar="RECHARGE")
@click.option(
    "--status",
    type=click.Choice(["succeeded", "declined", "failed"]),
    required=True,
    help="What the provider's own books say: succeeded credits the amount, the others count as a failure.",
)
@click.option("--reference", metavar="ID", help="The provider's reference of the payment.")
@click.option("--force", is_flag=True, help="Also before its first deadline, while the payment worker may be asking.")
@operator_option
@timeout_option
@brokers_option
@json_option
def settle(
    tenant: str,
    recharge_id: str,
    status: str,
    reference: str | None,
    force: bool,
    operator: str,
    timeout: float,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Settle a recharge whose result never comes, and wait until that is done.

    Writes the result that the payment worker owes, for the amount that was asked for. Look the payment up at the
    provider first, under RECHARGE. Settle it as declined or failed only when it can never be charged any more: a later
    success would be parked as a conflict. Only the recharge in flight can be settled, once its first deadline has
    passed.

    \b
    Examples:
      credits settle acme acme:7 --status succeeded --reference pi_3MtwBw
      credits settle acme acme:7 --status failed
    """
    import msgspec

    from processor.cli.account_tables import recharge_in_words
    from processor.cli.outcomes import account_of, home_of
    from processor.cli.reading import Tail
    from processor.contracts import topics

    settings = make_settings(brokers=brokers)
    with Tail(client_conf(settings), [(topics.ACCOUNT_STATE, home_of(settings, tenant))]) as tail:
        before = account_of(settings, tenant)
        if before is None:
            raise CommandFailed(
                f"there is no account {tenant}: nothing was ever funded, set or used under this tenant id"
            )
        _require_open(before, recharge_id, force=force)
        _write(settings, before, cast("Status", status), reference, operator)
        account = _await_decided(tail, tenant, recharge_id, timeout)
    found = _decided(account, recharge_id)
    if found != status:
        raise CommandFailed(
            f"another result came first: {recharge_id} is {found}, and yours is parked as conflicting_result"
        )
    if as_json:
        click.echo(msgspec.json.encode(account.recharge))
    else:
        balance, now = show(account.balance_micros, account.currency), account.recharge
        click.echo(
            f"{tenant}: {recharge_id} is settled as {status}, the balance is {balance};"
            f" auto-pay is {recharge_in_words(now, account.currency)}"
        )


def _require_open(account: Account, recharge_id: str, *, force: bool) -> None:
    """Raises `CommandFailed` unless this is the recharge in flight, and its first deadline has passed."""
    recharge = account.recharge
    if (decided := _decided(account, recharge_id)) is not None:
        raise CommandFailed(f"{recharge_id} is {decided} already; `credits adjust` changes the balance")
    if recharge.in_flight != recharge_id:
        waiting = f"{recharge.in_flight} is" if recharge.in_flight else "none is"
        raise CommandFailed(
            f"{recharge_id} is not in flight, {waiting}: its result would be parked as unknown_recharge"
        )
    if recharge.attempt < 2 and not force:
        raise CommandFailed(
            f"{recharge_id} was asked for once and its deadline has not passed: the payment worker may be charging it"
            " now. Wait, or use --force"
        )


def _write(settings: Settings, account: Account, status: Status, reference: str | None, operator: str) -> None:
    """Writes the result as a payment worker would; the operator stands where the provider's name does."""
    from processor.cli.storing import MaybeStored, store
    from processor.contracts import topics
    from processor.payments.batch import result_record
    from processor.payments.provider import Charge, Decision

    recharge, now = account.recharge, datetime.now(UTC)
    charge = Charge(
        recharge_id=recharge.in_flight or "",
        tenant_id=account.tenant_id,
        amount_micros=recharge.amount_micros,
        currency=account.currency,
        payment_method_ref=recharge.payment_method_ref,
        requested_at=recharge.requested_at or now,
    )
    reason = None if status == "succeeded" else BY_HAND
    decision = Decision(status=status, decided_at=now, reference=reference, reason_code=reason)
    record = result_record(charge, decision, f"operator/{operator}")
    try:
        store(settings, topics.RECHARGE_RESULTS, account.tenant_id, record)
    except MaybeStored as unknown:
        raise CommandFailed(
            f"the result may have been stored, or not: {unknown}. Look with `credits balance {account.tenant_id}`;"
            " settling it again in the same way changes nothing more"
        ) from None


def _await_decided(tail: Tail, tenant: str, recharge_id: str, timeout_s: float) -> Account:
    """Returns the account as soon as it knows a result of the recharge."""
    from processor.contracts.outputs import decode_account

    try:
        for record in tail.messages(timeout_s):
            value = record.value()
            if value is not None and record.key() == tenant.encode():
                account = decode_account(value)
                if _decided(account, recharge_id) is not None:
                    return account
    except KeyboardInterrupt:
        raise click.Abort from None
    raise CommandFailed(
        f"no answer within {timeout_s:g} s: is a worker running? `credits worker`; the result is stored and will be"
        " applied when one runs"
    )


def _decided(account: Account, recharge_id: str) -> str | None:
    return next((each.status for each in account.recharge.decided if each.recharge_id == recharge_id), None)
