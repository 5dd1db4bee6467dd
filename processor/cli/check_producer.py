"""`credits check-producer`: reads what a producer wrote, tells what the worker would not take and how to mend it."""

import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
import msgspec

from processor.cli.common import CommandFailed, brokers_option, client_conf, json_option, make_settings
from processor.cli.producer_faults import Examination, Finding
from processor.contracts import topics

if TYPE_CHECKING:
    from confluent_kafka import Message


class Report(msgspec.Struct):
    """The `--json` output. `ready` is true when there is no fault; warnings do not count."""

    topic: str
    partitions: int
    records: int
    ready: bool
    findings: list[Finding]


@click.command("check-producer")
@click.argument(
    "topic", metavar="TOPIC", type=click.Choice([name for name in topics.INPUTS if name != topics.USAGE_REROUTED])
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000_000),
    default=100_000,
    show_default=True,
    help="Records to read at most, an equal share of each partition's newest.",
)
@click.option(
    "--follow",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Judge what arrives within this time instead of what is there.",
)
@brokers_option
@json_option
def check_producer(topic: str, limit: int, follow: float | None, brokers: str | None, as_json: bool) -> None:
    """Judge a producer by the records that it wrote, before it goes live.

    Reads TOPIC, one of the input topics, and reports, each with its count, the place of the first one and the setting
    to change: missing and wrong keys; records in the wrong partition, and which partitioner put them there; what the
    schema does not allow, with its JSON path; times that cannot be; ids that come twice. Nothing is written and no
    group is joined.

    Faults are what the worker would park or forward: the exit code is 1. Warnings would be better mended.

    \b
    Examples:
      credits check-producer usage.call.v1
      credits check-producer usage.conference.v1 --follow 60 --json
    """
    from processor.cli.reading import partitions_of

    settings = make_settings(brokers=brokers)
    conf = client_conf(settings)
    examination = Examination(topic, partitions_of(conf, topic), settings.policy)
    for record in islice(_records(conf, topic, examination.placement.partitions, limit, follow), limit):
        examination.add(record)
    if not examination.records:
        raise CommandFailed(f"{topic} held no record to judge: let the producer write some, or wait with --follow 60")
    findings = examination.findings()
    faults = sum(finding.severity == "fault" for finding in findings)
    report = Report(topic, examination.placement.partitions, examination.records, not faults, findings)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report, faults)
    sys.exit(0 if report.ready else 1)


def _records(
    conf: Mapping[str, Any], topic: str, partitions: int, limit: int, follow: float | None
) -> "Iterator[Message]":
    """Yields what is there, from each partition an equal share of the newest, or what arrives."""
    from processor.cli.reading import Tail, read_committed

    if follow is None:
        yield from read_committed(conf, topic, newest=-(-limit // partitions))
        return
    with Tail(conf, [(topic, number) for number in range(partitions)]) as tail:
        yield from tail.messages(follow)


def _show(report: Report, faults: int) -> None:
    for finding in report.findings:
        click.secho(f"{finding.severity} {finding.fault}", bold=True, nl=False)
        click.echo(f": {finding.detail}")
        click.echo(
            f"  {_count(finding.records, 'record')}, the first in partition {finding.partition} at {finding.offset}"
        )
        click.echo(f"  → {finding.remedy}")
    verdict = "ready" if report.ready else "not ready"
    found = f"{_count(faults, 'fault')}, {_count(len(report.findings) - faults, 'warning')}"
    click.echo(f"{report.topic}: {verdict}: {found} in {_count(report.records, 'record')}")


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
