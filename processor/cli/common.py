"""What every command shares: options, settings with flags above the environment, and errors with exit codes.

Exit codes: 0 done, 1 found a problem, 2 wrong usage, 70 stopped on an unexpected error, 75 the broker is out of reach.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from pydantic import ValidationError

    from processor.observability.health import Check
    from processor.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

PREFIX = "CREDITS_"
ALIKE = 0.8
"""How much of a variable's name is that of a setting when it is taken for a slip of the pen; 1 is all of it."""

CONNECT_TIMEOUT_S = 5.0
"""How long a broker may take for its first answer: long enough for another continent, short enough for a person."""


class CommandFailed(click.ClickException):
    """The command found a problem and says so in one sentence; nothing is broken."""

    exit_code = 1


class StoppedItself(click.ClickException):
    """A long-running command met something that must not happen, and stopped before it could do harm."""

    exit_code = 70


class BrokerUnreachable(click.ClickException):
    """No broker answered."""

    exit_code = 75

    def __init__(self, brokers: str) -> None:
        super().__init__(
            f"broker cannot be reached at {brokers}: is it running? start one with `credits kafka up`,"
            " or set CREDITS_BROKERS"
        )


class TopicMissing(CommandFailed):
    """The topic has not been created on this cluster."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist: create the topics with `credits topics apply`")


def brokers_option(command: Command) -> Command:
    """Adds `--brokers`; the command receives `brokers: str | None` and hands it to `make_settings`."""
    return click.option(
        "--brokers",
        metavar="HOST:PORT,…",
        help="Kafka bootstrap servers.  [env: CREDITS_BROKERS; default: 127.0.0.1:9092]",
    )(command)


def json_option(command: Command) -> Command:
    """Adds `--json`; the command receives `as_json: bool`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for programs: money in integer micros, times in UTC."
    )(command)


def timeout_option(command: Command) -> Command:
    """Adds `--timeout`; the command receives seconds."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help="Seconds to wait for the worker's answer.",
    )(command)


def id_option(command: Command) -> Command:
    """Adds `--id`; the command receives `command_id: str | None`."""
    return click.option(
        "--id",
        "command_id",
        metavar="ID",
        callback=_command_id,
        help="The command's id; of several under one id, one is applied (for 35 days).  [default: a new one]",
    )(command)


def tenant_argument(command: Command) -> Command:
    """Adds the tenant as the first argument."""
    return click.argument("tenant", metavar="TENANT", callback=_tenant)(command)


def make_settings(**flags: object) -> Settings:
    """Builds the settings; flags that were given win over the environment, `None` means not given.

    Raises `click.UsageError` (exit 2) that names the setting and says what is wrong with it.
    """
    import tomllib

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from processor.settings import Settings

    config = os.environ.get("CREDITS_CONFIG")
    if config is not None and not Path(config).is_file():
        raise click.UsageError(f"CREDITS_CONFIG names a file that does not exist: {config}")
    _refuse_misspelt(["config", *Settings.model_fields])
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise click.UsageError(_explain(error)) from None
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"the settings cannot be read: {error}") from None


def own_variables() -> dict[str, str]:
    """Returns the names of the variables that begin as settings do, by the setting that each would be."""
    return {name[len(PREFIX) :].lower(): name for name in os.environ if name.upper().startswith(PREFIX)}


def client_conf(settings: Settings) -> dict[str, Any]:
    """Returns the librdkafka configuration of a command: like a worker's, but silent, as commands report themselves."""
    return {**settings.librdkafka(), "log_level": 0}


def serve_metrics(port: int, registry: CollectorRegistry, live: Check, ready: Check) -> None:
    """Serves /metrics, /live and /ready, unless the port is 0; raises `CommandFailed` when it is taken."""
    from processor.observability.http import serve

    if port:
        try:
            serve(port, registry, live, ready)
        except OSError:
            raise CommandFailed(
                f"metrics port {port} is in use: choose another with --metrics-port, or 0 for none"
            ) from None


def check_tracing(settings: Settings) -> None:
    """Raises `CommandFailed` when spans are asked for and what sends them is not installed."""
    if settings.tracing_endpoint:
        try:
            from processor.observability import tracing  # noqa: F401 - to see whether it can be
        except ImportError:
            raise CommandFailed(
                'CREDITS_TRACING_ENDPOINT needs an extra: pip install "communication-credits[tracing]"'
            ) from None


@contextmanager
def broker_errors(conf: Mapping[str, Any]) -> Iterator[None]:
    """Turns what librdkafka raises into errors with the documented exit codes; `conf` is `client_conf(settings)`."""
    from confluent_kafka import KafkaError, KafkaException

    try:
        yield
    except KafkaException as error:
        cause = error.args[0]
        silent = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)  # noqa: SLF001
        if cause.code() in silent:
            raise unreachable(conf) from error
        raise CommandFailed(f"the broker at {conf['bootstrap.servers']} refused: {cause.str()}") from error


def unreachable(conf: Mapping[str, Any]) -> click.ClickException:
    """Returns the error for a broker without an answer: what is wrong with certificate or user, if that is why."""
    from processor.cli.connecting import refusal

    said = refusal(conf)
    return CommandFailed(said) if said else BrokerUnreachable(conf["bootstrap.servers"])


def _tenant(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not 0 < len(value) <= 128:
        raise click.BadParameter("a tenant id has 1 to 128 characters")
    return value


def _command_id(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not 0 < len(value) <= 256:
        raise click.BadParameter("a command's id has 1 to 256 characters")
    return value


def _refuse_misspelt(settings: list[str]) -> None:
    """Refuses variables that are nearly a setting: who means a limit must not run without it.

    All others are let be, as they may be of another program.
    """
    others = {asked: name for asked, name in own_variables().items() if asked not in settings}
    if not others:
        return
    from difflib import get_close_matches

    for asked, name in sorted(others.items()):
        if meant := get_close_matches(asked, settings, 1, ALIKE):
            raise click.UsageError(
                f"{name} is no setting: did you mean {PREFIX}{meant[0].upper()}? Correct or unset it."
            )


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = ".".join(map(str, fault["loc"]))
        subject = f"setting {name} ({PREFIX}{name.upper()})" if name else "settings"
        lines.append(f"{subject}: {fault['msg']}")
    return "; ".join(lines)
