"""Waits until nobody is a member of a consumer group: `python -m tests.docs.group_without_members BROKERS GROUP`."""

import sys

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from tests.crash.workers import wait_until

if __name__ == "__main__":
    brokers, group = sys.argv[1:]
    client = AdminClient({"bootstrap.servers": brokers})
    told: list[object] = []

    def left() -> bool:
        """Tells whether the group is empty, or was never there."""
        [future] = client.describe_consumer_groups([group]).values()
        try:
            described = future.result()
        except KafkaException as error:
            told.append(error)
            return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
        told.append((described.state, [member.group_instance_id for member in described.members]))
        return described.state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)

    try:
        wait_until(f"nobody is in {group}", left, timeout_s=100)
    finally:
        sys.stdout.write(f"{told[-1]}\n")
