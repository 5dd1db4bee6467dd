"""Whatever the code has a name for, a page explains; and no page explains what is not there."""

import ast
import re
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from processor.cli.outcomes import REFUSALS
from processor.contracts import topics
from processor.domain import coverage, metering, recharge
from processor.domain.deck_lint import Kind
from processor.domain.errors import REASONS
from processor.domain.ledger import EntryKind, NoticeKind
from processor.domain.tariff import Row, billed_seconds
from processor.observability.auditor import Auditor
from processor.observability.registry import worker_registry
from processor.payments.counters import Payments
from processor.settings import Settings
from processor.stream.dead_letters import PREFIX
from processor.stream.failpoints import Step
from tests.docs.pages import DOCS, commands, first_cells, reference

REFERENCE = DOCS / "reference"
REASONS_PAGE = REFERENCE / "reasons.md"
PROTOCOL = DOCS / "explanation" / "exactly-once.md"


@pytest.mark.parametrize("name", list(reference()["PAGES"]))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text("utf-8") == reference()["PAGES"][name](), "run `make reference`"


def test_every_setting_is_documented() -> None:
    text = (REFERENCE / "settings.md").read_text()
    assert [name for name in Settings.model_fields if f"| `{name}` | `CREDITS_{name.upper()}` |" not in text] == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_metric_is_documented() -> None:
    others = CollectorRegistry()
    Payments(others)
    Auditor(others, every_s=60)
    families = [*worker_registry().collect(), *others.collect()]
    names = [family.name + ("_total" if family.type == "counter" else "") for family in families]
    assert first_cells(REFERENCE / "metrics.md") == names
    assert [family.name for family in families if not family.documentation] == []


def test_every_topic_is_documented() -> None:
    assert first_cells(REFERENCE / "topics.md")[: len(topics.ALL)] == list(topics.ALL)
    assert set(topics.ALL) <= set(first_cells(REFERENCE / "messages.md"))


def test_every_command_and_option_is_documented() -> None:
    text = (REFERENCE / "command-line.md").read_text()
    for name, command in commands():
        if name == "credits":
            continue
        assert f"\n## {name}\n" in text
        section = re.split(r"\n## ", text.split(f"\n## {name}\n", 1)[1], maxsplit=1)[0]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"{option.opts[-1]}" in section, f"{name} {option.opts[-1]}"


def test_every_reason_for_a_dead_letter_is_documented() -> None:
    assert first_cells(REASONS_PAGE, "Dead letters")[: len(REASONS)] == list(REASONS)


def test_every_header_of_a_dead_letter_is_documented() -> None:
    shown = {name for name in first_cells(DOCS / "how-to" / "operate.md", "Dead letters") if name.startswith(PREFIX)}
    names = (
        "topic",
        "partition",
        "offset",
        "timestamp",
        "stage",
        "reason",
        "message",
        "processor_version",
        "omitted_bytes",
    )
    assert shown == {PREFIX + name for name in names}


def test_every_reason_of_coverage_is_documented_with_its_decision() -> None:
    covers = {cover for cover in vars(coverage).values() if isinstance(cover, coverage.Cover)}
    text = REASONS_PAGE.read_text()
    assert set(first_cells(REASONS_PAGE, "Who pays for a leg")) == {cover.reason for cover in covers}
    assert [cover for cover in covers if f"| `{cover.reason}` | {cover.decision} |" not in text] == []


def test_every_reason_of_a_rejected_command_is_documented() -> None:
    assert set(first_cells(REASONS_PAGE, "Rejected commands")) == set(REFUSALS) == rejections()


def rejections() -> set[str]:
    """Returns the reasons in the code: what `refuse` is called with, and what `amount_refused` returns."""
    found: set[str] = set()
    modules = [ast.parse(path.read_text()) for path in Path(metering.__file__).parent.glob("*.py")]
    for node in (node for module in modules for node in ast.walk(module)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "refuse":
            found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
        elif isinstance(node, ast.FunctionDef) and node.name == "amount_refused":
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            constants = [part for value in returned for part in ast.walk(value) if isinstance(part, ast.Constant)]
            found |= {constant.value for constant in constants if isinstance(constant.value, str)}
    return found


@pytest.mark.parametrize(
    ("page", "section"),
    [(REASONS_PAGE, "Why no payment is asked for"), (DOCS / "explanation" / "recharge.md", "When it is decided")],
)
def test_every_guard_of_a_recharge_is_documented(page: Path, section: str) -> None:
    guards = [name for name in first_cells(page, section) if not name.startswith("credits")]
    assert set(guards) == set(get_args(recharge.Refusal))


def test_every_kind_of_entry_notice_and_finding_in_a_deck_is_documented() -> None:
    messages = REFERENCE / "messages.md"
    assert set(first_cells(messages, "Ledger entries")) == set(get_args(EntryKind))
    assert set(first_cells(messages, "Notices")) == {f"credits.{kind}.v1" for kind in get_args(NoticeKind)}
    assert set(first_cells(DOCS / "how-to" / "rate-decks.md", "Check before use")) == set(get_args(Kind))


def test_the_steps_of_the_protocol_are_those_of_the_code() -> None:
    text = PROTOCOL.read_text()
    assert re.findall(r"^\| \*\*([A-Z]\d)\*\* \|", text, re.MULTILINE) == ordered(get_args(Step))
    table = text.split("| dies after |", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| ([A-Z]\d)\b", table, re.MULTILINE)) == set(get_args(Step))


def ordered(steps: tuple[str, ...]) -> list[str]:
    return sorted(steps, key=lambda step: ("WABR".index(step[0]), step))


@pytest.mark.parametrize("step", get_args(Step))
def test_a_step_of_the_protocol_is_done_in_the_file_that_the_page_names(step: str) -> None:
    row = next(line for line in PROTOCOL.read_text().splitlines() if line.startswith(f"| **{step}** |"))
    files = re.findall(r"`(stream/\w+\.py)`", row)
    sources = [(Path(metering.__file__).parents[1] / file).read_text() for file in files]
    assert any(f'failpoints.done("{step}")' in source or step in source for source in sources)


def test_the_table_of_billed_seconds_is_what_the_code_bills() -> None:
    text = (DOCS / "explanation" / "money.md").read_text()
    head = re.search(r"^\| seconds \| (.*) \|$", text, re.MULTILINE)
    assert head is not None
    increments = [tuple(map(int, cell.split("/"))) for cell in head[1].split(" | ")]
    rows = re.findall(r"^\| (\d+) \| ([\d |]+) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    minute = Row(prefix="1", destination="d", type="t", country="US", rate_micros_per_min=1)
    for seconds, cells in rows:
        for (first, following), billed in zip(increments, map(int, cells.split(" | ")), strict=True):
            row = msgspec.structs.replace(minute, initial_s=first, increment_s=following)
            assert billed_seconds(int(seconds), row) == billed
