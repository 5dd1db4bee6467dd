"""`credits payment-conformance`: judges any payment worker by what it does on a real broker."""

import shlex
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from processor.cli.common import CommandFailed, TopicMissing, client_conf, json_option, make_settings
from processor.contracts import topics

if TYPE_CHECKING:
    from processor.payments.conformance.verdict import Check

SHOWN = 3


@click.command("payment-conformance")
@click.option(
    "--cmd",
    "command",
    required=True,
    metavar="COMMAND",
    help="Starts the worker, in the foreground. {brokers} and {directory} are replaced; the directory outlives kills.",
)
@click.option(
    "--book",
    metavar="COMMAND",
    help="Prints what the provider has charged, a recharge id per line, successes only; run when the worker has ended.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides what is asked, in which order, and when.")
@click.option("--tenants", type=click.IntRange(1, 1000), default=20, show_default=True, help="Accounts to ask for.")
@click.option("--recharges", type=click.IntRange(1, 1000), default=5, show_default=True, help="Per tenant.")
@click.option(
    "--rounds", type=click.IntRange(2, 100), default=6, show_default=True, help="The worker is disturbed between them."
)
@click.option(
    "--payment-method", default="card-1", show_default=True, help="What the commands name as the payment method."
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=90.0,
    show_default=True,
    metavar="SECONDS",
    help="Without a new result the worker is stuck. A killed consumer's partitions wait for its session to end.",
)
@click.option(
    "--stop-within",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="For SIGTERM.",
)
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="Where the worker's output goes; else it is shown"
)
@click.option(
    "--brokers",
    metavar="HOST:PORT,…",
    help="A test cluster. Without it, a Kafka of its own is started on this machine.",
)
@json_option
def payment_conformance(
    command: str,
    book: str | None,
    seed: int,
    tenants: int,
    recharges: int,
    rounds: int,
    payment_method: str,
    patience: float,
    stop_within: float,
    log: Path | None,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Judge any payment worker, in any language, by what it does with a meter's commands.

    It is asked for the same recharges several times, in disorder and again after they were answered; it is killed,
    frozen and started again in the middle of its work. Then every result is held against the contract. The exit code
    is 0 only if every check holds. Use your provider's test mode: commands are charged.

    \b
    Example:
      credits payment-conformance --cmd "./worker --kafka {brokers}" --seed 7
    """
    from processor.cli.conformance_run import Limits, Meter, Worker, run
    from processor.payments.conformance.plan import make
    from processor.payments.conformance.verdict import judge

    name = uuid.uuid4().hex[:8]
    plan = make(name, seed, rounds, tenants, recharges, payment_method, datetime.now(UTC))
    directory = Path(tempfile.mkdtemp(prefix="credits-conformance-"))
    output = log or directory / "worker.log"
    try:
        with _cluster(brokers) as conf, Meter(conf, name) as meter:
            with Worker(command, conf["bootstrap.servers"], directory, output) as worker:
                limits = Limits(patience_s=patience, stop_s=stop_within)
                seen = run(plan, worker, meter, limits, seed, lambda line: click.echo(line, err=True))
            if book is not None:
                seen = _with_book(seen, book.replace("{directory}", str(directory)))
            checks = judge(plan, seen)
            good = all(check.holds for check in checks)
            if not good and log is None:
                _show(output)
            (_print_json if as_json else _print)(checks, seed, len(plan.wanted), worker.starts)
            sys.exit(0 if good else 1)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _cluster(brokers: str | None) -> Iterator[dict[str, Any]]:
    """Gives the client configuration of a cluster with the topics, and with no commands of anybody else."""
    from processor.cli.reading import end_offsets, partitions_of
    from processor.stream import topics as stream_topics

    if brokers is None:
        from processor.embedded.broker import EmbeddedBroker
        from processor.embedded.errors import BrokerError

        try:
            click.echo("starting Kafka", err=True)
            with EmbeddedBroker() as broker:
                stream_topics.apply(broker.bootstrap, 8, 1)
                yield client_conf(make_settings(brokers=broker.bootstrap))
        except BrokerError as error:
            raise CommandFailed(str(error)) from error
        return
    conf = client_conf(make_settings(brokers=brokers))
    try:
        parts = partitions_of(conf, topics.RECHARGE_COMMANDS)
        partitions_of(conf, topics.RECHARGE_RESULTS)
    except TopicMissing as missing:
        raise CommandFailed(f"{missing.message}, on a cluster for tests") from None
    if any(end_offsets(conf, ((topics.RECHARGE_COMMANDS, part) for part in range(parts))).values()):
        raise CommandFailed(
            f"{topics.RECHARGE_COMMANDS} on {brokers} holds commands, which the worker would charge:"
            " name a cluster for tests with empty topics, or leave --brokers out"
        )
    yield conf


def _with_book(seen: Any, command: str) -> Any:
    from msgspec import structs

    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"--book failed with {done.returncode}: {done.stderr.strip()[-500:]}")
    ours = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return structs.replace(seen, book=ours)


def _show(output: Path) -> None:
    if output.exists():
        lines = output.read_text(errors="replace").splitlines()[-15:]
        click.echo("the worker's last words:\n" + "\n".join(f"  {line}" for line in lines), err=True)


def _print_json(checks: list["Check"], seed: int, recharges: int, starts: int) -> None:
    import orjson

    document = {
        "conforms": all(check.holds for check in checks),
        "seed": seed,
        "recharges": recharges,
        "starts": starts,
        "checks": [
            {"check": check.name, "rule": check.rule, "holds": check.holds, "problems": check.problems}
            for check in checks
        ],
    }
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _print(checks: list["Check"], seed: int, recharges: int, starts: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("check", "verdict", "rule, and what broke it"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        more = len(check.problems) - SHOWN
        lines = [check.rule, *check.problems[:SHOWN], *([f"… and {more} more"] if more > 0 else [])]
        table.add_row(check.name, "[green]holds[/]" if check.holds else "[red]broken[/]", escape("\n  ".join(lines)))
    console = Console()
    console.print(table)
    broken = sum(not check.holds for check in checks)
    words = f"{broken} of {len(checks)} checks broken" if broken else "the worker conforms"
    console.print(f"\n{words}: {recharges} recharges, {starts} starts, seed {seed}")
