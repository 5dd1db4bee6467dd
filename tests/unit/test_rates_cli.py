"""`credits rates` imports cards, fails on dangerous decks, and explains a price the way the meter finds it."""

import json

import pytest
from click.testing import CliRunner, Result

from processor.cli.rates import rates_group
from processor.domain.tariff import Tariff
from tests.cards import INVENTED
from tests.unit.builders import Meter, call
from tests.unit.test_decks import HEADER, parse

DECK = f"""\
{HEADER},direction,connect_fee,initial_s,increment_s,effective_to,allowed
44,United Kingdom,landline,GB,0.0155,,,60,1,,
447,United Kingdom mobile,mobile,GB,0.155,,0.05,30,6,2026-07-01,
449,United Kingdom premium,premium,GB,1,,,,,,false
1800,Toll-free,toll-free,US,0.03,inbound,,,,,
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory without settings from outside; the sample card and a deck are in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("CREDITS_RATES", "CREDITS_DEFAULT_CURRENCY", "CREDITS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "card.csv").write_bytes(INVENTED.read_bytes())
    (tmp_path / "deck.csv").write_text(DECK)
    return tmp_path


def rates(*arguments: str) -> Result:
    return CliRunner().invoke(rates_group, arguments)


def test_import_writes_a_deck_that_lint_reads_and_fails_on(here):
    done = rates("import", "card.csv", "-o", "carrier.csv")
    assert (done.exit_code, done.output) == (
        0,
        "carrier.csv: 30 rows. Check them: credits rates lint carrier.csv\n",
    )
    written = (here / "carrier.csv").read_text()
    assert written.startswith(f"{HEADER}\n")
    assert "\n44,United Kingdom,landline,GB,0.011\n" in written
    judged = rates("lint", "carrier.csv")
    assert judged.exit_code == 1
    assert "premium_as_landline" in judged.output
    assert "errors, " in judged.output.splitlines()[-1]


def test_import_of_something_else_fails_with_the_line_and_writes_nothing(here):
    done = rates("import", "deck.csv", "-o", "out.csv")
    assert done.exit_code == 1
    assert "deck, line 1: the header is not the vendor's" in done.output
    assert not (here / "out.csv").exists()


def test_lint_of_the_deck_of_the_package_is_clean(here):
    done = rates("lint")
    assert (done.exit_code, done.output) == (0, "No findings.\n")


def test_lint_without_arguments_checks_the_decks_of_the_settings(here, monkeypatch):
    monkeypatch.setenv("CREDITS_RATES", "deck.csv")
    assert "44843" in rates("lint").output


def test_lint_speaks_json_and_warnings_alone_do_not_fail(here):
    (here / "small.csv").write_text(f"{HEADER}\n352,Luxembourg,mixed,LU,0.05\n")
    done = rates("lint", "small.csv", "--json")
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert {finding["severity"] for finding in found} == {"warning"}
    assert {"severity": "warning", "kind": "no_satellite", "prefix": "870", "currency": "USD"}.items() <= next(
        finding for finding in found if finding.get("prefix") == "870"
    ).items()


def test_lint_reports_the_mistakes_of_all_decks_at_once(here):
    for name in ("one", "two"):
        (here / f"{name}.csv").write_text(f"{HEADER}\n+44,UK,landline,GB,1\n")
    done = rates("lint", "one.csv", "deck.csv", "two.csv")
    assert done.exit_code == 1
    assert "one, line 2: prefix" in done.output
    assert "two, line 2: prefix" in done.output


def test_price_explains_every_step(here):
    done = rates("price", "+447911123456", "--seconds", "61", "--at", "2026-03-15T12:00:00Z", "--rates", "deck.csv")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "number    +447911123456, outbound, started 2026-03-15 12:00:00 UTC",
        "prefix    447, the longest that matches (longer than 44)",
        "row       United Kingdom mobile (mobile, GB), in force until 2026-07-01 00:00 UTC",
        f"deck      deck, version {parse(DECK, 'deck').version}",
        "rate      0.155 USD per minute, 0.05 USD to connect",
        "billed    61 s in increments 30/6: 30 + 6 x 6 = 66 s",
        "formula   0.05 + 66 s x 0.155 / 60 = 0.2205",
        "rounding  half up to the micro, once per leg: 0.2205",
        "charge    0.2205 USD",
    ]


def step(name: str, *arguments: str) -> str:
    done = rates("price", *arguments, "--at", "2026-03-15T12:00:00Z", "--rates", "deck.csv")
    assert done.exit_code == 0
    [found] = [line for line in done.output.splitlines() if line.startswith(name)]
    return found.removeprefix(name).strip()


def test_price_shows_what_is_rounded_away(here):
    flags = ("+442079460000", "--seconds", "61")
    assert step("formula", *flags) == "0.00 + 61 s x 0.0155 / 60 = 0.015758333…"
    assert step("rounding", *flags) == "half up to the micro, once per leg: 0.015758"
    assert step("charge", *flags) == "0.015758 USD"


@pytest.mark.parametrize(
    ("seconds", "billed", "charge"),
    [(0, "0 s", "0.00 USD"), (1, "30 s", "0.1275 USD"), (31, "30 + 1 x 6 = 36 s", "0.143 USD")],
)
def test_price_shows_the_intervals_that_are_billed_and_no_fee_without_talk(here, seconds, billed, charge):
    flags = ("+447911123456", "--seconds", str(seconds))
    assert step("billed", *flags) == f"{seconds} s in increments 30/6: {billed}"
    assert step("charge", *flags) == charge


@pytest.mark.parametrize(
    ("currency", "rate", "lines"),
    [
        ("JPY", "30", ["30 JPY per minute", "0 + 60 s x 30 / 60 = 30", "30 JPY"]),
        ("KWD", "0.0055", ["0.0055 KWD per minute", "0.000 + 60 s x 0.0055 / 60 = 0.0055", "0.0055 KWD"]),
    ],
)
def test_price_writes_amounts_with_the_decimals_of_the_currency(here, currency, rate, lines):
    (here / "deck.csv").write_text(f"{HEADER},currency\n44,UK,landline,GB,{rate},{currency}\n")
    flags = ("+442079460000", "--seconds", "60", "--currency", currency)
    assert [step(name, *flags) for name in ("rate", "formula", "charge")] == lines


@pytest.mark.parametrize(("unrateable", "fate"), [("park", "parked in dead.letters.v1"), ("free", "free")])
def test_price_says_what_becomes_of_a_leg_that_no_row_prices(here, monkeypatch, unrateable, fate):
    monkeypatch.setenv("CREDITS_UNRATEABLE", unrateable)
    done = rates("price", "+8612345678", "--seconds", "60", "--rates", "deck.csv")
    assert done.exit_code == 1
    assert f"no_rate: no outbound row of any deck matches the number at the start of the leg: the leg is {fate}" in (
        done.output
    )


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 61, 219])
@pytest.mark.parametrize("callee", ["+442079460000", "+447911123456", "+4490911999"])
def test_price_agrees_with_the_meter(here, callee, seconds):
    flags = ("--at", "2026-03-15T11:59:00Z", "--rates", "deck.csv", "--json")
    shown = json.loads(rates("price", callee, "--seconds", str(seconds), *flags).output)
    meter = Meter()
    meter.tariff = Tariff([parse(DECK, "deck")])
    [entry] = meter.apply(call(seconds, callee=callee)).entries
    assert shown["charge_micros"] == -entry.amount_micros
    assert (shown["prefix"], shown["deck"]) == (entry.usage.prefix, entry.usage.deck)


def test_price_takes_other_increments_and_another_direction_and_time(here):
    late = rates("price", "+447911123456", "--seconds", "65", "--increment", "60/60", "--at", "2026-07-01", "--json",
                 "--rates", "deck.csv")  # fmt: skip
    assert {"prefix": "44", "billed_seconds": 120, "charge_micros": 31_000}.items() <= json.loads(late.output).items()
    inbound = rates("price", "+18005550100", "--seconds", "1", "--direction", "inbound", "--rates", "deck.csv")
    assert inbound.output.endswith("charge    0.03 USD\n")


@pytest.mark.parametrize("allowed", ["false", "true"])
def test_price_says_when_a_destination_is_not_allowed_by_the_deck_or_by_rule(here, allowed):
    (here / "deck.csv").write_text(f"{HEADER},allowed\n449,United Kingdom premium,premium,GB,1,{allowed}\n")
    done = rates("price", "+4490911999", "--seconds", "60", "--rates", "deck.csv")
    assert done.output.endswith("charge    0.00 USD: the destination is not allowed, the leg is refused\n")


def test_price_without_a_rate_is_a_problem_and_a_wrong_call_is_wrong_usage(here):
    for arguments, code, fragment in [
        (("+8612345678",), 1, "no_rate"),
        (
            ("+442079460000", "--currency", "EUR"),
            1,
            "the account is kept in EUR, the deck prices in USD: the leg is parked",
        ),
        (("442079460000",), 2, "not E.164"),
        (("+442079460000", "--increment", "60"), 2, "FIRST/NEXT"),
        (("+442079460000", "--at", "yesterday"), 2, "RFC 3339"),
        (("+442079460000", "--currency", "dollar"), 2, "three capital letters"),
        (("+442079460000", "--rates", "missing.csv"), 2, "does not exist"),
    ]:
        done = rates("price", *arguments, "--seconds", "60", "--rates", "deck.csv")
        assert (done.exit_code, fragment in done.output) == (code, True), done.output


def test_rows_without_a_currency_are_in_that_of_the_settings_whatever_the_account_has(here, monkeypatch):
    monkeypatch.setenv("CREDITS_DEFAULT_CURRENCY", "EUR")
    flags = ("+442079460000", "--seconds", "60", "--rates", "deck.csv")
    assert rates("price", *flags).output.endswith("charge    0.0155 EUR\n")
    assert "the account is kept in USD, the deck prices in EUR" in rates("price", *flags, "--currency", "USD").output


def test_a_deck_of_the_settings_that_is_missing_is_wrong_usage(here, monkeypatch):
    monkeypatch.setenv("CREDITS_RATES", "missing.csv")
    done = rates("price", "+442079460000", "--seconds", "60")
    assert (done.exit_code, "missing.csv cannot be read" in done.output) == (2, True)


def test_import_replaces_a_deck_in_one_step(here):
    (here / "carrier.csv").write_text("old")
    (here / "link.csv").hardlink_to(here / "carrier.csv")
    assert rates("import", "card.csv", "-o", "carrier.csv").exit_code == 0
    assert (here / "link.csv").read_text() == "old"  # the file was renamed into place, not written over
    assert sorted(path.name for path in here.iterdir()) == ["card.csv", "carrier.csv", "deck.csv", "link.csv"]


NEW = """\
prefix,destination,type,country,rate_per_min,direction,connect_fee,initial_s,increment_s,effective_to,allowed
44,United Kingdom,landline,GB,0.0171,,,60,1,,
4479,United Kingdom mobile,mobile,GB,0.2,,,,,,
449,United Kingdom premium,premium,GB,1,,,,,,false
1800,Toll-free,toll-free,US,0.03,inbound,0.01,,,,
"""


def test_diff_shows_what_priced_the_numbers_before_and_what_does_now(here):
    (here / "new.csv").write_text(NEW)
    done = rates("diff", "deck.csv", "new.csv")
    assert done.exit_code == 1
    assert [" ".join(line.split()) for line in done.output.splitlines()] == [
        "prefix change destination was now percent",
        "44 changed United Kingdom 0.0155 USD 0.0171 USD +10.3",
        "447 removed United Kingdom mobile 0.155 USD, until 2026-07-01 00:00 0.0171 USD, by 44 United Kingdom -89.0",
        "4479 added United Kingdom mobile 0.0155 USD, by 44 United Kingdom 0.20 USD +1190.3",
        "1800 changed Toll-free 0.03 USD, inbound, 0.00 USD to connect 0.03 USD, inbound, 0.01 USD to connect +0.0",
        "1 added, 1 removed, 2 changed; 2 rates up, 1 down",
    ]


def test_diff_speaks_json_with_whole_rows_in_micros(here):
    (here / "new.csv").write_text(NEW)
    done = rates("diff", "deck.csv", "new.csv", "--json")
    assert done.exit_code == 1
    first, second, *_ = json.loads(done.output)
    assert (first["kind"], first["prefix"], first["percent"]) == ("changed", "44", 10.3)
    assert first["fields"] == ["rate_micros_per_min"]
    assert (first["was"]["rate_micros_per_min"], first["now"]["rate_micros_per_min"]) == (15_500, 17_100)
    assert (second["kind"], second["now"]["prefix"], second["percent"]) == ("removed", "44", -89.0)


def test_diff_of_decks_that_price_alike_finds_nothing(here):
    header, *rows = DECK.splitlines()
    (here / "same.csv").write_text("\n".join([header, *reversed(rows)]))
    done = rates("diff", "deck.csv", "same.csv")
    assert (done.exit_code, done.output) == (0, "No differences.\n")
    assert json.loads(rates("diff", "deck.csv", "same.csv", "--json").output) == []


def test_diff_reports_the_mistakes_of_a_deck_instead_of_comparing_it(here):
    (here / "new.csv").write_text(f"{HEADER}\n+44,UK,landline,GB,1\n")
    done = rates("diff", "deck.csv", "new.csv")
    assert done.exit_code == 1
    assert "new, line 2: prefix" in done.output
