"""Sends an account command and waits for what the meter committed about it."""

import uuid
from typing import Final

import click
import msgspec

from processor.cli.common import CommandFailed, broker_errors, client_conf
from processor.cli.reading import Tail, partitions_of, read_committed
from processor.contracts import topics
from processor.contracts.outputs import decode_account, decode_entry, decode_notification
from processor.domain.account import Account
from processor.domain.ledger import Entry
from processor.domain.messages import Adjusted, AutopaySet, Funded, LicencesSet, RechargeReset
from processor.settings import Settings

Command = Funded | AutopaySet | LicencesSet | Adjusted | RechargeReset

SOURCE: Final = "/credits-command-line"
FLUSH_S: Final = 10.0

REFUSALS: Final = {
    "currency_changed": "the account is kept in another currency: say which with --currency",
    "in_future": "the purchase date lies in the future",
    "negative": "an amount is negative",
    "zero": "the amount is zero",
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


def send(settings: Settings, command: Command, timeout_s: float) -> Entry | Account:
    """Writes the command and returns what it led to: its ledger entry, or the account that names it.

    Raises `CommandFailed` when the meter refuses the command, or does not answer in time: then the command stays in
    the topic and will be applied.
    """
    conf, tenant = client_conf(settings), command.data.tenant_id
    partition = home_of(settings, tenant)
    answers = (topics.LEDGER, topics.ACCOUNT_STATE, topics.NOTIFICATIONS)
    with Tail(conf, [(topic, partition) for topic in answers]) as tail:
        _produce(settings, command, tenant)
        try:
            for record in tail.messages(timeout_s):
                value = record.value()
                if value is not None and command.id.encode() in value:
                    outcome = _outcome(record.topic(), value, command)
                    if outcome is not None:
                        return outcome
        except KeyboardInterrupt:
            raise click.Abort from None
    raise CommandFailed(
        f"no answer within {timeout_s:g} s: is a worker running? `credits worker`; the command {command.id} is stored"
        " and will be applied when one runs"
    )


def _produce(settings: Settings, command: Command, tenant: str) -> None:
    from confluent_kafka import KafkaError, Message, Producer

    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            **client_conf(settings),
            "partitioner": "murmur2_random",
            "acks": "all",  # a retry may store the command twice: it has one id, so it is applied once
            "message.timeout.ms": int(FLUSH_S * 1000),
        }
    )
    with broker_errors(client_conf(settings)):
        producer.produce(
            topics.ACCOUNT_COMMANDS,
            msgspec.json.encode(command),
            tenant.encode(),
            on_delivery=delivered,
            headers={"content-type": "application/cloudevents+json"},
        )
        unsent = producer.flush(2 * FLUSH_S)
    if unsent or failures:
        reason = failures[0].str() if failures else "no answer from the broker"
        raise CommandFailed(f"the command could not be stored, nothing was changed: {reason}")


def _outcome(topic: str, value: bytes, command: Command) -> Entry | Account | None:
    """Tells whether a record is the command's outcome; the id alone also appears where it caused something else."""
    if topic == topics.NOTIFICATIONS:
        notice = decode_notification(value).data
        if notice.kind == "command.rejected" and notice.command_id == command.id:
            reason = notice.reason or ""
            raise CommandFailed(f"refused: {REFUSALS.get(reason, reason)}")
    elif topic == topics.LEDGER and type(command) in ENTRY_KINDS:
        entry = decode_entry(value).data
        named = (entry.kind, entry.event_id, entry.event_source)
        if named == (ENTRY_KINDS[type(command)], command.id, command.source):
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
