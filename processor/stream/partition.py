"""Applies the records of one partition: the accounts and event ids behind one partition number of every input topic."""

from datetime import datetime
from typing import Final

from confluent_kafka import Message as Record

from processor.contracts import outputs, topics
from processor.contracts.inputs import decode, identity
from processor.domain.account import Account
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.messages import CallUsage, ConferenceUsage, Message, RechargeDecided
from processor.domain.metering import Outcome, apply
from processor.domain.tariff import Tariff
from processor.stream.balance_table import BalanceTable, partition_of
from processor.stream.event_ids import EventIds, pack
from processor.stream.work import Work

KINDS: Final = {
    topics.USAGE_CALL: "call",
    topics.USAGE_CONFERENCE: "conference",
    topics.ACCOUNT_COMMANDS: "command",
    topics.RECHARGE_RESULTS: "result",
    topics.USAGE_REROUTED: "rerouted",
}
"""Label of the metrics, by input topic."""


class PartitionProcessor:
    """Owns the state of partition `number` from assignment to revocation. Not thread-safe: the cycle's loop only."""

    def __init__(self, number: int, partitions: int, tariff: Tariff) -> None:
        self.number = number
        self.partitions = partitions
        self.tariff = tariff
        self.table = BalanceTable()
        self.ids = EventIds()
        self.in_flight = 0

    def restored(self) -> None:
        """Recounts what the metrics want to know, once recovery has filled the table."""
        self.in_flight = sum(account.recharge.in_flight is not None for account in self.table.accounts.values())

    def process(self, record: Record, work: Work) -> None:
        """Does all that one record demands (step B2): it is applied, known already, parked or forwarded."""
        topic = record.topic()
        work.events += 1
        work.consumed[topic] += 1
        work.offsets[topic, self.number] = record.offset() + 1
        stage = "decode"
        try:
            message = _decoded(topic, record)
            stage = "route"
            tenant, key = message.data.tenant_id, record.key()
            _check_key(message, tenant, key)
            account = self.table.get(tenant)
            if account is None:
                home = partition_of(tenant, self.partitions)
                if home != self.number:
                    work.reroute(record, home, KINDS[topic])
                    return
                account = Account(tenant_id=tenant, currency=self.tariff.policy.default_currency)
            event_id = identity(message.source, message.id)
            if event_id in self.ids.seen:
                work.outcomes[KINDS[topic], "duplicate"] += 1
                return
            stage = "apply"
            outcome = apply(account, message, self.tariff, work.now)
        except InputRejected as rejected:
            work.park(record, stage, KINDS[topic], rejected)
            return
        self.ids.seen.add(event_id)
        work.event_ids[self.number].append(event_id)
        self.table.changed(account)
        for entry in outcome.entries:
            work.produce(topics.LEDGER, self.number, key, outputs.entry_record(entry))
        if type(message) is CallUsage:
            self._count_usage("call", message.data.ended_at, outcome, work)
        elif type(message) is ConferenceUsage:
            self._count_usage("conference", message.data.left_at, outcome, work)
        else:
            self._count_other(message, outcome, work)
        if outcome.requests or outcome.notices:
            self._announce(outcome, key, work)

    def _announce(self, outcome: Outcome, key: bytes, work: Work) -> None:
        for request in outcome.requests:
            work.produce(topics.RECHARGE_COMMANDS, self.number, key, outputs.request_record(request))
            work.requests.append(request)
            self.in_flight += 1
        for notice in outcome.notices:
            work.produce(topics.NOTIFICATIONS, self.number, key, outputs.notice_record(notice, work.now))
            work.notices[notice.kind] += 1

    def _count_usage(self, kind: str, ended_at: datetime, outcome: Outcome, work: Work) -> None:
        entry = outcome.entries[-1]
        usage = entry.usage
        if usage is None:
            raise InvariantViolated("a usage event was applied without a charge entry")
        work.used(kind, usage.decision, -entry.amount_micros)
        work.happened_at.append(ended_at)

    def _count_other(self, message: Message, outcome: Outcome, work: Work) -> None:
        if isinstance(message, RechargeDecided):
            news = any(notice.recharge_id == message.data.recharge_id for notice in outcome.notices)
            work.outcomes["result", "applied" if news else "duplicate"] += 1
            if news:
                self.in_flight -= 1
                work.decided[message.data.status] += 1
        else:
            refused = any(notice.kind == "command.rejected" for notice in outcome.notices)
            work.outcomes["command", "refused" if refused else "applied"] += 1

    def finish(self, work: Work) -> None:
        """Adds the state behind the cycle's effects: one record per touched account, the new ids packed."""
        for account in self.table.take_changed():
            value = outputs.encode(account)
            work.produce(topics.ACCOUNT_STATE, self.number, account.tenant_id.encode(), value)
        for packed in pack(work.event_ids[self.number]):
            work.outputs.append((topics.EVENT_IDS, self.number, None, packed, None))


def _decoded(topic: str, record: Record) -> Message:
    value = record.value()
    try:
        return decode(topic, value)
    except InputRejected:
        headers = record.headers()
        if not headers:
            raise
    return decode(topic, value, headers)


def _check_key(message: Message, tenant: str, key: bytes | None) -> None:
    if key is None:
        raise InputRejected("key_missing", "the record has no key: the key must be the tenant id")
    if key != tenant.encode() or (message.subject is not None and message.subject != tenant):
        raise InputRejected("tenant_mismatch", "the tenant differs between key, subject and data")
