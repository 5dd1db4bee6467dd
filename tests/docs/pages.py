"""The pages that people read, and what stands on them."""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from processor.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

SHELLS = ("sh", "bash", "console", "shell")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_FENCE_OR_SPAN = re.compile(
    r"^```(?P<language>\w*)\n(?P<block>.*?)^```|(?<!`)`(?P<span>[^`\n]+)`", re.MULTILINE | re.DOTALL
)
_OTHERS = ("kubectl ", "go run ")
"""Programs that are never only named in a span."""

_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")
_ENVIRONMENT = re.compile(r"[A-Z_]+=\S*")
_REST = re.compile(r"\s(?:\||>|>>|2>|&&|;|&)(?:\s|$)|\s{2,}[(#]|\s#\s")
"""Where a command ends: a pipe, a redirection, the next command, a comment."""


def reference() -> dict[str, Any]:
    """Returns the names of `scripts/reference`."""
    return runpy.run_path(str(ROOT / "scripts" / "reference"))


def name_of(page: Path) -> str:
    """Names a page in the output of a test."""
    return str(page.relative_to(ROOT))


def prose_of(page: Path) -> str:
    """Returns a page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def commands_on(page: Path, program: str) -> Iterator[str]:
    """Yields every command line of `program` on a page: in code blocks and in code spans, up to what follows it."""
    text = page.read_text("utf-8")
    candidates = [span for span in _SPAN.findall(prose_of(page)) if "…" not in span]
    for language, block in _FENCE.findall(text):
        if language in SHELLS:
            candidates += block.replace("\\\n", " ").splitlines()
    for candidate in candidates:
        found = command_in(candidate, program)
        if found is not None:
            yield found


def typed(page: Path) -> list[str]:
    """Returns what a person types on the way through a page: the lines of shell blocks, and whole commands in spans.

    A span is a whole command when it has more words than the command's name, and no placeholder among them.
    """
    lines: list[str] = []
    for found in _FENCE_OR_SPAN.finditer(page.read_text("utf-8")):
        if found["span"] is not None:
            lines += [found["span"]] if _is_whole(found["span"]) else []
        elif found["language"] in SHELLS:
            block = found["block"].replace("\\\n", " ").splitlines()
            wanted = "$ " if found["language"] == "console" else ""
            lines += [line.strip() for line in block if line.startswith(wanted) and not line.startswith("#")]
    return [line for line in lines if line]


def _is_whole(span: str) -> bool:
    if span.startswith(_OTHERS):
        return True
    command = command_in(span, "credits")
    if command is None or "…" in span or _PLACEHOLDER.search(span):
        return False
    return len(shlex.split(command)) > len(parse(command))


def command_in(line: str, program: str) -> str | None:
    """Returns the command line of `program` without prompt, environment and whatever follows it; `None` for others."""
    words = line.strip().removeprefix("$ ").split(" ")
    while words and _ENVIRONMENT.fullmatch(words[0]):
        words.pop(0)
    command = " ".join(words).removeprefix(".venv/bin/")
    if command != program and not command.startswith(f"{program} "):
        return None
    return _REST.split(command)[0].strip()


def parse(line: str) -> list[str]:
    """Resolves a `credits` command line as click would, without running it; returns the path of the command.

    Raises `click.UsageError` for an unknown command, an unknown option, an option without its value or too many
    arguments. Values are not looked at: they may be placeholders.
    """
    command: click.Command = main
    context = click.Context(main, info_name="credits")
    words, path = shlex.split(line)[1:], ["credits"]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name == "COMMAND":  # stands for any of them
            return path
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no such command: {' '.join([*path, name])}")
        command, context = found, click.Context(found, info_name=name, parent=context, **found.context_settings)
        path.append(name)
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    rest = command.make_parser(context).parse_args(words)[1] if words else []
    if rest and not any(argument.nargs == -1 for argument in arguments):
        raise click.UsageError(f"too many arguments: {rest}")
    return path


def commands(
    command: click.Command = main, path: tuple[str, ...] = ("credits",)
) -> Iterator[tuple[str, click.Command]]:
    """Yields every command with its full name."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


def targets() -> set[str]:
    """Returns the targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Returns what a link may point at inside a page: its headings, as GitHub writes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(slug)
    return found


def first_cells(page: Path, section: str = "") -> list[str]:
    """Returns the code spans in the first column of a page's tables, or of those below one heading."""
    text = page.read_text("utf-8")
    if section:
        text = re.split(r"^## ", text.split(f"## {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return [name for row in re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE) for name in _SPAN.findall(row)]
