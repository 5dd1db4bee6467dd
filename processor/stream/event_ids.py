"""The de-duplication index of one partition: 16-byte identities of applied events, persisted with each debit.

The newest identities are in a set, `fresh`. Older ones are in sealed runs (`id_runs`), which only ever hold identities
that are committed.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from processor.stream.id_runs import ID_BYTES, IdRun, columns

NO_ID: Final = b""
"""Stands where a record that cannot be read would have its identity."""

IDS_PER_RECORD: Final = 50_000
"""Keeps a packed record (800 kB) below the broker's default limit of 1 MB."""


class EventIds:
    """Remembers the identities of a partition's applied events. Not thread-safe: the cycle's loop only."""

    def __init__(self) -> None:
        self.fresh: set[bytes] = set()
        self.runs: tuple[IdRun, ...] = ()

    def __len__(self) -> int:
        return len(self.fresh) + sum(map(len, self.runs))

    def sealed(self, identities: list[bytes]) -> set[bytes]:
        """Returns those of the identities that are in a run; they need not be asked for one by one."""
        if not self.runs:
            return set()
        packed = b"".join(identities)
        highs, lows = columns(packed)
        found: set[bytes] = set()
        for run in self.runs:
            found.update(packed[at * ID_BYTES : (at + 1) * ID_BYTES] for at in run.find(highs, lows).tolist())
        return found

    def install(self, runs: tuple[IdRun, ...], packed: bytes) -> None:
        """Takes over new runs, which hold the `packed` ones of the fresh identities too."""
        self.runs = runs
        self.fresh.difference_update(unpack(packed))


def pack(identities: list[bytes]) -> Iterator[bytes]:
    """Packs identities into as few records as the size limit allows."""
    for start in range(0, len(identities), IDS_PER_RECORD):
        yield b"".join(identities[start : start + IDS_PER_RECORD])


def unpack(packed: bytes) -> Iterable[bytes]:
    """Splits a packed record; its length must be whole identities."""
    if len(packed) % ID_BYTES:
        raise ValueError("a record of event.ids.v1 does not hold whole identities")
    return (packed[at : at + ID_BYTES] for at in range(0, len(packed), ID_BYTES))
