"""`credits verify`: recomputes every balance from the ledger and compares it with the published state."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from processor.cli.common import brokers_option, client_conf, json_option, make_settings
from processor.contracts import inputs, topics
from processor.domain.audit import AuditedEntry, AuditedState, Books, Findings
from processor.domain.audit_recharges import AuditedCommand, AuditedResult, Recharges
from processor.domain.errors import InputRejected
from processor.domain.messages import RechargeDecided

if TYPE_CHECKING:
    from confluent_kafka import Message

SHOWN: Final = 20
PARTITIONS_AT_ONCE: Final = 16
"""Bounds the memory: the ids of applied events are kept for the partitions being read. Each turn costs 0.3 s."""


class _EntryRecord(msgspec.Struct, gc=False):
    data: AuditedEntry


class _CommandRecord(msgspec.Struct, gc=False):
    data: AuditedCommand


_decode_entry = msgspec.json.Decoder(_EntryRecord).decode
_decode_command = msgspec.json.Decoder(_CommandRecord).decode
_decode_state = msgspec.json.Decoder(AuditedState).decode


class Report(msgspec.Struct):
    """What was checked and what was found; the `--json` output, with a finding per line of the table."""

    tenants: int
    entries: int
    recharges: int
    partial_tenants: int
    seconds: float
    drifts: int
    findings: list[dict[str, str]]


@click.command()
@brokers_option
@json_option
def verify(brokers: str | None, as_json: bool) -> None:
    """Recompute every balance from the ledger and compare it with the published state.

    May run at any time, also while workers are busy. Proves that no ledger entry is missing or doubled, that every
    event was applied once, that entries, lots and overdraft make up each balance to the micro, and that every recharge
    was asked for and credited once. Where retention has removed a tenant's first entries, only the rest is checked.

    \b
    Examples:
      credits verify
      credits verify --json | jq .drifts
    """
    settings = make_settings(brokers=brokers)
    report = audit(client_conf(settings))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report)
    if report.drifts:
        sys.exit(1)


def audit(conf: Mapping[str, Any]) -> Report:
    """Reads states, commands, ledger and results, in this order, and judges them.

    Raises `TopicMissing` and `BrokerUnreachable`.
    """
    from processor.cli.reading import partitions_of, read_committed

    began = time.monotonic()
    findings = Findings()
    books = Books(findings)
    recharges = Recharges(findings, books)
    for tenant, state in _states(conf).items():
        books.state(tenant, state)
    for message in read_committed(conf, topics.RECHARGE_COMMANDS):
        recharges.command(_decode_command(_value(message)).data)
    partitions = range(partitions_of(conf, topics.LEDGER))
    for first in partitions[::PARTITIONS_AT_ONCE]:
        for message in read_committed(conf, topics.LEDGER, partitions[first : first + PARTITIONS_AT_ONCE]):
            entry = _decode_entry(_value(message)).data
            books.entry(entry)
            if entry.kind == "recharge":
                recharges.entry(entry)
        books.end_of_partitions()
    _read_results(conf, recharges)
    recharges.close()
    stateless = books.stateless()
    books.close(stateless - _states(conf).keys() if stateless else set())
    return Report(
        tenants=books.tenants,
        entries=books.entries,
        recharges=recharges.count,
        partial_tenants=books.partial,
        seconds=round(time.monotonic() - began, 3),
        drifts=findings.count,
        findings=[msgspec.to_builtins(finding) for finding in findings.kept],
    )


def _states(conf: Mapping[str, Any]) -> dict[str, AuditedState]:
    """Reads the latest state of every tenant."""
    from processor.cli.reading import read_committed

    states: dict[str, AuditedState] = {}
    for message in read_committed(conf, topics.ACCOUNT_STATE):
        tenant, value = (message.key() or b"").decode(), message.value()
        if value is None:
            states.pop(tenant, None)
        else:
            states[tenant] = _decode_state(value)
    return states


def _read_results(conf: Mapping[str, Any], recharges: Recharges) -> None:
    """Reads the results that the meter accepts; the others it parks, and they decide nothing."""
    from processor.cli.reading import read_committed

    seen: set[int] = set()
    for message in read_committed(conf, topics.RECHARGE_RESULTS):
        if message.partition() not in seen:
            seen.add(message.partition())
            recharges.results_trimmed |= message.offset() > 0
        try:
            event = inputs.decode(topics.RECHARGE_RESULTS, message.value(), message.headers())
        except InputRejected:
            continue
        assert isinstance(event, RechargeDecided)  # noqa: S101 - what the topic accepts
        data = event.data
        result = AuditedResult(data.recharge_id, data.tenant_id, data.status, data.amount_micros, data.decided_at)
        recharges.result(event.source, event.id, result)


def _value(message: "Message") -> bytes:
    value: bytes | None = message.value()
    assert value is not None, "the meter writes no empty records to this topic"  # noqa: S101
    return value


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    if report.findings:
        table = Table(Column("tenant", overflow="fold"), "at", "drift", Column("what", overflow="fold"))
        for finding in report.findings[:SHOWN]:
            table.add_row(finding["tenant_id"], finding["at"], finding["kind"], finding["message"])
        Console().print(table)
        if report.drifts > SHOWN:
            click.echo(f"… and {report.drifts - SHOWN:,} more")
    checked = f"{report.tenants:,} tenants, {report.entries:,} entries, {report.recharges:,} recharges"
    found = f"{report.drifts:,} drifts" if report.drifts else "no drift"
    click.echo(f"{checked}: {found} ({report.entries / max(report.seconds, 0.001):,.0f} entries/s)")
    if report.partial_tenants:
        click.echo(
            f"{report.partial_tenants:,} tenants were checked in part: retention has removed their first entries"
        )
