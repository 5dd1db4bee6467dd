"""`credits settings`: what the other commands would use, and where each value comes from."""

import os
import tomllib
from pathlib import Path

import click

from processor.cli.common import PREFIX, brokers_option, json_option, make_settings, own_variables


@click.command()
@brokers_option
@json_option
def settings(brokers: str | None, as_json: bool) -> None:
    """Show the effective settings and where each comes from; secrets are masked.

    Flags win over files in the secrets directory, those over CREDITS_… in the environment, and that over the TOML
    file (credits.toml, or the one that CREDITS_CONFIG names).

    \b
    Example:
      CREDITS_RECHARGE_MAX_PER_DAY=3 credits settings
    """
    from pydantic import SecretStr

    effective = make_settings(brokers=brokers)
    values: dict[str, object] = {}
    for name in type(effective).model_fields:
        value = getattr(effective, name)
        values[name] = ("**********" if value.get_secret_value() else "") if isinstance(value, SecretStr) else value
    sources = _sources(effective.model_config.get("secrets_dir"), {"brokers"} if brokers else set())
    if as_json:
        import orjson

        document = {name: {"value": value, "source": sources.get(name, "default")} for name, value in values.items()}
        click.echo(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2))
    else:
        _print(values, sources, {name: field.description or "" for name, field in type(effective).model_fields.items()})


def _sources(secrets: object, flags: set[str]) -> dict[str, str]:
    """Returns where the settings that are not at their default come from, by the precedence of the settings model."""
    found: dict[str, str] = {}
    file = Path(os.environ.get("CREDITS_CONFIG", "credits.toml"))
    if file.is_file():
        found.update(dict.fromkeys(tomllib.loads(file.read_text("utf-8")), str(file)))
    found.update(own_variables())
    prefix = PREFIX.lower()
    for directory in [secrets] if isinstance(secrets, str | Path) else secrets if isinstance(secrets, list) else []:
        for path in Path(directory).glob("*"):
            if path.name.lower().startswith(prefix):
                found[path.name.lower().removeprefix(prefix)] = str(path)
    found.update(dict.fromkeys(flags, "flag"))
    return found


def _print(values: dict[str, object], sources: dict[str, str], descriptions: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "source", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "setting")
    for name, value in values.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
        source = sources.get(name, "default")
        table.add_row(
            name, Text(shown), Text(source, "" if name in sources else "dim"), Text(descriptions[name], "dim")
        )
    Console().print(table)
