"""Sends an account command and waits for what the meter committed about it."""

import uuid
from typing import Final

import click
import msgspec

from processor.cli.common import CommandFailed, client_conf
from processor.cli.reading import Tail, partitions_of, read_committed
from processor.cli.storing import MaybeStored, store
from processor.contracts import topics
from processor.contracts.outputs import decode_account, decode_entry, decode_notification
from processor.domain.account import Account
from processor.domain.ledger import Entry
from processor.domain.messages import Adjusted, AutopaySet, Funded, LicencesSet, RechargeReset
from processor.domain.money import show
from processor.settings import Settings

Command = Funded | AutopaySet | LicencesSet | Adjusted | RechargeReset

SOURCE: Final = "/credits-command-line"
ANSWERS: Final = (topics.LEDGER, topics.ACCOUNT_STATE, topics.NOTIFICATIONS)
"""Where the outcome of a command is told."""

REFUSALS: Final = {
    "currency_changed": "the account is kept in another currency: say which with --currency",
    "in_future": "the purchase date lies in the future",
    "negative": "an amount is negative",
    "zero": "the amount is zero",
    "too_old": "newer licences have counted for so long that no leg could use these any more",
    "too_many_changes": "the licences change more often than four times a day",
    "unknown_tenant": "nothing was ever funded, set or used under this tenant id",
    "below_minimum": "the payment is below the smallest one the operator allows (50.00 unless set otherwise)",
    "above_maximum": "an amount, or the payment times --max-units, is above 1,000,000.00, or the balance would be",
}
"""The reasons of a `command.rejected` notification, in words."""


ENTRY_KINDS: Final[dict[type[Command], str]] = {Funded: "fund", Adjusted: "adjustment"}
"""The commands that lead to a ledger entry; the others change the account, which then names the command."""


def new_command_id() -> str:
    """Makes up the id of a command; a person finds it again in the ledger and in the worker's notifications."""
    return f"cmd-{uuid.uuid4()}"


def home_of(settings: Settings, tenant: str) -> int:
    """Returns the partition of a tenant in every topic."""
    from processor.stream.balance_table import partition_of

    return partition_of(tenant, partitions_of(client_conf(settings), topics.ACCOUNT_STATE))


def account_of(settings: Settings, tenant: str) -> Account | None:
    """Reads a tenant's account as last committed; None when there is none."""
    key, newest = tenant.encode(), None
    for record in read_committed(client_conf(settings), topics.ACCOUNT_STATE, [home_of(settings, tenant)]):
        if record.key() == key:
            newest = record.value()
    return None if newest is None else decode_account(newest)


def send(settings: Settings, command: Command, timeout_s: float, *, may_repeat: bool) -> Entry | Account:
    """Writes the command and returns what it led to: its ledger entry, or the account that names it.

    One that `may_repeat` an earlier one, because a person chose its id, is not written when that has an outcome
    already. Raises `CommandFailed` when the meter refuses the command, or does not answer in time: then the command
    stays in the topic and will be applied; and when nobody knows whether it was stored.
    """
    conf, tenant = client_conf(settings), command.data.tenant_id
    partition = home_of(settings, tenant)
    with Tail(conf, [(topic, partition) for topic in ANSWERS]) as tail:
        if may_repeat and (found := _earlier(settings, command, partition)) is not None:
            click.echo(f"{command.id} was applied before: nothing was changed now", err=True)
            return found
        try:
            store(settings, topics.ACCOUNT_COMMANDS, tenant, msgspec.json.encode(command))
        except MaybeStored as unknown:
            look = "ledger" if type(command) in ENTRY_KINDS else "balance"
            raise CommandFailed(
                f"the command may have been stored as {command.id}, or not: {unknown}. Look with"
                f" `credits {look} {tenant}` before you repeat it, or repeat it with --id {command.id}: one id is"
                " applied once"
            ) from None
        try:
            for record in tail.messages(timeout_s):
                outcome = _outcome(record.topic(), record.value(), command)
                if outcome is not None:
                    return outcome
        except KeyboardInterrupt:
            raise click.Abort from None
    raise CommandFailed(
        f"no answer within {timeout_s:g} s: is a worker running? `credits worker`; the command {command.id} is stored"
        f" and will be applied when one runs; the same with --id {command.id} waits for it again"
    )


def _earlier(settings: Settings, command: Command, partition: int) -> Entry | Account | None:
    """Looks for what an earlier command under the same id has led to."""
    for topic in ANSWERS:
        for record in read_committed(client_conf(settings), topic, [partition]):
            outcome = _outcome(topic, record.value(), command)
            if outcome is not None:
                return outcome
    return None


def _outcome(topic: str | None, value: bytes | None, command: Command) -> Entry | Account | None:
    """Tells whether a record is the command's outcome; the id alone also appears where it caused something else."""
    if value is None or msgspec.json.encode(command.id) not in value:
        return None
    if topic == topics.NOTIFICATIONS:
        notice = decode_notification(value).data
        if notice.kind == "command.rejected" and notice.command_id == command.id:
            reason = notice.reason or ""
            raise CommandFailed(f"refused: {REFUSALS.get(reason, reason)}")
    elif topic == topics.LEDGER and type(command) in ENTRY_KINDS:
        entry = decode_entry(value).data
        named = (entry.kind, entry.event_id, entry.event_source)
        if named == (ENTRY_KINDS[type(command)], command.id, command.source):
            if isinstance(command, Funded | Adjusted) and command.data.amount_micros != entry.amount_micros:
                was = show(entry.amount_micros, entry.currency)
                raise CommandFailed(f"the id {command.id} was used before, for {was}: choose another one")
            return entry
    elif topic == topics.ACCOUNT_STATE and type(command) not in ENTRY_KINDS:
        account = decode_account(value)
        if command.id in _named_by(account):
            return account
    return None


def _named_by(account: Account) -> set[str | None]:
    """Returns the ids of the commands that the account names."""
    set_by = {account.autopay.set_by} if account.autopay is not None else set()
    return {account.recharge.reset_by} | set_by | {each.set_by for each in account.licences}
