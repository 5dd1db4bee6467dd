"""The de-duplication index of one partition: 16-byte identities of applied events, persisted with each debit."""

from collections.abc import Iterable, Iterator
from typing import Final

ID_BYTES: Final = 16
NO_ID: Final = b""
"""Stands where a record that cannot be read would have its identity."""

IDS_PER_RECORD: Final = 50_000
"""Keeps a packed record (800 kB) below the broker's default limit of 1 MB."""


class EventIds:
    """Remembers the identities of a partition's applied events; rebuilt from `event.ids.v1`."""

    def __init__(self) -> None:
        self.fresh: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.fresh)

    def sealed(self, identities: list[bytes]) -> frozenset[bytes]:
        """Returns those of the identities that are remembered, but not in `fresh`."""
        del identities
        return frozenset()

    def restore(self, packed: bytes) -> None:
        """Adds the identities of one record of `event.ids.v1`."""
        self.fresh.update(unpack(packed))


def pack(identities: list[bytes]) -> Iterator[bytes]:
    """Packs identities into as few records as the size limit allows."""
    for start in range(0, len(identities), IDS_PER_RECORD):
        yield b"".join(identities[start : start + IDS_PER_RECORD])


def unpack(packed: bytes) -> Iterable[bytes]:
    """Splits a packed record; its length must be whole identities."""
    if len(packed) % ID_BYTES:
        raise ValueError("a record of event.ids.v1 does not hold whole identities")
    return (packed[at : at + ID_BYTES] for at in range(0, len(packed), ID_BYTES))
