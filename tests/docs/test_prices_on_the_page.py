"""The prices in the guide to rate decks are what `credits rates price` says.

They are those of the public card where it is at hand. It is not ours to ship: elsewhere the rows that the page quotes
make the deck, which proves everything but the card's own figures.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from processor.cli import main
from processor.contracts.vendor_card import import_card
from processor.domain import money
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "how-to" / "rate-decks.md").read_text("utf-8")
SECTION = PAGE.split("## Ten prices\n", 1)[1].split("\n## ", 1)[0]
CARD = ROOT.parent / "shared" / "data" / "communication-services-pstn-rates.csv"
COLUMNS = ("number", "seconds", "increment", "prefix", "destination", "type", "country", "rate", "billed", "charge")
PRICES = [
    dict(zip(COLUMNS, (cell.strip(" `") for cell in line.strip("|").split("|")), strict=True))
    for line in SECTION.splitlines()
    if line.startswith("| `+")
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the deck of the page and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("CREDITS_RATES", "CREDITS_DEFAULT_CURRENCY", "CREDITS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    text = import_card(CARD) if CARD.exists() else "\n".join(quoted_rows())
    (tmp_path / "carrier.csv").write_text(text, "utf-8")
    return tmp_path


def quoted_rows() -> Iterator[str]:
    """Yields a deck of the rows on the page, and of the shorter prefixes that it says match as well."""
    names = ("prefix", "destination", "type", "country")
    yield ",".join([*names, "rate_per_min"])
    yield from (",".join([*(price[name] for name in names), price["rate"]]) for price in PRICES)
    for listed in re.findall(r"\(longer than ([\d, ]+)\)", SECTION):
        yield from (f"{prefix},Shorter,landline,ZZ,1" for prefix in listed.split(", "))


def run(command: str) -> Result:
    return CliRunner().invoke(main, shlex.split(command)[1:])


def test_the_page_has_ten_prices() -> None:
    assert len(PRICES) == 10


@pytest.mark.parametrize("price", PRICES, ids=lambda price: price["number"])
def test_a_price_of_the_table_is_what_the_command_says(here: Path, price: dict[str, str]) -> None:
    flags = f"--seconds {price['seconds']} --increment {price['increment']} --rates carrier.csv --json"
    said = json.loads(run(f"credits rates price {price['number']} {flags}").output)
    assert (said["prefix"], said["destination"]) == (price["prefix"], price["destination"])
    assert (said["type"], said["country"]) == (price["type"], price["country"])
    assert said["rate_micros_per_min"] == money.parse(price["rate"])
    assert said["billed_seconds"] == int(price["billed"])
    assert said["charge_micros"] == money.parse(price["charge"])


def test_the_steps_on_the_page_are_what_the_command_prints(here: Path) -> None:
    [block] = re.findall(r"```console\n\$ (.*?)```", SECTION, re.DOTALL)
    command, _, expected = block.partition("\n")
    printed = run(command).output
    if not CARD.exists():  # another content, another version
        expected, printed = (re.sub(r"version \w{12}", "version", text) for text in (expected, printed))
    assert printed == expected


def test_the_errors_that_the_page_mentions_are_found_in_its_deck(here: Path) -> None:
    found = json.loads(run("credits rates lint carrier.csv --json").output)
    assert "44844" in {finding.get("prefix") for finding in found if finding["kind"] == "premium_as_landline"}
