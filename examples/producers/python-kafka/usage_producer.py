"""Emits one call leg with kafka-python: `python usage_producer.py BROKERS TENANT CALL_ID`."""

import json
import sys
from datetime import UTC, datetime, timedelta

from kafka import KafkaProducer

brokers, tenant, call_id = sys.argv[1:]
ended = datetime.now(UTC)
answered = ended - timedelta(milliseconds=219_000)

event = {
    "specversion": "1.0",
    "id": f"{call_id}/a",  # made of the platform's own record id: a retry repeats id and source
    "source": "/telephony/sbc-eu-1",
    "type": "telephony.call.v1",
    "subject": tenant,
    "data": {
        "tenant_id": tenant,
        "call_id": call_id,
        "leg_id": "a",
        "record_kind": "final",
        "call_type": "user_out",
        "caller": "+15555550100",
        "callee": "+442079460018",
        "number_type": "user",
        "answered_at": answered.isoformat(timespec="milliseconds"),
        "ended_at": ended.isoformat(timespec="milliseconds"),
        "connected_ms": 219_000,
        "user_id": "u-1",
        "user_country": "US",
        "credits_licensed": True,
    },
}

# Its default partitioner is murmur2, as in Java; an idempotent producer implies acks=all.
producer = KafkaProducer(bootstrap_servers=brokers.split(","), enable_idempotence=True)
sent = producer.send(
    "usage.call.v1",
    key=tenant.encode(),
    value=json.dumps(event).encode(),
    headers=[("content-type", b"application/cloudevents+json")],
)
sent.get(timeout=30)  # raises when it is not stored: send the same event again
producer.close()
