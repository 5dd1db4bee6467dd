"""What a person follows or types from the pages exists: links, headings, commands, options, make targets."""

import re
from pathlib import Path

import click
import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, commands_on, name_of, parse, prose_of, targets

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose_of(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_credits_command_on_a_page_is_one_that_the_command_line_takes(page: Path) -> None:
    wrong = []
    for line in commands_on(page, "credits"):
        try:
            parse(line)
        except (click.UsageError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_command_on_a_page_names_targets_of_the_makefile(page: Path) -> None:
    asked = {word for line in commands_on(page, "make") for word in line.split()[1:] if "=" not in word}
    assert asked <= targets()


def test_every_page_is_on_the_map() -> None:
    on_the_map = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "index.md").read_text())}
    assert [name_of(page) for page in DOCS.rglob("*.md") if page not in on_the_map and page.name != "index.md"] == []


def test_every_picture_is_on_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert {path.name for path in (DOCS / "images").iterdir()} == {
        path.name for path in shown if path.suffix in (".png", ".svg")
    }


@pytest.mark.parametrize(
    "line",
    [
        "credits nonsense",
        "credits worker --nonsense",
        "credits fund a 1 2",
        "credits topics nonsense",
        "credits fund --timeout",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


def test_commands_are_found_in_blocks_and_spans_up_to_their_end(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Try `credits demo`, not `credits …`.\n\n```sh\n$ A=1 .venv/bin/credits verify --json | jq .\n"
        "credits topics apply \\\n  --partitions 8   (once)\n```\n\n```text\ncredits nonsense\n```\n"
    )
    assert list(commands_on(page, "credits")) == [
        "credits demo",
        "credits verify --json",
        "credits topics apply    --partitions 8",
    ]


def test_the_readme_is_one_of_the_pages() -> None:
    assert ROOT / "README.md" in PAGES
