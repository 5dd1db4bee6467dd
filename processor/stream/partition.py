"""Applies the records of one partition: the accounts and event ids behind one partition number of every input topic."""

from typing import Final

from confluent_kafka import Message as Record

from processor.contracts import outputs, topics
from processor.contracts.inputs import decode, identity
from processor.contracts.outputs import entry_record
from processor.domain.account import Account
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.messages import (
    AutopaySet,
    CallUsage,
    ConferenceUsage,
    LicencesSet,
    Message,
    RechargeDecided,
    RechargeReset,
    Tick,
)
from processor.domain.metering import apply
from processor.domain.posting import Outcome
from processor.domain.tariff import Tariff
from processor.domain.timers import may_be_sooner, next_due
from processor.stream.balance_table import KEPT, BalanceTable, partition_of
from processor.stream.event_ids import NO_ID, EventIds, pack
from processor.stream.memory import CommittedCharges, NoCharges, PartitionMemory
from processor.stream.standings import Standings
from processor.stream.table_store import Stored
from processor.stream.timers import Timers
from processor.stream.tracing import link
from processor.stream.work import Work

KINDS: Final = {
    topics.USAGE_CALL: "call",
    topics.USAGE_CONFERENCE: "conference",
    topics.ACCOUNT_COMMANDS: "command",
    topics.RECHARGE_RESULTS: "result",
    topics.USAGE_REROUTED: "rerouted",
}
"""Label of the metrics, by input topic."""

NAMED: Final = frozenset({AutopaySet, LicencesSet, RechargeReset})
"""The commands without a ledger entry: that they were obeyed is told by the account, which names the last of each."""

CHUNK: Final = 256
"""Records decoded and looked up at once: enough for one search, few enough to be in the cache when they are applied."""


