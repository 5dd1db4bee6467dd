"""`credits verify`: recomputes every balance from the ledger and compares it with the published state."""

import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from processor.cli.common import brokers_option, client_conf, json_option, make_settings, serve_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from processor.cli.auditing import Report

SHOWN: Final = 20
BEAT_S: Final = 1.0


@click.command()
@click.option("--follow", is_flag=True, help="Go on in rounds until SIGTERM, and export what is found as metrics.")
@click.option(
    "--every", type=click.FloatRange(min=1), default=60, show_default=True, help="Seconds between rounds of --follow."
)
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), default=9470, show_default=True, help="Of --follow; 0 is off."
)
@brokers_option
@json_option
def verify(follow: bool, every: float, metrics_port: int, brokers: str | None, as_json: bool) -> None:
    """Recompute every balance from the ledger and compare it with the published state.

    May run at any time, also while workers are busy. Proves that no ledger entry is missing or doubled, that every
    event was applied once, that entries, lots and overdraft make up each balance to the micro, and that every recharge
    was asked for and credited once. Where retention has removed a tenant's first entries, only the rest is checked.

    With --follow it stays: the first round reads everything, the following ones what has come since. Each drift is
    logged, and credits_audit_drifts is above 0 until the auditor is started again.

    \b
    Examples:
      credits verify
      credits verify --json | jq .drifts
      credits verify --follow --every 30
    """
    from processor.cli.auditing import Audit

    conf = client_conf(make_settings(brokers=brokers))
    if follow:
        if as_json:
            raise click.UsageError("--follow writes log lines, which are JSON where nobody watches: leave --json out")
        sys.exit(1 if _follow(conf, every, metrics_port) else 0)
    report = Audit(conf).round()
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report)
    if report.drifts:
        sys.exit(1)


def _follow(conf: "Mapping[str, Any]", every_s: float, port: int) -> int:
    """Audits until it is told to stop; returns how many drifts were found."""
    import structlog
    from prometheus_client import CollectorRegistry, ProcessCollector

    from processor.cli.auditing import Audit
    from processor.observability import logging as log_setup
    from processor.observability.auditor import Auditor

    log_setup.configure()
    log = structlog.get_logger()
    registry = CollectorRegistry()
    auditor = Auditor(registry, every_s)
    ProcessCollector(registry=registry)
    serve_metrics(port, registry, auditor.live, auditor.ready)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _told_to_stop)
    audit, told, drifts = Audit(conf, follow=True, alive=auditor.alive), set[tuple[str, ...]](), 0
    log.info("auditor started", every_s=every_s, port=port)
    try:
        while True:
            report = audit.round()
            drifts = report.drifts
            for finding in report.findings:
                if (drift := tuple(finding.values())) not in told:
                    told.add(drift)
                    log.error("drift", **finding)
            auditor.audited(entries=report.entries, drifts=drifts, seconds=report.seconds)
            log.info("audited", entries=report.entries, drifts=drifts, seconds=report.seconds, tenants=report.tenants)
            rest_until = time.monotonic() + every_s
            while (left_s := rest_until - time.monotonic()) > 0:
                auditor.alive()
                time.sleep(min(BEAT_S, left_s))
    except _Stopped:
        log.info("auditor stopped", drifts=drifts)
    return drifts


class _Stopped(Exception):  # noqa: N818 - no error
    """A signal asked to stop. The auditor writes nothing, so it may stop anywhere."""


def _told_to_stop(*_: object) -> None:
    raise _Stopped


def _show(report: "Report") -> None:
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
