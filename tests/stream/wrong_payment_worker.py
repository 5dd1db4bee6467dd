"""A payment worker as one should not write it: BROKERS BOOK.

It reads uncommitted records, commits before it works, has no memory, charges a fee when it is asked again, and does not
hear SIGTERM.
"""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Producer


def main(brokers: str, book: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "wrong",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_uncommitted",
            "session.timeout.ms": 6000,
        }
    )
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
    consumer.subscribe(["recharge.commands.v1"])
    with Path(book).open("a") as charged:
        while True:
            message = consumer.poll(1)
            if message is None or message.error() is not None:
                continue
            command = msgspec.json.decode(message.value())["data"]
            charged.write(f"{command['recharge_id']}\n")
            charged.flush()
            now = datetime.now(UTC).isoformat()
            data = {
                **{name: command[name] for name in ("recharge_id", "tenant_id", "currency")},
                "amount_micros": command["amount_micros"] * command["attempt"],
                "status": "succeeded",
                "provider": "wrong",
                "decided_at": now,
            }
            event = {
                "specversion": "1.0",
                "type": "payments.recharge.decided.v1",
                "source": "/wrong",
                "id": now,
                "data": data,
            }
            producer.produce("recharge.results.v1", msgspec.json.encode(event), command["tenant_id"])
            producer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
