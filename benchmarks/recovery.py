"""How fast a partition's owner is ready, and how much memory its accounts take: step A2 from the changelogs alone, and
from a checkpoint.

Writes accounts and event ids to the changelogs of a real broker, then recovers all partitions in this process: without
a checkpoint, with one that is complete, and with one that lacks what the accounts' last changes were. The process is
on one core, the broker on the other.

    .venv/bin/python benchmarks/recovery.py --accounts 1000000 --json
"""

import json
import os
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import harness
import state

from processor.domain.policy import Policy
from processor.domain.tariff import Tariff
from processor.stream import allocator
from processor.stream.balance_table import partition_of
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.partition import PartitionProcessor
from processor.stream.recovery import recover
from processor.stream.survey import HORIZON, Survey

DAY_MS = 86_400_000
PATIENCE_S = 600
TOUCHED = 50_000

Figures = dict[str, float]


@click.command()
@click.option("--accounts", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--ids", type=click.IntRange(1000), default=5_000_000, show_default=True)
@click.option("--tail", type=click.IntRange(0), default=50_000, show_default=True, help="Accounts changed later.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(accounts: int, ids: int, tail: int, as_json: bool) -> None:
    """Measure recovery on this machine."""
    names = [f"tenant-{number:07}" for number in range(accounts)]
    with harness.fresh_broker() as brokers, tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        state.produce_accounts(brokers, names)
        state.produce_ids(brokers, ids, harness.PARTITIONS)
        os.sched_setaffinity(0, {harness.WORK_CORE})
        cases = {
            "rebuild": measure(brokers, Path(name), accounts, ids),
            "checkpoint": measure(brokers, Path(name), accounts, ids),
        }
        state.produce_accounts(brokers, names[:tail])
        cases["checkpoint_and_tail"] = measure(brokers, Path(name), accounts, ids)
    if as_json:
        click.echo(
            json.dumps({"machine": harness.machine(), "accounts": accounts, "ids": ids, "cases": cases}, indent=2)
        )
    else:
        for case, figures in cases.items():
            click.echo(f"{case:20}" + "  ".join(f"{name} {value:,}" for name, value in figures.items()))


def measure(brokers: str, directory: Path, accounts: int, ids: int) -> Figures:
    """Recovers all partitions once, as a worker that has just started does."""

    def die(error: BaseException) -> None:
        raise error

    allocator.tune()
    tariff = Tariff([], Policy())
    processors = [PartitionProcessor(number, harness.PARTITIONS, tariff) for number in range(harness.PARTITIONS)]
    checkpoints = CheckpointWriter(directory, window_ms=36 * DAY_MS, interval_s=3600, on_death=die)
    checkpoints.start(lambda install, *sealed: install(*sealed))
    began = time.monotonic(), time.process_time()
    records = recover({"bootstrap.servers": brokers}, harness.GROUP, processors, checkpoints, PATIENCE_S)
    took_s, cpu_s = time.monotonic() - began[0], time.process_time() - began[1]
    survey_s = surveyed(processors)
    found = sum(len(processor.table) for processor in processors), sum(len(processor.ids) for processor in processors)
    assert found == (accounts, ids), found
    touch_us = touched(processors, accounts)
    own_mib = harness.memory_mib(os.getpid(), "RssAnon")
    for processor in processors:
        processor.ids.runs = ()
    checkpoints.stop()
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return {
        "records": records,
        "seconds": round(took_s, 2),
        "cpu_seconds": round(cpu_s, 2),
        "records_per_s": round(records / took_s),
        "records_per_cpu_s": round(records / cpu_s),
        "checkpoint_mb": round(size / 1e6),
        "survey_cpu_s": survey_s,
        "us_per_account_used": touch_us,
        "own_mib": own_mib,
        "peak_mib": harness.memory_mib(os.getpid(), "VmHWM"),
    }


def surveyed(processors: list[PartitionProcessor]) -> float:
    """Does what runs beside the work after an adoption; returns its seconds of CPU time."""
    began, horizon = time.process_time(), datetime.now(UTC) + HORIZON
    for processor in processors:
        assert processor.table.stored is not None
        survey = Survey(processor, processor.table.stored, horizon)
        while survey.step():
            pass
    return round(time.process_time() - began, 2)


def touched(processors: list[PartitionProcessor], accounts: int) -> float:
    """Asks for accounts at random, as usage does; returns microseconds of CPU time for each."""
    tenants = [f"tenant-{random.randrange(accounts):07}" for _ in range(TOUCHED)]
    owned = [(processors[partition_of(tenant, harness.PARTITIONS)].table, tenant) for tenant in tenants]
    began = time.process_time()
    for table, tenant in owned:
        assert table.get(tenant) is not None
    return round((time.process_time() - began) / len(owned) * 1e6, 1)


if __name__ == "__main__":
    main()
