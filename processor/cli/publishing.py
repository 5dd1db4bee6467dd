"""Puts records into topics the way the contract demands: key, partitioner, acknowledged by all replicas."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processor.adapters import Usage
from processor.cli.common import BrokerUnreachable, broker_errors
from processor.cli.reading import partitions_of
from processor.contracts import topics
from processor.stream.dead_letters import KafkaHeaders

POLL_S: Final = 0.1
GIVE_UP_MS: Final = 60_000
HEADERS: Final[KafkaHeaders] = [("content-type", b"application/cloudevents+json")]
ANY_PARTITION: Final = -1
"""The partitioner's choice."""


class Sender:
    """An idempotent producer; `conf` is `client_conf(settings)`.

    Raises `BrokerUnreachable` or `CommandFailed` from `send` and `flush` when a record could not be delivered within a
    minute. A record that was sent twice is applied once, so the remedy is to repeat the command.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        self.acknowledged = 0
        self._conf = conf
        self._fault: KafkaError | None = None
        self._producer = Producer(
            {
                **conf,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 20,
                "message.timeout.ms": GIVE_UP_MS,
            }
        )

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: KafkaHeaders,
        partition: int = ANY_PARTITION,
    ) -> None:
        """Hands one record over; waits while the producer's buffer is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers, on_delivery=self._delivered)
                break
            except BufferError:
                self._producer.poll(POLL_S)
        self._producer.poll(0)
        self._complain()

    def flush(self) -> None:
        """Returns when the brokers have everything."""
        while self._producer.flush(POLL_S) and self._fault is None:
            pass
        self._complain()

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._fault = error

    def _complain(self) -> None:
        if self._fault is not None:
            if self._fault.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001
                raise BrokerUnreachable(self._conf["bootstrap.servers"])
            with broker_errors(self._conf):
                raise KafkaException(self._fault)


class Publisher:
    """Sends one tenant's usage; raises `TopicMissing` and `BrokerUnreachable` at once, and what a `Sender` raises."""

    def __init__(self, conf: Mapping[str, Any], tenant_id: str) -> None:
        for topic in (topics.USAGE_CALL, topics.USAGE_CONFERENCE):
            partitions_of(conf, topic)  # complains when it does not exist
        self._sender = Sender(conf)
        self._key = tenant_id.encode()

    @property
    def acknowledged(self) -> int:
        """How many events the brokers have."""
        return self._sender.acknowledged

    def send(self, usage: Usage) -> None:
        """Hands one event over; waits while the producer's buffer is full."""
        self._sender.send(usage.topic, self._key, usage.value, HEADERS)

    def flush(self) -> None:
        """Returns when the brokers have everything."""
        self._sender.flush()
