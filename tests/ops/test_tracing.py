"""Usage, the cycle that asked for a recharge and the payment are found from each other, by link, in a collector."""

import json
import subprocess
import sys
from pathlib import Path

from confluent_kafka import Producer

from tests.crash.platform import Platform, write_deck
from tests.crash.workers import WorkerProcess, lag, wait_until
from tests.otlp_collector import collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
DIGITS = "99955501"
"""Digits that the phone numbers of this test contain, and nothing else."""


def test_the_cycle_and_the_payment_link_to_the_usage_that_caused_the_recharge(topics: str, tmp_path: Path) -> None:
    password = "nobody-may-see-this"  # noqa: S105 - nor use it: the broker asks for none
    platform = Platform(topics, seed=7, tenants=1)
    with collecting() as collector:
        settings = {
            "CREDITS_TRACING_ENDPOINT": collector.endpoint,
            "CREDITS_SASL_PASSWORD": password,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        worker = WorkerProcess(topics, tmp_path / "w", write_deck(tmp_path / "deck.csv"), **settings).start()
        paying = [sys.executable, "-m", "processor.cli", "payment-worker", "--latency", "0"]
        environment = worker._environment | {"CREDITS_DATA_DIR": str(tmp_path / "p")}
        with (tmp_path / "p.log").open("w") as log:
            payments = subprocess.Popen(paying, env=environment, stdout=log, stderr=log)
        try:
            platform.open_accounts()
            wait_until("the account is open, so that usage is what makes its balance fall", lambda: lag(topics) == 0)
            producer = Producer({"bootstrap.servers": topics, "partitioner": "murmur2_random"})
            for _ in range(400):
                topic, tenant, value = platform._usage()
                event = json.loads(value) | {"traceparent": PARENT}
                for field in ("callee", "remote_number"):
                    if field in event["data"]:
                        event["data"][field] = event["data"][field][:5] + DIGITS
                producer.produce(topic, json.dumps(event), tenant)
            producer.flush()
            for service in ("credits-worker", "credits-payment-worker"):
                wait_until(
                    f"a span of {service} links to the usage", lambda of=service: TRACE in collector.linked(of), 120
                )
        finally:
            payments.terminate()
            payments.wait(60)
            worker.terminate()
    cycles, recharges = collector.spans("credits-worker"), collector.spans("credits-payment-worker")
    assert {span.name for span in cycles} == {"cycle"}
    assert {span.name for span in recharges} == {"recharge"}
    assert TRACE not in {span.trace_id.hex() for span in cycles + recharges}, "linked, not continued"
    counted = [{each.key: each.value for each in span.attributes} for span in cycles]
    assert sum(said["messaging.batch.message_count"].int_value for said in counted) >= 402
    (status,) = {each.value.string_value for s in recharges for each in s.attributes if each.key == "credits.status"}
    assert status == "succeeded"
    everything = b"".join(collector.bodies)
    assert DIGITS.encode() not in everything
    assert password.encode() not in everything
    assert "payment worker stopped" in (tmp_path / "p.log").read_text()
