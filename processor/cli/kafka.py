"""`credits kafka`: the embedded broker on the command line."""

import signal
from pathlib import Path
from types import FrameType

import click

from processor.embedded import artifacts
from processor.embedded.broker import EmbeddedBroker
from processor.embedded.cluster import EmbeddedCluster
from processor.embedded.errors import BrokerError


@click.group("kafka")
def kafka_group() -> None:
    """Run a real Kafka broker without Docker, for trying things out and for tests."""


@kafka_group.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Port on 127.0.0.1.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here and go on with them next time. Without it they are gone when the broker stops.",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 5),
    default=1,
    show_default=True,
    help="A cluster of so many, on the port and those behind it; with 3 any one may fail. 500 MB of memory each.",
)
def up(port: int, data_dir: Path | None, nodes: int) -> None:
    """Run a Kafka 4.1 broker in the foreground until Ctrl-C.

    On 127.0.0.1 only, without passwords: never for production. The first start fetches Kafka from Maven Central
    (about 45 MB), later ones need no network and take about 4 seconds.

    \b
    Example:
      credits kafka up --data-dir ./kafka-data
      credits topics apply          (in a second terminal)
    """
    signal.signal(signal.SIGTERM, _interrupt)
    broker = EmbeddedBroker(port, data_dir) if nodes == 1 else EmbeddedCluster(nodes, port, data_dir)
    try:
        with broker:
            kept = f"data in {data_dir}" if data_dir else "data are gone at stop"
            click.echo(f"Kafka {artifacts.KAFKA_VERSION} is ready on {broker.bootstrap} ({kept}). Ctrl-C stops it.")
            broker.wait()
    except KeyboardInterrupt:
        click.echo("Kafka has stopped.", err=True)
    except BrokerError as error:
        raise click.ClickException(str(error)) from error


@kafka_group.command(short_help="Download Kafka now, so that no start needs a network.")
def fetch() -> None:
    """Download what the embedded broker needs, so that it starts without a network afterwards.

    Does nothing when all of it is there already.

    \b
    Example:
      credits kafka fetch
    """
    try:
        jars = artifacts.jars()
        java = artifacts.java()
    except BrokerError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Kafka {artifacts.KAFKA_VERSION}: {len(jars)} jars in {artifacts.cache_dir()}")
    click.echo(f"Java: {java}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
