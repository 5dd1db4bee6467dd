"""Reads recharge commands, charges them, publishes each result once.

A result and the offset of its command are one Kafka transaction; the inbox remembers what was asked and answered.
What a crash leaves, step by step:

  1. received   the commands are read again, and find their rows
  2. charging   the same, and the rows say since when the provider may have charged
  3. charged    the provider is asked again under the same id: it remembers, or is looked through, and charges once
  4. decided    the answer is in the inbox, the provider is not asked any more
  5. produced   the transaction is aborted by the next start of this worker, nobody has seen its results
  6. committed  results and offsets are there together; the inbox calls them decided until the next command comes
"""

import time
from collections.abc import Callable, Mapping
from itertools import chain
from threading import Event
from typing import Any, Final

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, FencedInstanceIdError
from kafka.structs import MemberState
from msgspec import Struct, structs
from prometheus_client import REGISTRY, CollectorRegistry

from processor.contracts import topics
from processor.payments.batch import Command, Verdict, decode, judge, result_record
from processor.payments.cashier import Cashier, OnStep
from processor.payments.counters import Payments
from processor.payments.inbox import Inbox
from processor.payments.known_results import KnownResults
from processor.payments.provider import Charge, Decision, PaymentProvider

POLL_MS: Final = 1000
SUMMARY_S: Final = 10.0
COMMIT_S: Final = 30.0
CONNECT_MS: Final = 10_000
MEMBERSHIP_S: Final = 45.0
"""A rebalance waits for the slowest member's batch, so this is longer than a batch asks the provider."""
CONTENT_TYPE: Final = [("content-type", b"application/cloudevents+json")]

OnDecided = Callable[[Command, Decision, int], None]

log = structlog.get_logger(__name__)


class TopicsMissing(Exception):  # noqa: N818
    """The topics have not been created."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much the worker takes on. A batch must end before `max_poll_interval_s`, or the group goes on without it.

    It ends `batch_s` after it began and one question later: with Stripe, which may be asked three times in one, within
    two minutes.
    """

    batch: int = 256
    concurrency: int = 32
    patience_s: float = 20.0
    """How long one charge is asked about."""
    batch_s: float = 40.0
    """How long charges of a batch are asked about; the rest waits for the next one."""
    grace_s: float = 10.0
    """How long charges under way are waited for after `stop`."""
    session_timeout_s: int = 10
    transaction_timeout_s: int = 10
    max_poll_interval_s: int = 300


