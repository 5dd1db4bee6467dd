"""The sizing page computes what it says it computes, from factors that were measured."""

import itertools
import math
from typing import Final

import pytest

from benchmarks.recorded import latest
from processor.contracts import topics
from processor.settings import Settings
from processor.stream.topics import DAY_MS, declared
from tests.docs.pages import DOCS

PAGE: Final = (DOCS / "how-to" / "size-a-deployment.md").read_text("utf-8")
SECONDS_PER_HOUR: Final = 3600
DAYS_PER_MONTH: Final = 30
FEW: Final = 10_000
UNITS: Final = {"PB": 1e15, "TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the table below a heading, without its first two lines."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


FACTORS: Final = {name: float(value.replace(",", "")) for name, value, *_ in rows("The factors")}
EXAMPLES: Final = rows("Examples")


def per_event(what: str) -> float:
    return FACTORS[f"{what} on a broker, bytes per event"]


def kept_days(topic: str, window_days: int = 35) -> float:
    return int(declared(window_days)[topic].config["retention.ms"]) / DAY_MS


def size(count: float) -> str:
    """Writes bytes with two digits that count, or all before the point."""
    name, unit = next((name, unit) for name, unit in UNITS.items() if count >= unit or name == "kB")
    return f"{count / unit:.0f} {name}" if count >= 10 * unit else f"{count / unit:.1f} {name}"


def planned_rate(accounts: float) -> float:
    """Returns the events a second that a worker with so many accounts is planned with."""
    in_memory = Settings().accounts_in_memory * FACTORS["partitions per worker"]
    where = "few accounts" if accounts <= FEW else "accounts in memory" if accounts <= in_memory else "accounts on disk"
    return FACTORS[f"events per second and core, {where}"] * FACTORS["part of that to plan with, %"] / 100


def sized(calls: float, window_days: int) -> list[str]:
    """Computes the cells of an example as the section about the formulas says."""
    events = calls * FACTORS["usage events per call"]
    peak = events * FACTORS["part of a month in its busiest hour, %"] / 100 / SECONDS_PER_HOUR
    tenants = calls / FACTORS["calls per tenant and month"]
    workers = next(count for count in itertools.count(2) if peak / count <= planned_rate(tenants / count))
    partitions = max(8, 1 << math.ceil(math.log2(workers * FACTORS["partitions per worker"])))
    ids = events / DAYS_PER_MONTH * (window_days + 1) * 1.2 / workers
    accounts = tenants / workers
    in_memory = min(accounts, 2 * Settings().accounts_in_memory * partitions / workers)
    memory = (
        FACTORS["memory of a worker without state, MB"] * 1e6
        + ids * FACTORS["memory per event id, bytes"]
        + in_memory * FACTORS["memory per account in memory, bytes"]
    )
    disk = 2 * ids * FACTORS["disk per event id, bytes"] + accounts * FACTORS["disk per account, bytes"]
    daily = (
        per_event("usage") * kept_days(topics.USAGE_CALL)
        + per_event("ledger") * kept_days(topics.LEDGER)
        + per_event("ids") * kept_days(topics.EVENT_IDS, window_days)
    )
    copies = FACTORS["copies"]
    cores = workers * FACTORS["broker cores per worker"] * copies
    return [
        f"{peak:,.0f}" if peak >= 10 else f"{peak:.1f}",
        f"{workers:,}",
        f"{partitions:,}",
        size(memory),
        size(disk),
        size(events / DAYS_PER_MONTH * daily * copies),
        size(peak * sum(map(per_event, ("usage", "ledger", "ids"))) * copies) + "/s",
        f"{cores:,.1f}",
    ]


@pytest.mark.parametrize("cells", EXAMPLES, ids=lambda cells: cells[0])
def test_an_example_is_what_the_formulas_give(cells: list[str]) -> None:
    calls, window, *computed = cells
    number, _, unit = calls.partition(" ")
    scale = {"M": 1e6, "G": 1e9}[unit]
    assert computed == sized(float(number) * scale, int(window))


def test_the_examples_reach_from_a_million_calls_a_month_to_a_million_a_second() -> None:
    per_second = FACTORS["part of a month in its busiest hour, %"] / 100 / SECONDS_PER_HOUR
    first, last = (cells[0].split() for cells in (EXAMPLES[0], EXAMPLES[-1]))
    assert first == ["1", "M"]
    assert float(last[0]) * 1e9 * per_second == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("where", "point"),
    [("few accounts", 1000), ("accounts in memory", 100_000), ("accounts on disk", 5_000_000)],
)
def test_the_rates_of_a_core_are_not_above_what_was_measured(where: str, point: int) -> None:
    measured = latest()[f"accounts-{point}"]["events_per_s_second_half"]
    assert 0.8 * measured < FACTORS[f"events per second and core, {where}"] <= measured


@pytest.mark.parametrize(("factor", "figure"), [("usage", "usage"), ("ledger", "ledger"), ("ids", "ids")])
def test_what_an_event_takes_on_a_broker_was_measured(factor: str, figure: str) -> None:
    measured = latest()["partitions-8"][f"{figure}_bytes_per_event"]
    assert per_event(factor) == pytest.approx(measured, rel=0.1)


def test_the_load_of_a_broker_was_measured() -> None:
    most = max(case["broker_cores"] for name, case in latest().items() if name.startswith("load-"))
    assert FACTORS["broker cores per worker"] == pytest.approx(most, rel=0.25)


def test_the_memory_of_a_worker_was_measured() -> None:
    alone = latest()["accounts-1000"]["end_own_mib"] * 2**20 / 1e6
    assert FACTORS["memory of a worker without state, MB"] == pytest.approx(alone, rel=0.25)
    more = latest()["accounts-100000"]["end_own_mib"] * 2**20 / 1e6
    assert FACTORS["memory per account in memory, bytes"] == pytest.approx((more - alone) * 1e6 / 99_000, rel=0.25)


def test_the_page_names_the_settings_and_retentions_as_they_are() -> None:
    assert FACTORS["days in the de-duplication window"] == Settings().deduplication_days
    assert f"kept {kept_days(topics.USAGE_CALL):.0f} days" in PAGE
    assert f"kept {kept_days(topics.LEDGER):.0f} days" in PAGE
    assert f"at most {2 * Settings().accounts_in_memory:,} per partition" in PAGE
