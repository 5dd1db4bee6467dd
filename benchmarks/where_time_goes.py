"""Where a busy worker or the plain loop of its peers spends its time: microseconds of CPU per event, by stage.

Works off a backlog as system.py does. Between a quarter and nine tenths of it, the kernel says how long each thread has
computed, and py-spy which function the interpreter was in; librdkafka's and RocksDB's threads run no Python.

    .venv/bin/python benchmarks/where_time_goes.py --events 1000000 --json
"""

import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import click
import contest
import contestants
import harness
import load
from rich.console import Console
from rich.table import Table

from processor.contracts import topics

FROM, TO = 0.25, 0.9
"""The part of the backlog that is sampled."""

SAMPLES_PER_S: Final = 200
PY_SPY: Final = str(Path(sys.executable).with_name("py-spy"))

STAGES: Final = {
    "_poll_once (processor/stream/lane.py": "fetch: take records from librdkafka",
    "_decoded (processor/stream/partition.py": "decode and validate",
    "identity (processor/contracts/inputs.py": "de-duplicate: hash",
    "sealed (processor/stream/event_ids.py": "de-duplicate: search",
    "apply (processor/domain/metering.py": "apply: price and debit",
    "entry_record (processor/contracts/outputs.py": "encode ledger entries",
    "finish (processor/stream/partition.py": "encode accounts, pack ids",
    "process (processor/stream/partition.py": "bookkeeping of the cycle",
    "commit (processor/stream/transaction.py": "append: hand records to librdkafka",
    "committed (processor/stream/checkpoint_writer.py": "checkpoint",
    "(processor/stream/checkpoint_writer.py": "checkpoint",
    "(processor/observability/": "metrics",
}
"""What stands in a frame -> the stage; the innermost frame that is named here decides."""

LOOP: Final = contestants.PROGRAMS / "confluent_loop.py"
LOOP_STAGES: Final = {
    ".consume(": "fetch: take records from librdkafka",
    "decode_call(": "decode and validate",
    "identity = ": "de-duplicate: hash",
    ".seen": "de-duplicate: search",
    ".debit(": "apply: price and debit",
    "encode(entry)": "encode ledger entries",
    "dump_account(": "encode accounts, pack ids",
    ".join(": "encode accounts, pack ids",
    "_transaction(": "append: hand records to librdkafka",
    ".produce(": "append: hand records to librdkafka",
    "": "bookkeeping of the cycle",
}
"""What stands in a line of the plain loop, which does all in one function -> the stage; the first that does decides."""

THREADS: Final = {
    "rdk:": "librdkafka: fetch, decompress, compress, send",
    "rocksdb": "RocksDB: compaction",
}
"""How the name of a thread without Python begins -> the stage."""

WAITING: Final = ("Condition.wait (", "_worker (concurrent/futures/thread.py", "EpollSelector.select (")
"""Innermost frames of threads that wait, which py-spy takes for busy ones on a machine with much to do."""

REST: Final = "Faust, asyncio, the rest"


