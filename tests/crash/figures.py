"""What a run of chaos has gone through, as a table for people and a file for the README's."""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

RECORDED: Final = Path(__file__).with_name("recorded")
"""The runs whose table is in the README, one file per group protocol: `make chaos … REPORT=` writes such a file."""

EXITS: Final = {
    0: "processes that were told to stop (exit code 0)",
    70: "that stopped themselves (70)",
    75: "that found no broker (75)",
}
"""What the exit codes of a worker are called in the table; there are no others in a proven run."""


class Figures(Struct, kw_only=True):
    """One run; `exits` counts the worker processes that were not killed, by exit code."""

    protocol: str
    seed: int
    seconds: int
    kills: int
    freezes: int
    rolling_restarts: int
    scalings: int
    broker_kills: int
    broker_restarts: int
    process_starts: int
    rebalances: int
    unique_events: int
    repeated_events: int
    foreign_partitioner: int
    records_sent: int
    payments: int
    exits: dict[int, int]

    @classmethod
    def read(cls, path: Path) -> "Figures":
        """Reads what `write` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        """Writes the figures as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    def _cells(self) -> dict[str, str]:
        return {
            "seconds": f"{self.seconds:,}",
            "workers killed": f"{self.kills:,}",
            "frozen past their session, woken as zombies": f"{self.freezes:,}",
            "rolling restarts": f"{self.rolling_restarts:,}",
            "changes of the group's size, 1 to 4 workers": f"{self.scalings:,}",
            "broker killed / restarted": f"{self.broker_kills} / {self.broker_restarts}",
            "process starts, assignments of partitions": f"{self.process_starts:,}, {self.rebalances:,}",
            "unique usage events": f"{self.unique_events:,}",
            "of them sent again": f"{self.repeated_events:,}",
            "sent by a wrong partitioner": f"{self.foreign_partitioner:,}",
            "records in all, with commands": f"{self.records_sent:,}",
            "recharges paid": f"{self.payments:,}",
            **{name: f"{self.exits.get(code, 0):,}" for code, name in EXITS.items()},
            "**events lost, charged twice, or charged wrongly; recharges asked for twice**": "**0**",
        }


def table(*runs: Figures) -> str:
    """Returns a Markdown table with a column per run. Only of runs that were proven: the last row says so."""
    columns = [run._cells() for run in runs]
    rows = [["in one run", *(run.protocol for run in runs)], ["---"] * (1 + len(runs))]
    rows += [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
