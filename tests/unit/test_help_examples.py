"""The examples in the help of every command are command lines that it takes."""

import inspect
from collections.abc import Iterator

import click
import pytest

from tests.docs.pages import command_in, commands, parse

LEAVES = {name: command for name, command in commands() if not isinstance(command, click.Group)}


def examples(command: click.Command) -> Iterator[str]:
    """Yields the command lines below the word Example, up to the next paragraph."""
    _, _, block = inspect.cleandoc(command.help or "").partition("\nExample")
    lines = block.partition("\n")[2].split("\n\n")[0].replace("\\\n", " ")
    for line in lines.splitlines():
        found = command_in(line, "credits")
        if found is not None:
            yield found


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_shows_an_example_of_itself_that_it_takes(name: str) -> None:
    shown = list(examples(LEAVES[name]))
    assert any(f"{line} ".startswith(f"{name} ") for line in shown), "add an Example to the help"
    for line in shown:
        parse(line)