@click.command()
@click.option("--program", type=click.Choice(["meter", "confluent-loop"]), default="meter", show_default=True)
@click.option("--events", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option("--tenants", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--skew/--uniform", default=False, show_default=True, help="The first tenant has 35 % of the traffic.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(program: str, events: int, tenants: int, skew: bool, as_json: bool) -> None:
    """Measure where a worker's time goes on this machine."""
    peer, prices = contestants.ALL[program], load.deck()
    with harness.fresh_broker() as brokers, tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        deck = Path(name) / "deck.csv"
        load.write_deck(prices, deck)
        contest.prepare(peer, brokers, contest.Stream.of(prices, deck, tenants, events, skew=skew), events)
        with peer.start(brokers, Path(name), deck) as running:
            sampler = Sampler(running.pid, Path(name) / "samples", events)
            harness.follow(running, brokers, peer.group, topics.USAGE_CALL, events, 60 + events / 2000, sampler.look)
            costs = sampler.costs_us()
    if as_json:
        report = {"machine": harness.machine(), "program": program, "events": events, "us_per_event": costs}
        click.echo(json.dumps(report, indent=2))
        return
    table = Table("stage", title=f"CPU per event: {program}")
    table.add_column("µs", justify="right")
    table.add_column("share", justify="right")
    total = sum(costs.values())
    for stage, cost in costs.items():
        table.add_row(stage, f"{cost:.2f}", f"{cost / total:.0%}")
    table.add_section()
    table.add_row("in all", f"{total:.2f}", "")
    Console().print(table)


class Sampler:
    """Watches one process while it works off the middle of a backlog."""

    def __init__(self, pid: int, samples: Path, total: int) -> None:
        self._pid, self._samples, self._total = pid, samples, total
        self._spy: subprocess.Popen[bytes] | None = None
        self._from: tuple[int, Counter[str]] | None = None
        self._to: tuple[int, Counter[str]] | None = None

    def look(self, point: harness.Point) -> None:
        """Begins and ends the sampling by how far the work is."""
        if self._spy is None:
            if point.records >= FROM * self._total:
                self._spy = spy_on(self._pid, self._samples)
        elif self._from is None:
            self._from = point.records, cpu_s(self._pid)
        elif self._to is None and point.records >= TO * self._total:
            self._to = point.records, cpu_s(self._pid)
            self._spy.send_signal(signal.SIGINT)
            assert not self._spy.wait(30), "py-spy has failed"

    def costs_us(self) -> dict[str, float]:
        """Returns microseconds per event by stage, the dearest first."""
        assert self._from is not None
        assert self._to is not None
        events = self._to[0] - self._from[0]
        assert events > self._total / 2, "the backlog is too short: most of it was done before py-spy had begun"
        spent = self._to[1] - self._from[1]
        stages = by_stage(self._samples.read_text().splitlines())
        interpreter_s = spent.pop("", 0.0)
        costs = {stage: interpreter_s * count / stages.total() for stage, count in stages.items()} | spent
        ranked = sorted(costs.items(), key=lambda item: -item[1])
        return {stage: round(seconds / events * 1e6, 3) for stage, seconds in ranked}


def spy_on(pid: int, samples: Path) -> subprocess.Popen[bytes]:
    """Starts py-spy and waits until it samples."""
    command = [PY_SPY, "record", "--pid", str(pid), "--format", "raw", "--rate", str(SAMPLES_PER_S)]
    spy = subprocess.Popen([*command, "--output", str(samples)], stdout=subprocess.PIPE)
    assert spy.stdout is not None
    assert b"Sampling" in spy.stdout.readline()
    return spy


def by_stage(stacks: list[str]) -> Counter[str]:
    """Counts py-spy's samples by stage; a line holds frames from the outermost, and how often they were seen."""
    counts: Counter[str] = Counter()
    for line in stacks:
        frames, _, seen = line.rpartition(" ")
        inwards = frames.split(";")[::-1]
        if not inwards[0].startswith(WAITING):
            counts[next(filter(None, map(stage_of, inwards)), REST)] += int(seen)
    return counts


def stage_of(frame: str) -> str | None:
    """Returns the stage that a frame stands for; None leaves that to the frame outside of it."""
    if (at := re.search(rf"\({LOOP.name}:(\d+)\)", frame)) is not None:
        text = linecache.getline(str(LOOP), int(at[1]))
        return next(stage for part, stage in LOOP_STAGES.items() if part in text)
    return next((stage for part, stage in STAGES.items() if part in frame), None)


def cpu_s(pid: int) -> Counter[str]:
    """Returns for how many seconds the threads of a process have computed, by stage; '' stands for the interpreter."""
    spent: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, fields = (task / "stat").read_text().partition("(")[2].rpartition(")")
        stage = next((stage for start, stage in THREADS.items() if name.startswith(start)), "")
        user, system = fields.split()[11:13]
        spent[stage] += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return spent


if __name__ == "__main__":
    main()
