"""`credits topics`: creates the topics on a cluster and checks them."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from processor.cli.acls import acls
from processor.cli.common import CommandFailed, broker_errors, brokers_option, client_conf, json_option, make_settings

if TYPE_CHECKING:
    from processor.stream.topics import Applied, Problem

DAY_MS = 86_400_000


@click.group("topics")
def topics_group() -> None:
    """Create the topics and check that a cluster has them right."""


@topics_group.command(short_help="Create what is missing and set what has drifted.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=8,
    show_default=True,
    help="Of every topic, fixed for life; 4 or more per worker process you will ever want, 64 in production.",
)
@click.option(
    "--replication", type=click.IntRange(1, 15), default=1, show_default=True, help="Copies; 3 in production."
)
@brokers_option
@json_option
def apply(partitions: int, replication: int, brokers: str | None, as_json: bool) -> None:
    """Create what is missing and set drifted settings as declared in schemas/asyncapi.yaml.

    Can be repeated. Partition counts and replication of existing topics are never changed. With 3 copies
    min.insync.replicas is 2, so that an acknowledged write survives the loss of a broker.

    \b
    Examples:
      credits topics apply
      credits topics apply --brokers kafka-1:9092,kafka-2:9092 --partitions 64 --replication 3
    """
    from processor.stream import topics

    settings = make_settings(brokers=brokers)
    conf = client_conf(settings)
    with broker_errors(conf):
        try:
            done = topics.apply(settings.brokers, partitions, replication, conf, settings.deduplication_days)
        except TimeoutError as error:
            raise CommandFailed(f"{error}: look at the brokers' logs and repeat") from error
    if as_json:
        _print_json(asdict(done))
    elif not done.problems:
        _show_applied(done, partitions)
    _end(done.problems, "Nothing was changed.", as_json)


@topics_group.command()
@brokers_option
@json_option
def verify(brokers: str | None, as_json: bool) -> None:
    """Check that every topic exists and can be trusted with money.

    Compares partition counts, cleanup, retention, min.insync.replicas and record sizes with schemas/asyncapi.yaml.
    Longer retention and larger limits are fine; segment sizes are yours to tune.

    \b
    Example:
      credits topics verify --brokers kafka-1:9092
    """
    from processor.stream import topics

    settings = make_settings(brokers=brokers)
    conf = client_conf(settings)
    with broker_errors(conf):
        problems = topics.verify(settings.brokers, conf, settings.deduplication_days)
    if as_json:
        _print_json({"problems": [asdict(problem) for problem in problems]})
    elif not problems:
        click.echo(f"{len(topics.declared())} topics on {settings.brokers} are as declared.")
    _end(problems, "", as_json)


def _show_applied(done: "Applied", partitions: int) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from processor.stream import topics

    state = dict.fromkeys(done.created, "created") | dict.fromkeys(done.unchanged, "as declared")
    for change in done.altered:
        note = f"{change.setting} {change.before or 'unset'} → {change.after}"
        state[change.topic] = f"{state[change.topic]}, {note}" if change.topic in state else note
    table = Table(Column("topic", no_wrap=True), "partitions", "cleanup", "kept", "now")
    for name, spec in topics.declared().items():
        table.add_row(name, str(partitions), spec.config["cleanup.policy"], _kept(spec.config), state[name])
    Console().print(table)


def _kept(config: Mapping[str, str]) -> str:
    kept_ms = config.get("retention.ms")
    return f"{int(kept_ms) // DAY_MS} days" if kept_ms else "newest per tenant"


def _print_json(document: object) -> None:
    import orjson

    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def _end(problems: "list[Problem]", conclusion: str, as_json: bool) -> None:
    """Ends with exit code 1 if there are problems, after telling a person about each."""
    if not problems:
        return
    if not as_json:
        alike: dict[tuple[str, str], list[str]] = {}
        for problem in problems:
            alike.setdefault((problem.problem, problem.remedy), []).append(problem.topic)
        for (what, remedy), names in alike.items():
            click.echo(f"{', '.join(names)}: {what}\n  {remedy}")
        if conclusion:
            click.echo(conclusion)
    sys.exit(1)


topics_group.add_command(acls)
