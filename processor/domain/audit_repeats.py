"""Finds events that were applied twice, at eight bytes per ledger entry.

A digest of every entry's cause is remembered. Two that agree are only a suspicion: of a thousand million entries, two
different ones agree once in forty audits. Who reads them again knows.
"""

from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np

from processor.domain.audit_records import AuditedEntry

_NOTHING: Final = np.empty(0, np.int64)

Cause = tuple[str, str, str, str]


def cause(entry: AuditedEntry) -> Cause | None:
    """Returns what happens once only: an event yields at most one entry of each kind.

    Expiry is due to time, and only noticed by an event.
    """
    if entry.kind == "expiry":
        return None
    return entry.tenant_id, entry.kind, entry.event_source, entry.event_id


class Repeats:
    """Digests of the entries so far. With `remembered`, of so many of the latest at least and twice as many at most."""

    def __init__(self, remembered: int | None = None) -> None:
        self._remembered = remembered
        self._new = array("q")
        self._sealed = _NOTHING
        self._older = _NOTHING

    def add(self, entry: AuditedEntry) -> None:
        """Takes an entry."""
        if (known := cause(entry)) is not None:
            self._new.append(hash(known))

    def suspects(self) -> set[int]:
        """Returns the digests that came more than once, of which one is an entry added since the last call."""
        new = np.sort(np.frombuffer(self._new, np.int64)) if self._new else _NOTHING
        self._new = array("q")
        found = set(new[1:][new[1:] == new[:-1]].tolist())
        for known in (self._sealed, self._older):
            if len(known) and len(new):
                at = np.minimum(known.searchsorted(new), len(known) - 1)
                found.update(new[known[at] == new].tolist())
        if self._remembered is not None and len(self._sealed) + len(new) > self._remembered:
            self._older, self._sealed = self._sealed, _NOTHING
        self._sealed = np.sort(np.concatenate((self._sealed, new)), kind="stable")  # merges what is sorted
        return found

    def forget(self) -> None:
        """Starts over: whatever comes next has nothing to do with what came before."""
        self._sealed = self._older = _NOTHING


def repeated(entries: Iterable[AuditedEntry], suspects: set[int]) -> Iterable[AuditedEntry]:
    """Reads entries again and yields those whose cause has had an entry before."""
    seen: set[Cause] = set()
    for entry in entries:
        known = cause(entry)
        if known is not None and hash(known) in suspects:
            if known in seen:
                yield entry
            seen.add(known)
