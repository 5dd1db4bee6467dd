"""The worker's line in the log is what its counters grew by since the line before."""

from datetime import UTC, datetime

from processor.observability.canonical import CanonicalLine
from processor.observability.metrics import Metrics
from processor.stream.work import Work


def worked(metrics: Metrics) -> None:
    work = Work(datetime.now(UTC))
    work.events = 3
    work.outcomes["call", "duplicate"] += 2
    work.outcomes["conference", "duplicate"] += 1
    work.parked["no_rate"] += 1
    metrics.committed(work, 0.01)


def test_a_line_tells_what_happened_since_the_last_one() -> None:
    metrics = Metrics()
    worked(metrics)
    line = CanonicalLine(metrics.registry)
    worked(metrics)
    worked(metrics)
    said = line.since_last()
    assert said == {
        "events": {"duplicate": 6},
        "cycles": 2,
        "parked": {"no_rate": 2},
        "recharges": {},
        "notices": {},
        "debited_micros": 0,
    }


def test_an_idle_minute_is_a_line_of_zeros() -> None:
    line = CanonicalLine(Metrics().registry)
    assert line.since_last()["cycles"] == 0
