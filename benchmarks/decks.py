"""Rate decks of growing size: time to load, memory per row, time to find a price, delay of the loop at a reload.

    .venv/bin/python -m benchmarks.decks

The rows are invented: prefixes of 3 to 10 digits below 13 country codes, 5,000 destinations, all with different rates.
"""

import asyncio
import logging
import random
import resource
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import structlog

from processor.contracts.decks import load_decks
from processor.domain.tariff import Tariff
from processor.stream.rates import Rates, Unobserved

SIZES = (10_000, 100_000, 1_000_000)
CODES = ("1", "7", "33", "34", "39", "44", "49", "86", "91", "234", "353", "420", "971")
LOOKUPS = 100_000
TICK_S = 0.001


def write_deck(path: Path, rows: int, pick: random.Random) -> list[str]:
    """Writes a deck and returns its prefixes."""
    prefixes = dict[str, None]()
    while len(prefixes) < rows:
        prefixes[pick.choice(CODES) + str(pick.randrange(10 ** pick.randint(2, 7)))] = None
    with path.open("w") as file:
        file.write("prefix,destination,type,country,rate_per_min,connect_fee,initial_s,increment_s\n")
        for prefix in prefixes:
            rate = pick.randrange(100, 9999) / 10_000
            file.write(f"{prefix},Place {pick.randrange(5000)},mobile,GB,{rate},0,60,{pick.choice((1, 6, 60))}\n")
    return list(prefixes)


def resident_bytes() -> int:
    """Returns the memory that the process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def find_us(tariff: Tariff, prefixes: list[str], pick: random.Random) -> float:
    """Returns the microseconds of one lookup, with numbers in random order."""
    numbers = [f"+{prefix}1234567"[:16] for prefix in pick.choices(prefixes, k=LOOKUPS)]
    now = datetime.now(UTC)
    started = perf_counter()
    for number in numbers:
        tariff.find(number, "outbound", "USD", now)
    return (perf_counter() - started) / LOOKUPS * 1e6


async def delay_ms(path: Path, load: Callable[[], Tariff]) -> float:
    """Reloads a changed deck; returns by how much the loop is late then, at the 99th percentile."""
    rates = Rates([path], load, Unobserved(), 0)
    with path.open("a") as file:
        file.write("\n")  # another version of the same prices
    used: list[Tariff] = []
    watching = asyncio.create_task(rates.watch(used.append))
    rates.reload()
    late: list[float] = []
    while not used:
        asked = perf_counter()
        await asyncio.sleep(TICK_S)
        late.append(perf_counter() - asked - TICK_S)
    watching.cancel()
    return sorted(late)[len(late) * 99 // 100] * 1e3


def main() -> None:
    """Prints a table with one line per size."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print("| rows | load | memory per row | find | loop late at a reload, p99 |")
    print("| --- | --- | --- | --- | --- |")
    for rows in SIZES:
        with tempfile.TemporaryDirectory() as directory:
            print(measured(Path(directory) / "deck.csv", rows))


def measured(path: Path, rows: int) -> str:
    """Returns the line of one size."""
    pick = random.Random(rows)
    prefixes = write_deck(path, rows, pick)

    def load() -> Tariff:
        return Tariff(load_decks([path]))

    memory, started = resident_bytes(), perf_counter()
    tariff = load()
    took, memory = perf_counter() - started, resident_bytes() - memory
    found_us = find_us(tariff, prefixes, pick)
    del tariff, prefixes
    late_ms = asyncio.run(delay_ms(path, load))
    return f"| {rows:,} | {took:.2f} s | {memory / rows:.0f} B | {found_us:.2f} µs | {late_ms:.0f} ms |"


if __name__ == "__main__":
    main()
