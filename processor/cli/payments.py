"""`credits payment-worker`: charges what auto-pay asks for."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from processor.cli.common import (
    BrokerUnreachable,
    CommandFailed,
    StoppedItself,
    brokers_option,
    check_tracing,
    client_conf,
    make_settings,
    serve_metrics,
)
from processor.cli.reading import partitions_of
from processor.contracts import topics

if TYPE_CHECKING:
    from processor.observability.health import Health
    from processor.payments.inbox import Inbox
    from processor.payments.provider import PaymentProvider
    from processor.payments.simulated import Behaviour
    from processor.payments.worker import OnDecided, PaymentWorker
    from processor.settings import Settings

GROUP = "credits-payments"


@click.command("payment-worker")
@click.option(
    "--provider",
    type=click.Choice(["simulated", "stripe"]),
    default="simulated",
    show_default=True,
    help="Who charges the cards; simulated ones move no money.",
)
@brokers_option
@click.option("--group", default=GROUP, show_default=True, help="Consumer group; also prefixes the transactional id.")
@click.option("--instance", help="Stable name of this worker. Without it the data directory keeps one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Holds the worker's name, its inbox and the simulated provider's books.  [env: CREDITS_DATA_DIR]",
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
    "--latency",
    type=click.FloatRange(0, 60),
    default=0.15,
    show_default=True,
    help="Mean seconds a simulated charge takes.",
)
@click.option(
    "--decline-rate",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of simulated charges that are declined.",
)
@click.option(
    "--decline-code",
    "decline_codes",
    multiple=True,
    default=["card_declined"],
    show_default=True,
    help="Reason of a simulated decline; of several, one is drawn.",
)
@click.option(
    "--timeout-rate",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of simulated charges whose first answer is lost.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Decides, with the recharge id, what the simulation does."
)
@click.option(
    "--crash-after-charge",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="For tests: share of charges after which the worker dies (exit 137) before it can publish the result.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of /metrics, /live and /ready; 0 is off.",
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
    decline_codes: tuple[str, ...],
    timeout_rate: float,
    seed: int,
    crash_after_charge: float,
    metrics_port: int,
    debug: bool,
) -> None:
    """Charge what auto-pay asks for and publish each result exactly once.

    Reads recharge.commands.v1 and writes recharge.results.v1. The provider is asked under the recharge id as its
    idempotency key, and the inbox remembers every answer, so a worker that is killed at any point charges nobody
    twice. Run several with a data directory each; Ctrl-C or SIGTERM finishes the charges under way first, for at
    most CREDITS_SHUTDOWN_TIMEOUT_S.

    With `--provider stripe`, CREDITS_STRIPE_API_KEY is the key, and the payment method of an account is
    `cus_…/pm_…`.

    \b
    Example:
      credits payment-worker --decline-rate 0.05 --decline-code expired_card
    """
    from prometheus_client import REGISTRY

    from processor.observability import logging as log_setup
    from processor.observability.health import Health
    from processor.payments.simulated import Behaviour
    from processor.payments.worker import Limits, PaymentWorker
    from processor.stream.instance import DataDir, DataDirBusyError

    settings = make_settings(brokers=brokers, data_dir=data_dir, instance=instance)
    log_setup.configure("debug" if debug else "info")
    check_tracing(settings)
    for topic in (topics.RECHARGE_COMMANDS, topics.RECHARGE_RESULTS):
        partitions_of(client_conf(settings), topic)  # complains when it does not exist
    try:
        held = DataDir(settings.data_dir / "payments", settings.instance)
    except DataDirBusyError as busy:
        raise CommandFailed(str(busy)) from None
    behaviour = Behaviour(
        latency_s=latency,
        decline_rate=decline_rate,
        decline_codes=decline_codes,
        crash_after_charge=crash_after_charge,
        lost_answers=timeout_rate,
        seed=seed,
    )
    limits = Limits(
        concurrency=concurrency,
        session_timeout_s=settings.session_timeout_s,
        grace_s=settings.shutdown_timeout_s / 2,  # the other half is for the commit
    )
    charging = _stripe(settings) if provider == "stripe" else _simulated(books or held.path / "books.sqlite", behaviour)
    inbox = _inbox(settings, held.path)
    name = held.instance.removeprefix("meter-")
    worker = PaymentWorker(
        settings.kafka_python(),
        charging,
        inbox,
        group=group,
        instance=name,
        limits=limits,
        on_turn=lambda: health.turned(),
        on_decided=_spans(settings, charging.name, name),
    )
    # A turn of the loop takes as long as a batch, at most as long as the group waits for one.
    health = Health(lambda: worker.is_member, lambda: worker.committing_since, limits.max_poll_interval_s)
    serve_metrics(metrics_port, REGISTRY, health.live, health.ready)
    try:
        _run(worker, settings, health)
    finally:
        charging.close()
        inbox.close()


def _simulated(books: Path, behaviour: Behaviour) -> PaymentProvider:
    from processor.payments.simulated import SimulatedProvider

    return SimulatedProvider(str(books), behaviour)


def _spans(settings: Settings, provider: str, instance: str) -> OnDecided:
    if not settings.tracing_endpoint:
        return lambda *_: None
    from processor.observability.tracing import PaymentSpans, open_tracer

    return PaymentSpans(open_tracer(settings.tracing_endpoint, "credits-payment-worker", instance), provider)


def _stripe(settings: Settings) -> PaymentProvider:
    key = settings.stripe_api_key.get_secret_value()
    if not key:
        raise click.UsageError(
            "--provider stripe needs an API key: set CREDITS_STRIPE_API_KEY, or put it into the file"
            " credits_stripe_api_key of the secrets directory"
        )
    try:
        from processor.payments.stripe import StripeProvider
    except ImportError:
        raise CommandFailed('the Stripe provider needs an extra: pip install "communication-credits[stripe]"') from None
    return StripeProvider(key, api_base=settings.stripe_api_base)


def _inbox(settings: Settings, directory: Path) -> Inbox:
    from processor.payments.inbox import Inbox, InboxUnusable

    url = settings.payment_inbox_url.get_secret_value() or f"sqlite:///{(directory / 'inbox.sqlite').absolute()}"
    try:
        return Inbox(url)
    except InboxUnusable as error:
        raise CommandFailed(f"{error} (CREDITS_PAYMENT_INBOX_URL)") from error


def _run(worker: PaymentWorker, settings: Settings, health: Health) -> None:
    """Runs the worker until a signal; every way in which it can end has its exit code."""
    from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError
    from sqlalchemy.exc import OperationalError

    from processor.payments.batch import UndecodableCommand
    from processor.payments.provider import ProviderMisconfigured

    def stop(*_: object) -> None:
        health.stopping()
        worker.stop()
        if not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, settings.shutdown_timeout_s)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGALRM, _give_up)
    try:
        worker.run()
    except ProviderMisconfigured as error:
        raise CommandFailed(f"{error}. Nothing is lost: mend it and start again.") from error
    except UndecodableCommand as error:
        raise StoppedItself(
            f"{topics.RECHARGE_COMMANDS} holds a record that is no recharge command: {error}."
            " Nothing was skipped; stop the meter and look at the record."
        ) from error
    except OperationalError as error:
        raise StoppedItself(f"the payment inbox does not answer, nothing is lost: {error.orig}") from error
    except (KafkaConnectionError, KafkaTimeoutError) as error:
        raise BrokerUnreachable(settings.brokers) from error
    except KafkaError as error:
        raise StoppedItself(f"the running batch was not committed, {type(error).__name__}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # Python gives signals their defaults back before it ends


def _give_up(*_: object) -> None:
    """Ends as a kill would, which is as safe: a broker or a provider that hangs must not hold up a deployment."""
    sys.stderr.write("Error: not done in time, ended without committing; the batch is read again at the next start\n")
    sys.stderr.flush()
    os._exit(StoppedItself.exit_code)