class PaymentWorker:
    """One member of the consumer group of payment workers.

    `conf` holds kafka-python's connection settings; `instance` is stable over restarts: it is the suffix of the
    transactional id, so a restarted worker aborts what its dead self left open, and an older self still running is
    refused by the broker. `on_step` is called after each step, from several threads: a test ends the process there.
    `on_turn` is called whenever the loop comes round; `on_decided` with each committed result, and with when its batch
    was read, in nanoseconds since 1970.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        provider: PaymentProvider,
        inbox: Inbox,
        *,
        group: str,
        instance: str,
        limits: Limits | None = None,
        registry: CollectorRegistry = REGISTRY,
        on_step: OnStep = lambda _: None,
        on_turn: Callable[[], None] = lambda: None,
        on_decided: OnDecided = lambda *_: None,
    ) -> None:
        self._conf, self._provider, self._inbox = conf, provider, inbox
        self._on_step, self._on_turn, self._on_decided = on_step, on_turn, on_decided
        self.is_member = False
        """Whether the group has given this worker its partitions."""
        self.committing_since: float | None = None
        """Monotonic time at which the running commit began."""
        self._group, self._instance = group, instance
        self._limits = limits or Limits()
        self._payments = Payments(registry)
        self._known = KnownResults(conf, topics.RECHARGE_RESULTS)
        self._unanswered: set[int] = set()
        """Partitions that wait for a command without an answer."""
        self._stop = Event()
        self._summary_at = time.monotonic() + SUMMARY_S

    def stop(self) -> None:
        """Asks `run` to finish its batch and return; may be called from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Works until `stop`.

        Raises `UndecodableCommand`, `TopicsMissing`, or whatever Kafka or the provider failed with; then nothing of
        the running batch is committed.
        """
        limits = self._limits
        cashier = Cashier(
            self._provider,
            self._inbox,
            self._payments,
            self._stop,
            concurrency=limits.concurrency,
            patience_s=limits.patience_s,
            batch_s=limits.batch_s,
            grace_s=limits.grace_s,
            on_step=self._on_step,
        )
        producer = self._producer()
        try:
            producer.init_transactions()
            if not producer.partitions_for(topics.RECHARGE_RESULTS):
                raise TopicsMissing(topics.RECHARGE_RESULTS)
            log.info("payment worker started", group=self._group, instance=self._instance, provider=self._provider.name)
            while not self._stop.is_set():
                consumer = self._consumer()
                try:
                    self._work(consumer, producer, cashier)
                finally:
                    consumer.close(autocommit=False)
        finally:
            producer.close(timeout=5)
            log.info("payment worker stopped", **self._payments.summary())

    def _work(self, consumer: Any, producer: Any, cashier: Cashier) -> None:
        """Settles batches until `stop`, or until the consumer has lost its membership for good."""
        member_until = time.monotonic() + MEMBERSHIP_S
        while not self._stop.is_set():
            polled = consumer.poll(timeout_ms=POLL_MS)
            # The generation that these records were read under, whatever heartbeats change in the meantime: an offset
            # commit without a generation would not be fenced.
            member = consumer.group_metadata()
            self.is_member = member.state is MemberState.STABLE
            self._on_turn()
            now = time.monotonic()
            if self.is_member:
                member_until = now + MEMBERSHIP_S
                if polled:
                    self._settle(consumer, producer, cashier, polled, member)
            else:
                _read_again(consumer, {at.partition: records[0].offset for at, records in polled.items()})
                if now > member_until:
                    # kafka-python forgets a join whose answer comes between two polls, and never joins again.
                    log.warning("not a member of the group: starting a new consumer", waited_s=MEMBERSHIP_S)
                    return
            if now >= self._summary_at:
                log.info("payments", **self._payments.summary())
                self._summary_at = now + SUMMARY_S

    def _settle(
        self, consumer: Any, producer: Any, cashier: Cashier, polled: Mapping[Any, list[Any]], member: Any
    ) -> None:
        """Takes one batch through the steps of the module's docstring."""
        read_ns = time.time_ns()
        # A result has its tenant's key, hence its command's partition.
        batch = {
            at.partition: [decode(at.partition, r.offset, r.value, r.headers) for r in read]
            for at, read in polled.items()
        }
        asked_again = {each.partition for each in chain.from_iterable(batch.values()) if each.charge.attempt > 1}
        if self._known.load(batch, self._unanswered | asked_again):
            self._inbox.published(self._known.among(self._inbox.unpublished()))
        # Step 1: received. The inbox knows the recharge as it was asked for first.
        new: dict[str, Charge] = {}
        for command in chain.from_iterable(batch.values()):
            if not self._is_known(command):
                new.setdefault(command.charge.recharge_id, command.charge)
        received = self._inbox.receive(new.values())
        decisions = {key: found.decision for key, found in received.items() if found.decision is not None}
        # Steps 2 to 4: charging, charged, decided.
        decisions |= cashier.charge(found.charge for found in received.values() if found.decision is None)
        verdict = judge(batch, self._is_known, decisions)
        self._unanswered = set(verdict.unanswered)
        verdict.results = [
            (_as_received(command, received[command.charge.recharge_id].charge), decision)
            for command, decision in verdict.results
        ]
        # Steps 5 and 6: results and offsets, in one transaction.
        if self._commit(producer, verdict, member):
            self._on_step("committed")
            self._report(verdict)
            for command, decision in verdict.results:
                self._on_decided(command, decision, read_ns)
            _read_again(consumer, {partition: verdict.next_offsets[partition] for partition in verdict.unanswered})
        else:
            _read_again(consumer, {partition: commands[0].offset for partition, commands in batch.items()})

    def _commit(self, producer: Any, verdict: Verdict, member: Any) -> bool:
        """Commits one batch; False when the group has moved on meanwhile and nothing was committed."""
        offsets = {
            TopicPartition(topics.RECHARGE_COMMANDS, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in verdict.next_offsets.items()
        }
        self.committing_since = time.monotonic()
        producer.begin_transaction()
        try:
            sent = [
                producer.send(
                    topics.RECHARGE_RESULTS,
                    key=command.charge.tenant_id.encode(),
                    value=result_record(command.charge, decision, self._provider.name),
                    headers=CONTENT_TYPE,
                )
                for command, decision in verdict.results
            ]
            producer.send_offsets_to_transaction(offsets, member)
            for future in sent:
                future.get(timeout=COMMIT_S)
            self._on_step("produced")
        except (CommitFailedError, FencedInstanceIdError) as error:
            producer.abort_transaction()
            log.warning("the group was rebalanced: reading the batch again", reason=type(error).__name__)
            return False
        else:
            producer.commit_transaction()
            return True
        finally:
            self.committing_since = None

    def _report(self, verdict: Verdict) -> None:
        self._inbox.published(command.charge.recharge_id for command, _ in verdict.results)
        self._payments.set_open(self._inbox.open())
        self._payments.count("repeated", verdict.repeated)
        for command, decision in verdict.results:
            self._known.add(command.partition, command.charge.recharge_id)
            self._payments.count(decision.status)
            log.debug("decided", recharge_id=command.charge.recharge_id, status=decision.status)
        for partition, commands in verdict.unanswered.items():
            self._payments.count("unanswered", commands)
            log.warning("not answered by the provider in time: asking again", partition=partition, commands=commands)

    def _is_known(self, command: Command) -> bool:
        return (command.partition, command.charge.recharge_id) in self._known

    def _producer(self) -> Any:
        limits = self._limits
        return KafkaProducer(
            **self._conf,
            transactional_id=f"{self._group}-{self._instance}",
            transaction_timeout_ms=limits.transaction_timeout_s * 1000,
            bootstrap_timeout_ms=CONNECT_MS,
            max_block_ms=int(COMMIT_S * 1000),
            allow_auto_create_topics=False,
            acks="all",
            retry_backoff_ms=10,  # a transaction begun right after another is told to wait for its markers
        )

    def _consumer(self) -> Any:
        limits = self._limits
        consumer = KafkaConsumer(
            **self._conf,
            group_id=self._group,
            group_instance_id=self._instance,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=CONNECT_MS,
            max_poll_records=limits.batch,
            max_poll_interval_ms=limits.max_poll_interval_s * 1000,
            session_timeout_ms=limits.session_timeout_s * 1000,
            heartbeat_interval_ms=limits.session_timeout_s * 1000 // 4,
            fetch_max_wait_ms=100,
        )
        self._known.clear()
        # Metadata first: kafka-python would join with an empty assignment, then join again when it knows the topic.
        if not consumer.partitions_for_topic(topics.RECHARGE_COMMANDS):
            consumer.close(autocommit=False)
            raise TopicsMissing(topics.RECHARGE_COMMANDS)
        consumer.subscribe([topics.RECHARGE_COMMANDS], listener=_Reassigned(self._known))
        return consumer


def _as_received(command: Command, charge: Charge) -> Command:
    """Returns the command with the charge that was taken: that of the first command under its id."""
    asked = command.charge
    if (asked.tenant_id, asked.amount_micros, asked.currency) != (
        charge.tenant_id,
        charge.amount_micros,
        charge.currency,
    ):
        log.error("asked again for another amount: the first command counts", recharge_id=charge.recharge_id)
    return structs.replace(command, charge=charge)


def _read_again(consumer: Any, offsets: Mapping[int, int]) -> None:
    """Goes back in the partitions that are still this consumer's; the others are read again by their new owner."""
    for at in consumer.assignment():
        if at.partition in offsets:
            consumer.seek(at, offsets[at.partition])


class _Reassigned(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Forgets the results of partitions that somebody else may decide about in the meantime."""

    def __init__(self, known: KnownResults) -> None:
        self._known = known

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Forgets the partitions; they are read back when they return."""
        self._known.forget(at.partition for at in revoked)

    def on_partitions_assigned(self, assigned: Any) -> None:
        """Does nothing: partitions are read back with their first command."""

    def on_partitions_lost(self, lost: Any) -> None:
        """Forgets the partitions."""
        self._known.forget(at.partition for at in lost)
