"""Recomputes every balance from the ledger and compares it with the published state: pure, one pass, while all runs.

The caller reads the state first and the ledger afterwards, so the ledger reaches at least as far as the state. It may
go on in rounds: the states that are new, then the entries that are new. A ledger that retention has trimmed proves
less: a tenant whose first entry is not its first ever starts from the balance before that entry, and its lots are not
compared.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from processor.domain.audit_records import AuditedEntry, AuditedState
from processor.domain.audit_repeats import Repeats, repeated
from processor.domain.money import Micros, show

FindingKind = Literal[
    "revision_hole",
    "revision_repeated",
    "chain_broken",
    "lot_below_zero",
    "overdraft_below_zero",
    "applied_twice",
    "balance_differs",
    "overdraft_differs",
    "lots_differ",
    "ledger_too_short",
    "state_missing",
    "command_repeated",
    "command_changed",
    "command_missing",
    "sequence_hole",
    "attempt_hole",
    "second_in_flight",
    "recharge_not_credited",
    "recharge_credited_twice",
    "recharge_without_result",
]

FINDINGS_KEPT: Final = 1000
"""More drift than anybody reads; the count goes on."""


class Finding(Struct, frozen=True):
    """One drift: whose, at which revision or recharge, and what is wrong in a sentence."""

    kind: FindingKind
    tenant_id: str
    at: str
    message: str


class Findings:
    """Collects what is found, the first ones word by word and all by number."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0

    def add(self, kind: FindingKind, tenant_id: str, at: object, message: str) -> None:
        """Notes one drift."""
        self.count += 1
        if len(self.kept) < FINDINGS_KEPT:
            self.kept.append(Finding(kind, tenant_id, str(at), message))


class _Fold(Struct):
    """A tenant's account as its ledger entries tell it so far; `lots` is None when earlier entries are missing."""

    revision: int = 0
    balance_micros: Micros = 0
    overdraft_micros: Micros = 0
    lots: dict[str, Micros] | None = None
    trimmed_before: datetime | None = None


