"""Dead letters for people and programs: lists without any content, originals with their numbers masked."""

import base64
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from processor.cli.masking import masked, masked_key, masked_text, pretty
from processor.cli.money import show_time
from processor.stream.letters import Letter, Place


def print_letters(
    letters: Sequence[Letter], counted: Counter[str], replayed: Collection[Place], *, as_json: bool
) -> None:
    """Prints what the meter noted about each letter, and how many there are of each reason."""
    if as_json:
        found = [_facts(letter) | {"replayed": letter.place in replayed} for letter in letters]
        click.echo(pretty({"total": counted.total(), "by_reason": dict(counted), "letters": found}))
        return
    if letters:
        table = Table("letter", "parked (UTC)", "reason", Column("tenant", overflow="fold"), "topic", "tries", "what")
        for letter in letters:
            table.add_row(
                letter.id + (" ✓" if letter.place in replayed else ""),
                show_time(letter.parked_at),
                letter.reason,
                Text(masked_key(letter.key or b"")),
                letter.topic,
                str(letter.attempts + 1),
                Text(letter.message),
            )
        Console().print(table)
    if counted.total() > len(letters):
        click.echo(f"… the newest {len(letters):,} of {counted.total():,}")
    click.echo(", ".join(f"{count:,} {reason}" for reason, count in counted.most_common()) or "no dead letters")


def print_letter(letter: Letter, *, replayed: bool, reveal: bool, as_json: bool) -> None:
    """Prints one letter with its original."""
    headers = [(name, _text(value or b"", reveal=reveal)) for name, value in letter.headers]
    original = letter.value
    if as_json:
        document = _facts(letter, reveal=reveal) | {"replayed": replayed, "headers": headers}
        if original is not None:
            document |= _revealed(original) if reveal else {"value": masked(original)}
        click.echo(pretty(document))
        return
    for name, fact in _facts(letter, reveal=reveal).items():
        click.echo(f"{name.replace('_', ' '):14}{'–' if fact is None else fact}")
    click.echo(f"{'replayed':14}{'yes' if replayed else 'no'}")
    for name, text in headers:
        click.echo(f"{'header':14}{name}: {text}")
    click.echo()
    if original is None:
        click.echo(
            f"no value: {letter.omitted_bytes:,} bytes are where it came from" if letter.omitted_bytes else "no value"
        )
    else:
        click.echo(original.decode("utf-8", "backslashreplace") if reveal else masked(original))


def _facts(letter: Letter, *, reveal: bool = False) -> dict[str, Any]:
    key = letter.key
    return {
        "letter": letter.id,
        "reason": letter.reason,
        "message": letter.message,
        "stage": letter.stage,
        "key": None if key is None else key.decode("utf-8", "replace") if reveal else masked_key(key),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "arrived_at": f"{letter.arrived_at:%Y-%m-%dT%H:%M:%SZ}",
        "parked_at": f"{letter.parked_at:%Y-%m-%dT%H:%M:%SZ}",
        "parked_by": letter.version,
        "tries": letter.attempts + 1,
    }


def _text(value: bytes, *, reveal: bool) -> str:
    text = value.decode("utf-8", "backslashreplace")
    return text if reveal else masked_text(text)


def _revealed(value: bytes) -> dict[str, str]:
    """Bytes that are no text are for programs that know base64."""
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}
