"""Writes one record as a command does, and tells apart what was refused, what was stored and what nobody knows."""

from typing import Final

from processor.cli.common import CommandFailed, broker_errors, client_conf
from processor.settings import Settings

FLUSH_S: Final = 10.0


class MaybeStored(Exception):  # noqa: N818 - a fact about the record, not a failure of ours
    """The broker's answer is missing: the record may be there, or may still arrive."""


def store(settings: Settings, topic: str, tenant: str, value: bytes) -> None:
    """Writes the record under the tenant's key and returns when it is stored safely.

    Raises `CommandFailed` when the broker refused it, so that nothing can have changed, and `MaybeStored`.
    """
    from confluent_kafka import KafkaError, Message, Producer

    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    conf = client_conf(settings)
    producer = Producer(
        {
            **conf,
            "partitioner": "murmur2_random",
            "acks": "all",  # a retry may store the record twice: it has one id, so it is applied once
            "message.timeout.ms": max(1, int(FLUSH_S * 1000)),
        }
    )
    with broker_errors(conf):
        headers = {"content-type": "application/cloudevents+json"}
        producer.produce(topic, value, tenant.encode(), on_delivery=delivered, headers=headers)
        unsent = producer.flush(2 * FLUSH_S)
    # The Python client does not tell whether a failed record was on its way: only these errors say that it was not.
    refusals = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
    if failures and failures[0].code() in refusals:
        raise CommandFailed(f"the broker refused it, nothing was changed: {failures[0].str()}")
    if unsent or failures:
        raise MaybeStored(failures[0].str() if failures else "no answer from the broker")
