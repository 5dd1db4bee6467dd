"""Whether a user may read or write a topic, asked of the broker itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition

DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)


def errors(consumer: Consumer) -> Iterator[KafkaError]:
    """Yields what a consumer is told; it is not asked for longer than a patient person would."""
    while (record := consumer.poll(20)) is not None:
        if (error := record.error()) is not None:
            yield error


def may_read(conf: Mapping[str, Any], topic: str) -> bool:
    """Reads the end of one partition as the user of `conf`: its end is an answer, so is a refusal."""
    consumer = Consumer({**conf, "group.id": "never-joined", "enable.partition.eof": True, "log_level": 0})
    try:
        error = consumer.list_topics(topic, timeout=20).topics[topic].error  # who may not describe cannot read either
        if error is None:
            consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
            error = next(told for told in errors(consumer) if told.code() != KafkaError.GROUP_AUTHORIZATION_FAILED)
    except KafkaException as refused:
        error = refused.args[0]
    finally:
        consumer.close()
    assert error.code() in (*DENIED, KafkaError._PARTITION_EOF), error
    return error.code() not in DENIED


def may_write(conf: Mapping[str, Any], topic: str) -> bool:
    """Writes in a transaction that is aborted, or is refused."""
    answers: list[KafkaError | None] = []
    producer = Producer({**conf, "log_level": 0, "message.timeout.ms": 20_000})
    producer.produce(topic, b"{}", b"tenant", 0, on_delivery=lambda error, _: answers.append(error))
    producer.flush(25)
    assert answers, "the broker did not answer"
    assert answers[0] is None or answers[0].code() in DENIED, answers[0]
    return answers[0] is None