class PartitionProcessor:
    """Owns the state of partition `number` from assignment to revocation. Not thread-safe: the cycle's loop only."""

    def __init__(
        self, number: int, partitions: int, tariff: Tariff, charges: CommittedCharges | None = None, keep: int = KEPT
    ) -> None:
        self.number = number
        self.partitions = partitions
        self.tariff = tariff
        self.table = BalanceTable(keep)
        self.ids = EventIds()
        self.timers = Timers()
        self.standings = Standings()
        self.memory = PartitionMemory(number, charges or NoCharges(), keep)

    def restored(self, accounts: Stored, users: Stored) -> None:
        """Takes over what recovery has stored; the accounts' timers are armed by the survey that follows."""
        self.table.stored, self.memory.users.stored = accounts, users

    def process(self, topic: str, records: list[Record], work: Work) -> None:
        """Does all that a run of records demands (step B2): each is applied, known already, parked or forwarded.

        The records are consecutive ones of `topic` in this partition.
        """
        self.memory.begin(work.charges[self.number])
        for start in range(0, len(records), CHUNK):
            self._process(topic, records[start : start + CHUNK], work)
        work.events += len(records)
        work.consumed[topic] += len(records)
        work.offsets[topic, self.number] = records[-1].offset() + 1

    def _process(self, topic: str, records: list[Record], work: Work) -> None:
        number, kind, tariff, now = self.number, KINDS[topic], self.tariff, work.now
        commands = topic == topics.ACCOUNT_COMMANDS
        accounts, fresh = self.table, self.ids.fresh
        changed, remembered, published = self.table.changed, work.event_ids[number], work.outputs
        memory, charges = self.memory, work.charges[number]
        window_start_ms = int((now - tariff.policy.deduplication).timestamp() * 1000)
        stale = records[0].timestamp()[1] < window_start_ms  # in arrival order: then none of the run is
        decoded = [_decoded(topic, record) for record in records]
        sealed = self.ids.sealed([event_id for _, event_id in decoded])  # one search for all of them
        for record, (message, event_id) in zip(records, decoded, strict=True):
            if isinstance(message, InputRejected):
                work.park(record, "decode", kind, message)
                continue
            stage = "route"
            try:
                if stale and record.timestamp()[1] < window_start_ms:
                    raise _forgotten(tariff.policy.deduplication.days)
                tenant, key = message.data.tenant_id, record.key()
                if key != tenant.encode() or (message.subject != tenant and message.subject is not None):
                    raise _misaddressed(key)
                account = accounts.get(tenant)
                if account is None:
                    home = partition_of(tenant, self.partitions)
                    if home != number:
                        work.reroute(record, home, kind)
                        continue
                    account = Account(tenant_id=tenant, currency=tariff.policy.default_currency)
                if event_id in fresh or event_id in sealed:
                    work.outcomes[kind, "duplicate"] += 1
                    continue
                if commands:
                    self._show_named(account, message, work)
                stage = "apply"
                outcome = apply(account, message, tariff, now, memory)
            except InputRejected as rejected:
                work.park(record, stage, kind, rejected)
                continue
            fresh.add(event_id)
            remembered.append(event_id)
            changed(account)
            for entry in outcome.entries:
                value = entry_record(entry)
                published.append((topics.LEDGER, number, key, value, None))
                usage = entry.usage
                if usage is not None:
                    charges[event_id] = value
                    if usage.corrects is not None:
                        charges[identity(message.source, usage.corrects)] = value
            if type(message) is CallUsage:
                work.used("call", outcome.entries, message.data.ended_at)
            elif type(message) is ConferenceUsage:
                work.used("conference", outcome.entries, message.data.left_at)
            else:
                self._count_other(message, outcome, work)
            if may_be_sooner(account, outcome):
                self._announce(outcome, key, work, record)
                self.timers.arm(tenant, next_due(account, tariff.policy))

    def _show_named(self, account: Account, message: Message, work: Work) -> None:
        """Publishes the account as an earlier command of this cycle has left it, before another takes its place.

        Whoever waits for the earlier one would never see it named otherwise: a cycle publishes an account once.
        """
        if type(message) in NAMED:
            if account.tenant_id in work.named:
                key = account.tenant_id.encode()
                work.produce(topics.ACCOUNT_STATE, self.number, key, outputs.encode(account))
            work.named.add(account.tenant_id)

    def fire(self, work: Work, limit: int) -> bool:
        """Does what is due by the cycle's time, for so many accounts at most; False when nothing was."""
        fired = 0
        for tenant in self.timers.take(work.now, limit):
            account = self.table.get(tenant)
            if account is None:
                raise InvariantViolated("there is a timer for an account that does not exist")
            due, policy, key = next_due(account, self.tariff.policy), self.tariff.policy, tenant.encode()
            if due is not None and due <= work.now:
                outcome = apply(account, Tick(), self.tariff, work.now)
                self.table.changed(account)
                for entry in outcome.entries:
                    work.produce(topics.LEDGER, self.number, key, entry_record(entry))
                self._announce(outcome, key, work)
                due = next_due(account, policy)
                fired += 1
            self.timers.arm(tenant, due)
        work.timers += fired
        return fired > 0

    def _announce(self, outcome: Outcome, key: bytes, work: Work, record: Record | None = None) -> None:
        for request in outcome.requests:
            headers = link(record) if record is not None else None
            work.produce(topics.RECHARGE_COMMANDS, self.number, key, outputs.request_record(request), headers)
            work.requests.append(request)
        for notice in outcome.notices:
            work.produce(topics.NOTIFICATIONS, self.number, key, outputs.notice_record(notice, work.now))
            work.notices[notice.kind] += 1
            if notice.kind == "autopay.blocked" and notice.reason is not None:
                work.blocked[notice.reason] += 1

    def _count_other(self, message: Message, outcome: Outcome, work: Work) -> None:
        if isinstance(message, RechargeDecided):
            news = any(notice.recharge_id == message.data.recharge_id for notice in outcome.notices)
            work.outcomes["result", "applied" if news else "duplicate"] += 1
            if news:
                work.decided[message.data.status] += 1
                work.settled.append(message.data.recharge_id)
        else:
            refused = any(notice.kind == "command.rejected" for notice in outcome.notices)
            work.outcomes["command", "refused" if refused else "applied"] += 1

    def finish(self, work: Work) -> None:
        """Adds the state behind the cycle's effects: one record per touched account, the new ids packed."""
        if users := self.memory.users.take_changed():
            work.changelogs[topics.USER_POOLS, self.number] = [*users]
        changed, event_ids = self.table.take_changed(), work.event_ids[self.number]
        if changed:
            for account in changed:
                self.standings.note(account)
            work.changelogs[topics.ACCOUNT_STATE, self.number] = [
                (account.tenant_id.encode(), outputs.encode(account)) for account in changed
            ]
        if event_ids:
            work.changelogs[topics.EVENT_IDS, self.number] = [(None, packed) for packed in pack(event_ids)]


def _decoded(topic: str, record: Record) -> tuple[Message | InputRejected, bytes]:
    """Decodes a record; returns it with its identity, or why it cannot be read."""
    try:
        message = decode(topic, record.value(), record.headers)
    except InputRejected as rejected:
        return rejected, NO_ID
    return message, identity(message.source, message.id)


def _forgotten(days: int) -> InputRejected:
    """Whether a record that arrived so long ago was applied cannot be told any more."""
    return InputRejected("too_old", f"the record arrived before the de-duplication window of {days} days")


def _misaddressed(key: bytes | None) -> InputRejected:
    if key is None:
        return InputRejected("key_missing", "the record has no key: the key must be the tenant id")
    return InputRejected("tenant_mismatch", "the tenant differs between key, subject and data")