class Books:
    """Folds the ledger and compares it with the states. A round is `state` for all, `entry` for all, then `close`.

    Memory is constant per tenant, and eight bytes per entry until `forget_events`, or up to `remembered` entries.
    """

    def __init__(self, findings: Findings, remembered: int | None = None) -> None:
        self.entries = 0
        self._findings = findings
        self._states: dict[str, AuditedState] = {}
        self._folds: dict[str, _Fold] = {}
        self._open: set[str] = set()
        """Tenants whose latest state has not been compared."""
        self._lost: set[str] = set()
        self._repeats = Repeats(remembered)

    @property
    def tenants(self) -> int:
        """How many tenants have a state or an entry."""
        return len(self._states.keys() | self._folds.keys())

    @property
    def partial(self) -> int:
        """How many tenants' first entries are gone, so that only the rest was checked."""
        return sum(1 for fold in self._folds.values() if fold.trimmed_before is not None)

    def state(self, tenant_id: str, state: AuditedState | None) -> None:
        """Takes the latest state of a tenant; None is a tombstone."""
        if state is None:
            self._states.pop(tenant_id, None)
            self._open.discard(tenant_id)
            return
        self._states[tenant_id] = state
        self._open.add(tenant_id)
        fold = self._folds.get(tenant_id)
        if fold is not None and fold.revision == state.revision:  # its entries were read in an earlier round
            self._compare(fold, state)

    def states(self) -> Iterable[AuditedState]:
        """Returns the states as they were read."""
        return self._states.values()

    def state_of(self, tenant_id: str) -> AuditedState | None:
        """Returns the state of one tenant as it was read."""
        return self._states.get(tenant_id)

    def trimmed_before(self, tenant_id: str) -> datetime | None:
        """Returns when the first entry that is left was recorded, for a tenant whose earlier ones are gone."""
        fold = self._folds.get(tenant_id)
        return fold.trimmed_before if fold is not None else None

    def stateless(self) -> set[str]:
        """Names the tenants that have entries and no state: new since the states were read, or lost."""
        return self._folds.keys() - self._states.keys()

    def entry(self, entry: AuditedEntry) -> None:
        """Takes the next entry of a tenant, in the order of its partition."""
        self.entries += 1
        tenant = entry.tenant_id
        fold = self._folds.get(tenant)
        if fold is None:
            fold = self._folds[tenant] = self._first(entry)
        elif entry.revision != fold.revision + 1 and not self._follows(fold, entry):
            return
        balance = fold.balance_micros + entry.amount_micros
        if balance != entry.balance_micros:
            told, said = show(balance, entry.currency), show(entry.balance_micros, entry.currency)
            message = f"the balance before and the amount make {told}, the entry says {said}"
            self._findings.add("chain_broken", tenant, f"r{entry.revision}", message)
        fold.revision = entry.revision
        fold.balance_micros = entry.balance_micros
        self._move(fold, entry)
        self._repeats.add(entry)
        if tenant in self._open and (state := self._states[tenant]).revision == entry.revision:
            self._compare(fold, state)

    def suspects(self) -> set[int]:
        """Returns digests of events that may have been applied twice, of the entries since the last call.

        Where there are any, the caller reads all entries of these partitions again, with `confirm`.
        """
        return self._repeats.suspects()

    def confirm(self, entries: Iterable[AuditedEntry], suspects: set[int]) -> None:
        """Judges suspects by all entries of their partitions, read once more."""
        for entry in repeated(entries, suspects):
            message = f"event {entry.event_id} has a {entry.kind} before"
            self._findings.add("applied_twice", entry.tenant_id, f"r{entry.revision}", message)

    def forget_events(self) -> None:
        """Frees the memory for the events: the entries to come are of other tenants."""
        self._repeats.forget()

    def close(self, lost: set[str]) -> None:
        """Judges what only the end shows; `lost` are the tenants still without a state after it was read once more."""
        for tenant in sorted(lost - self._lost):
            self._lost.add(tenant)
            self._findings.add("state_missing", tenant, "", "there are ledger entries and no state")
        for tenant in sorted(self._open):
            state, fold = self._states[tenant], self._folds.get(tenant) or _Fold(lots={})
            if fold.revision < state.revision:
                self._findings.add(
                    "ledger_too_short",
                    tenant,
                    f"r{state.revision}",
                    f"the state is at revision {state.revision}, the ledger ends at {fold.revision}",
                )
            elif state.revision == 0:
                self._compare(_Fold(lots={}), state)
        self._open.clear()

    def _first(self, entry: AuditedEntry) -> _Fold:
        if entry.revision == 1:
            return _Fold(lots={})
        before = entry.balance_micros - entry.amount_micros
        return _Fold(revision=entry.revision - 1, balance_micros=before, trimmed_before=entry.recorded_at)

    def _follows(self, fold: _Fold, entry: AuditedEntry) -> bool:
        """Notes a revision that is not the next one; False when the entry must not be counted."""
        at, expected = f"r{entry.revision}", fold.revision + 1
        if entry.revision < expected:
            self._findings.add("revision_repeated", entry.tenant_id, at, "the ledger has had this revision before")
            return False
        self._findings.add("revision_hole", entry.tenant_id, at, f"revision {expected} is missing before this one")
        fold.balance_micros = entry.balance_micros - entry.amount_micros
        fold.lots = None
        return True

    def _move(self, fold: _Fold, entry: AuditedEntry) -> None:
        """Applies the entry to the lots; what they do not carry of its amount changes the overdraft."""
        lots = fold.lots
        if lots is None:
            return
        moved = 0
        for change in entry.lots:
            moved += change.amount_micros
            left = lots.get(change.lot_id, 0) + change.amount_micros
            if left < 0:
                message = f"{change.lot_id} is left with {show(left, entry.currency)}"
                self._findings.add("lot_below_zero", entry.tenant_id, f"r{entry.revision}", message)
            if left:
                lots[change.lot_id] = left
            else:
                lots.pop(change.lot_id, None)
        fold.overdraft_micros += moved - entry.amount_micros
        if fold.overdraft_micros < 0:
            changed, said = show(moved, entry.currency), show(entry.amount_micros, entry.currency)
            message = f"the lots changed by {changed}, the entry says {said}"
            self._findings.add("overdraft_below_zero", entry.tenant_id, f"r{entry.revision}", message)
            fold.lots = None

    def _compare(self, fold: _Fold, state: AuditedState) -> None:
        """Holds the state against the ledger at the state's revision."""
        self._open.discard(state.tenant_id)
        at = f"r{state.revision}"
        pairs: tuple[tuple[FindingKind, Micros, Micros], ...] = (
            ("balance_differs", fold.balance_micros, state.balance_micros),
            ("overdraft_differs", fold.overdraft_micros, state.overdraft_micros),
        )
        for kind, told, found in pairs if fold.lots is not None else pairs[:1]:
            if told != found:
                ledger, table = show(told, state.currency), show(found, state.currency)
                self._findings.add(kind, state.tenant_id, at, f"the ledger makes {ledger}, the state {table}")
        if fold.lots is None:
            return
        published = {lot.lot_id: lot.remaining_micros for lot in state.lots}
        if published != fold.lots:
            names = sorted(name for name, _ in published.items() ^ fold.lots.items())
            self._findings.add("lots_differ", state.tenant_id, at, f"other remainders in {', '.join(names[:3])}")
