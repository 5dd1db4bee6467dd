"""`credits payment-worker`: charges what auto-pay asks for."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from processor.cli.common import (
    BrokerUnreachable,
    CommandFailed,
    StoppedItself,
    brokers_option,
    client_conf,
    make_settings,
)
from processor.cli.reading import partitions_of
from processor.contracts import topics

if TYPE_CHECKING:
    from processor.payments.simulated import Behaviour
    from processor.payments.worker import Limits
    from processor.settings import Settings

GROUP = "credits-payments"


@click.command("payment-worker")
@click.option("--provider", type=click.Choice(["simulated"]), default="simulated", show_default=True)
@brokers_option
@click.option("--group", default=GROUP, show_default=True, help="Consumer group; also prefixes the transactional id.")
@click.option("--instance", help="Stable name of this worker. Without it the data directory keeps one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Holds the worker's name and the simulated provider's books.  [env: CREDITS_DATA_DIR]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="Charges under way at once; one per tenant.",
)
@click.option(
    "--books",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file in which the simulated provider remembers its charges.",
)
@click.option(
    "--latency", type=click.FloatRange(0, 60), default=0.15, show_default=True, help="Mean seconds a charge takes."
)
@click.option(
    "--decline-rate", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of declined charges."
)
@click.option("--decline-code", default="card_declined", show_default=True, help="Reason given for a decline.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides, with the recharge id, what is declined.")
@click.option(
    "--crash-after-charge",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="For tests: share of charges after which the worker dies (exit 137) before it can publish the result.",
)
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Prometheus port; 0 is off."
)
@click.option("--debug", is_flag=True, help="Log every decision.")
def payment_worker(
    provider: str,
    brokers: str | None,
    group: str,
    instance: str | None,
    data_dir: Path | None,
    concurrency: int,
    books: Path | None,
    latency: float,
    decline_rate: float,
    decline_code: str,
    seed: int,
    crash_after_charge: float,
    metrics_port: int,
    debug: bool,
) -> None:
    """Charge what auto-pay asks for and publish each result exactly once.

    Reads recharge.commands.v1 and writes recharge.results.v1. The provider is asked under the recharge id as its
    idempotency key, so a worker that is killed at any point charges nobody twice. Run several with a data directory
    each; Ctrl-C or SIGTERM finishes the running batch first.

    \b
    Example:
      credits payment-worker --latency 0.3 --decline-rate 0.05
    """
    del provider
    from processor.observability import logging as log_setup
    from processor.payments.simulated import Behaviour
    from processor.payments.worker import Limits
    from processor.stream.instance import DataDir, DataDirBusyError

    settings = make_settings(brokers=brokers, data_dir=data_dir, instance=instance)
    log_setup.configure("debug" if debug else "info")
    for topic in (topics.RECHARGE_COMMANDS, topics.RECHARGE_RESULTS):
        partitions_of(client_conf(settings), topic)  # complains when it does not exist
    try:
        held = DataDir(settings.data_dir / "payments", settings.instance)
    except DataDirBusyError as busy:
        raise CommandFailed(str(busy)) from None
    behaviour = Behaviour(
        latency_s=latency,
        decline_rate=decline_rate,
        decline_code=decline_code,
        crash_after_charge=crash_after_charge,
        seed=seed,
    )
    limits = Limits(concurrency=concurrency, session_timeout_s=settings.session_timeout_s)
    _serve_metrics(metrics_port)
    _run(settings, group, held.instance.removeprefix("meter-"), books or held.path / "books.sqlite", behaviour, limits)


def _run(settings: Settings, group: str, instance: str, books: Path, behaviour: Behaviour, limits: Limits) -> None:
    """Runs the worker until a signal; every way in which it can end has its exit code."""
    from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

    from processor.payments.batch import UndecodableCommand
    from processor.payments.simulated import SimulatedProvider
    from processor.payments.worker import PaymentWorker

    provider = SimulatedProvider(str(books), behaviour)
    worker = PaymentWorker(settings.kafka_python(), provider, group=group, instance=instance, limits=limits)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    try:
        worker.run()
    except UndecodableCommand as error:
        raise StoppedItself(
            f"{topics.RECHARGE_COMMANDS} holds a record that is no recharge command: {error}."
            " Nothing was skipped; stop the meter and look at the record."
        ) from error
    except (KafkaConnectionError, KafkaTimeoutError) as error:
        raise BrokerUnreachable(settings.brokers) from error
    except KafkaError as error:
        raise StoppedItself(f"the running batch was not committed, {type(error).__name__}: {error}") from error
    finally:
        provider.close()


def _serve_metrics(port: int) -> None:
    from prometheus_client import start_http_server

    if port:
        try:
            start_http_server(port)
        except OSError:
            raise CommandFailed(f"metrics port {port} is in use: choose another with --metrics-port") from None
