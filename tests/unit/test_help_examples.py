"""The help of every command: examples that it takes, and a whole line for each command of a group."""

import inspect
import re
from collections.abc import Iterator

import click
import pytest

from tests.docs.pages import command_in, commands, parse

GROUPS = {name: command for name, command in commands() if isinstance(command, click.Group)}
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


def test_every_option_says_what_it_is_for() -> None:
    options = [(name, each) for name, found in commands() for each in found.params if isinstance(each, click.Option)]
    assert [f"{name} {each.opts[0]}" for name, each in options if not each.help and not each.hidden] == []


@pytest.mark.parametrize("name", GROUPS)
def test_the_help_of_a_group_has_a_whole_line_for_each_command(name: str) -> None:
    context = click.Context(GROUPS[name], info_name=name, terminal_width=80)
    lines = GROUPS[name].get_help(context).splitlines()
    for command in GROUPS[name].list_commands(context):
        (place,) = [number for number, line in enumerate(lines) if re.match(rf"  {command} ", line)]
        assert lines[place].endswith("."), "too long: give it a short_help"
        assert not lines[place].endswith("..."), "too long: give it a short_help"
