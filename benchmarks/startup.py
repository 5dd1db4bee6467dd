"""How long one waits for the embedded broker, and for `credits demo` until the first leg is debited.

Everything is cached, as from the second start on. A debit counts when a reader of committed records has it.

    .venv/bin/python benchmarks/startup.py --runs 5
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import orjson
import runs
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.contracts import topics
from processor.embedded import artifacts
from processor.embedded.broker import HOST, EmbeddedBroker, free_port

PATIENCE_S = 180.0


@click.command()
@click.option("--runs", "count", type=click.IntRange(1), default=5, show_default=True, help="Starts of each.")
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {runs.DIRECTORY.name}/.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(count: int, record: bool, as_json: bool) -> None:
    """Measure starts on this machine."""
    artifacts.jars()
    cases = {
        "embedded_broker": figures("answers", [broker_answers_s() for _ in range(count)]),
        "demo": figures("first_debit", [demo_debits_s() for _ in range(count)]),
    }
    runs.finish(runs.new_run(cases, {"runs": count}, kind="startup"), record=record, as_json=as_json)


def figures(what: str, seconds: list[float]) -> runs.Figures:
    """Names the median and the longest of the measured times."""
    return {f"{what}_s": round(median(seconds), 2), f"{what}_longest_s": round(max(seconds), 2)}


def broker_answers_s() -> float:
    """Starts a broker on a fresh directory, as the demo and the tests do; returns when it takes requests."""
    began = time.monotonic()
    with EmbeddedBroker():
        return time.monotonic() - began


def demo_debits_s() -> float:
    """Starts the demo in a process of its own; returns when its first debit can be read."""
    port = free_port()
    ports = ["--port", port, "--metrics-port", free_port(besides=port), "--console-port", 0]
    command = [sys.executable, "-m", "processor.cli", "demo", *map(str, ports)]
    with tempfile.TemporaryDirectory(prefix="credits-bench-") as directory:
        log = Path(directory) / "log"
        began = time.monotonic()
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as demo:
            try:
                await_debit(f"{HOST}:{port}", demo, log)
                took_s = time.monotonic() - began
            finally:
                demo.send_signal(signal.SIGINT)
        if demo.returncode:
            raise RuntimeError(f"the demo ended with {demo.returncode}:\n{log.read_text()[-3000:]}")
    return took_s


def await_debit(brokers: str, demo: "subprocess.Popen[bytes]", log: Path) -> None:
    """Returns when the ledger has a charge."""
    deadline = time.monotonic() + PATIENCE_S
    conf = {"bootstrap.servers": brokers, "log_level": 0}
    reader = None
    while demo.poll() is None and time.monotonic() < deadline:
        if reader is None:
            reader = ledger(conf)
        elif any(record.error() is None and is_charge(record.value()) for record in reader.consume(100, 0.05)):
            reader.close()
            return
    raise RuntimeError(f"no debit within {PATIENCE_S:.0f} s:\n{log.read_text()[-3000:]}")


def ledger(conf: dict[str, Any]) -> Consumer | None:
    """Returns a reader of the ledger, once there is one."""
    try:
        partitions = AdminClient(conf).list_topics(topics.LEDGER, timeout=0.5).topics[topics.LEDGER].partitions
    except KafkaException:
        return None
    if not partitions:
        return None
    reader = Consumer({**conf, "group.id": "startup", "isolation.level": "read_committed"})
    reader.assign([TopicPartition(topics.LEDGER, number, OFFSET_BEGINNING) for number in partitions])
    return reader


def is_charge(entry: bytes) -> bool:
    """Tells a debit from other entries."""
    return bool(orjson.loads(entry)["data"]["kind"] == "charge")


if __name__ == "__main__":
    main()
