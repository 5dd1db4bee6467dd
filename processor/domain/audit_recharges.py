"""Proves from commands, results, ledger and state that every recharge was asked for once and credited once.

Read in this order, each to where it ends then: states, commands, ledger, results. Whatever has consequences in an
earlier reading then has its cause in a later one.
"""

from datetime import datetime

from msgspec import Struct

from processor.domain.audit import Books, Findings
from processor.domain.audit_records import AuditedEntry
from processor.domain.money import Micros, show


class AuditedCommand(Struct, gc=False):
    """What the audit reads of a recharge command."""

    recharge_id: str
    tenant_id: str
    sequence: int
    attempt: int
    amount_micros: Micros
    requested_at: datetime


class AuditedResult(Struct, gc=False):
    """What the audit reads of a recharge result."""

    recharge_id: str
    tenant_id: str
    status: str
    amount_micros: Micros
    decided_at: datetime


class _Asked(Struct):
    """One recharge: the attempts to ask for it, the decisive results, and the events that said it succeeded."""

    recharge_id: str
    amount_micros: Micros
    requested_at: datetime
    attempts: set[int]
    statuses: set[str]
    decided_at: datetime | None = None
    credits: int = 0


class Recharges:
    """Call `command` for all of them, then `entry` for the ledger's of kind `recharge`, `result`, then `close`."""

    def __init__(self, findings: Findings, books: Books) -> None:
        self.results_trimmed = False
        """Whether retention has removed results, so that a cause may be gone whose consequence is still there."""
        self._findings = findings
        self._books = books
        self._asked: dict[str, dict[int, _Asked]] = {}
        self._by_id: dict[str, _Asked] = {}
        self._entries: list[AuditedEntry] = []
        self._successes: dict[tuple[str, str, str], AuditedResult] = {}
        self._earliest: datetime | None = None

    @property
    def count(self) -> int:
        """How many recharges were asked for."""
        return len(self._by_id)

    def command(self, command: AuditedCommand) -> None:
        """Takes the next command of a tenant, in the order of its partition."""
        asked = self._asked.setdefault(command.tenant_id, {})
        known = asked.get(command.sequence)
        last = next(reversed(asked), command.sequence - 1)
        note = self._findings.add
        if known is None:
            if command.sequence != last + 1:
                note("sequence_hole", command.tenant_id, command.recharge_id, f"the command before was number {last}")
            known = asked[command.sequence] = self._by_id[command.recharge_id] = _Asked(
                command.recharge_id, command.amount_micros, command.requested_at, {command.attempt}, set()
            )
            return
        if command.attempt in known.attempts:
            note(
                "command_repeated", command.tenant_id, command.recharge_id, f"attempt {command.attempt} was made before"
            )
        elif command.attempt != max(known.attempts) + 1:
            made = max(known.attempts)
            note("attempt_hole", command.tenant_id, command.recharge_id, f"the attempt before was number {made}")
        elif command.sequence != last:
            note("second_in_flight", command.tenant_id, command.recharge_id, f"asked again after number {last}")
        if (command.recharge_id, command.amount_micros) != (known.recharge_id, known.amount_micros):
            note("command_changed", command.tenant_id, command.recharge_id, "asked again under other terms")
        known.attempts.add(command.attempt)

    def entry(self, entry: AuditedEntry) -> None:
        """Takes a ledger entry of kind `recharge`."""
        self._entries.append(entry)

    def result(self, event_source: str, event_id: str, result: AuditedResult) -> None:
        """Takes a result. One about another amount than was asked for is parked by the meter and decides nothing."""
        if self._earliest is None or result.decided_at < self._earliest:
            self._earliest = result.decided_at
        if result.status == "succeeded":
            self._successes[result.tenant_id, event_source, event_id] = result
        asked = self._by_id.get(result.recharge_id)
        if asked is not None and result.amount_micros == asked.amount_micros:
            asked.statuses.add(result.status)
            asked.decided_at = result.decided_at

    def close(self) -> None:
        """Judges what only the end shows."""
        for entry in self._entries:
            self._credited(entry)
        for tenant, asked in self._asked.items():
            for sequence, recharge in asked.items():
                self._settled(tenant, recharge, succeeded_by=asked.get(sequence + 1))
        self._states_agree()

    def _credited(self, entry: AuditedEntry) -> None:
        """A recharge entry needs a successful result, and a result has one entry."""
        at = f"r{entry.revision}"
        result = self._successes.get((entry.tenant_id, entry.event_source, entry.event_id))
        if result is None or result.amount_micros != entry.amount_micros:
            if not self._may_be_gone(entry.occurred_at):
                self._findings.add(
                    "recharge_without_result",
                    entry.tenant_id,
                    at,
                    f"no successful result over {show(entry.amount_micros, entry.currency)} has id {entry.event_id}",
                )
            return
        asked = self._by_id.get(result.recharge_id)
        if asked is None:
            return  # the command's retention has passed
        asked.credits += 1
        if asked.credits > 1:
            self._findings.add(
                "recharge_credited_twice", entry.tenant_id, at, f"{result.recharge_id} is credited before"
            )

    def _settled(self, tenant: str, recharge: _Asked, succeeded_by: _Asked | None) -> None:
        """The next command proves that the meter applied a result of this one; so does the state's memory."""
        state = self._books.state_of(tenant)
        remembered = state is not None and any(
            known.recharge_id == recharge.recharge_id and known.status == "succeeded"
            for known in state.recharge.decided
        )
        if succeeded_by is not None and not recharge.statuses and not self._may_be_gone(recharge.requested_at):
            self._findings.add(
                "second_in_flight",
                tenant,
                succeeded_by.recharge_id,
                f"asked for while {recharge.recharge_id} had no result",
            )
        applied = remembered or (succeeded_by is not None and recharge.statuses == {"succeeded"})
        if applied and not recharge.credits and not self._entry_may_be_gone(tenant, recharge):
            self._findings.add(
                "recharge_not_credited",
                tenant,
                recharge.recharge_id,
                "it succeeded, and no ledger entry adds the money",
            )

    def _states_agree(self) -> None:
        """A recharge in flight has its command: the state is read first, and both are written together."""
        for state in self._books.states():
            in_flight, attempt = state.recharge.in_flight, state.recharge.attempt
            if in_flight is None:
                continue
            asked = self._by_id.get(in_flight)
            if asked is None:
                self._findings.add("command_missing", state.tenant_id, in_flight, "in flight, and never asked for")
            elif attempt not in asked.attempts:
                self._findings.add(
                    "command_missing", state.tenant_id, in_flight, f"attempt {attempt} was made, and never asked for"
                )

    def _may_be_gone(self, at: datetime) -> bool:
        return self.results_trimmed and (self._earliest is None or at <= self._earliest)

    def _entry_may_be_gone(self, tenant: str, recharge: _Asked) -> bool:
        trimmed = self._books.trimmed_before(tenant)
        decided = recharge.decided_at
        return trimmed is not None and (decided is None or decided <= trimmed)
