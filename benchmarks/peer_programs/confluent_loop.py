"""The job as a plain confluent-kafka loop: state in dictionaries, changelogs of its own, a transaction every 100 ms.

One process owns all partitions; nothing is rebalanced. It is what Python and librdkafka can do at most, not a product:
whoever starts a second one doubles charges, and every seen id stays in memory as a string.
"""

import gc
import os
import signal
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition
from rates import Rates
from records import (
    COMMANDS,
    LEDGER,
    RESULTS,
    USAGE,
    Account,
    decode_call,
    decode_result,
    dump_account,
    encode,
    load_account,
)

GROUP = "confluent-loop"
ACCOUNTS, SEEN = f"{GROUP}-accounts", f"{GROUP}-seen"
PARTITIONS = range(8)
COMMIT_S = 0.1
AT_ONCE = 2000
IDS_PER_RECORD = 5000
PATIENCE_S = 30
BROKERS = {"bootstrap.servers": os.environ["CREDITS_BROKERS"], "group.id": GROUP, "enable.auto.commit": False}


def checked(message: Message) -> Message:
    if message.error():
        raise KafkaException(message.error())
    return message


class Partition:
    """One partition's accounts and seen ids, and which of them the open transaction has changed."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.seen: set[str] = set()
        self.touched: dict[str, Account] = {}
        self.new_ids: list[str] = []


class Loop:
    def __init__(self) -> None:
        self._rates = Rates()
        self._producer = Producer(
            {
                "bootstrap.servers": BROKERS["bootstrap.servers"],
                "transactional.id": GROUP,
                "compression.type": "lz4",
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 1_000_000,
                "transaction.timeout.ms": 30_000,
            }
        )
        self._producer.init_transactions(PATIENCE_S)  # fences an older self before its changelogs are read
        self._partitions = [Partition() for _ in PARTITIONS]
        self._recover()
        self._consumer = Consumer(
            {**BROKERS, "check.crcs": False, "fetch.queue.backoff.ms": 5, "fetch.message.max.bytes": 2 << 20}
        )
        places = [TopicPartition(topic, at) for topic in (USAGE, RESULTS) for at in PARTITIONS]
        self._offsets = {
            (place.topic, place.partition): place.offset if place.offset >= 0 else OFFSET_BEGINNING
            for place in self._consumer.committed(places, PATIENCE_S)
        }
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._offsets.items()])

    def _recover(self) -> None:
        changelogs = Consumer({**BROKERS, "enable.partition.eof": True})
        places = [TopicPartition(topic, at, OFFSET_BEGINNING) for topic in (ACCOUNTS, SEEN) for at in PARTITIONS]
        changelogs.assign(places)
        open_ends = len(places)
        while open_ends:
            for message in changelogs.consume(AT_ONCE, 1.0):
                partition = self._partitions[message.partition()]
                if message.error():
                    open_ends -= 1
                elif message.topic() == ACCOUNTS:
                    partition.accounts[message.key().decode()] = load_account(message.value())
                else:
                    partition.seen.update(message.value().decode().split("\n"))
        changelogs.close()

    def run(self) -> None:
        """Works in transactions of `COMMIT_S`, forever."""
        while True:
            batch = self._consumer.consume(1, COMMIT_S)
            if not batch:
                continue
            self._producer.begin_transaction()
            commit_at = time.monotonic() + COMMIT_S
            while True:
                for message in batch:
                    self._handle(checked(message))
                self._producer.poll(0)
                if time.monotonic() >= commit_at:
                    break
                # A call waits for all it is asked for: one record, then what is there already.
                batch = self._consumer.consume(1, 0.002)
                batch += self._consumer.consume(AT_ONCE, 0) if batch else []
            self._commit()

    def _handle(self, message: Message) -> None:
        at, topic = message.partition(), message.topic()
        partition = self._partitions[at]
        self._offsets[topic, at] = message.offset() + 1
        if topic == RESULTS:
            result = decode_result(message.value()).data
            account = partition.accounts.get(result.tenant_id)
            if account is not None and account.credit(result):
                partition.touched[result.tenant_id] = account
            return
        call = decode_call(message.value())
        identity = f"{call.source} {call.id}"
        if identity in partition.seen:
            return
        partition.seen.add(identity)
        partition.new_ids.append(identity)
        tenant = call.data.tenant_id
        account = partition.accounts.get(tenant)
        if account is None:
            account = partition.accounts[tenant] = Account()
        entry, request = account.debit(call, self._rates.cost(call.data.callee, call.data.connected_ms))
        value = encode(entry)
        self._producer.produce(LEDGER, value, tenant, at)
        if request is not None:
            self._producer.produce(COMMANDS, encode(request), tenant, at)
        partition.touched[tenant] = account

    def _commit(self) -> None:
        for at, partition in enumerate(self._partitions):
            for tenant, account in partition.touched.items():
                value = dump_account(account)
                self._producer.produce(ACCOUNTS, value, tenant, at)
            for start in range(0, len(partition.new_ids), IDS_PER_RECORD):
                packed = "\n".join(partition.new_ids[start : start + IDS_PER_RECORD])
                self._producer.produce(SEEN, packed, None, at)
            partition.touched.clear()
            partition.new_ids.clear()
        offsets = [TopicPartition(*place, offset) for place, offset in self._offsets.items() if offset >= 0]
        self._producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata(), PATIENCE_S)
        self._producer.commit_transaction(PATIENCE_S)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gc.set_threshold(100_000, 10, 1000)  # else the collector walks every account and id again and again
    Loop().run()
