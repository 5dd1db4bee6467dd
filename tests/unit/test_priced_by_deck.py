"""A leg is priced by the deck rows of its account's currency in force at its start, and its entry names that deck."""

from datetime import timedelta

import pytest

from processor.domain.tariff import Deck, Tariff
from tests.unit.builders import NOW, Meter, call, conference, funded, licences, row

DAY = timedelta(days=1)
PLAN = {"capability": "MCOPSTN1", "user_country": "US", "user_id": "ann"}
OWN = Deck("own", "1a2b", (row("4420", 10_000, deck="own@1a2b"), row("33", 20_000, deck="own@1a2b", currency="EUR")))
CARRIER = Deck(
    "carrier",
    "3c4d",
    tuple(
        row(prefix, rate, deck="carrier@3c4d", **fields)
        for prefix, rate, fields in (
            ("44", 30_000, {}),
            ("4420", 40_000, {}),
            ("44207", 50_000, {}),
            ("33", 60_000, {"country": "FR"}),
            ("1", 70_000, {"country": "US"}),
            ("882", 0, {"country": "ZZ", "allowed": False}),
            ("1800", 80_000, {"country": "US", "direction": "inbound"}),
        )
    ),
)


def meter(currency: str = "USD") -> Meter:
    made = Meter()
    made.tariff = Tariff([OWN, CARRIER])
    made.apply(funded(50, currency=currency))
    made.apply(licences("MCOPSTN1:US:1", "MCOMEETADD:US:1"))
    return made


def priced(made: Meter, usage) -> tuple[str, int, str]:
    entry = made.apply(usage).entries[-1]
    return entry.usage.prefix, -entry.amount_micros, entry.usage.deck


@pytest.mark.parametrize(
    ("callee", "expected"),
    [
        ("+442012345678", ("4420", 10_000, "own@1a2b")),  # both decks have it: the first one's
        ("+442071234567", ("44207", 50_000, "carrier@3c4d")),  # a longer prefix, whichever deck it is in
        ("+441512345678", ("44", 30_000, "carrier@3c4d")),  # what the first deck does not have
    ],
)
def test_decks_overlap_prefix_by_prefix(callee, expected):
    assert priced(meter(), call(callee=callee)) == expected


@pytest.mark.parametrize(
    ("currency", "expected"), [("USD", ("33", 60_000, "carrier@3c4d")), ("EUR", ("33", 20_000, "own@1a2b"))]
)
def test_the_accounts_currency_picks_the_rows(currency, expected):
    assert priced(meter(currency), call(callee="+33123456789")) == expected


@pytest.mark.parametrize(
    ("usage", "decision"),
    [
        (call(callee="+33123456789"), "credits"),
        (call(callee="+12125550100", **PLAN), "pool"),
        (call(3001 * 60, callee="+12125550100", **PLAN), "split"),
        (conference(remote_number="+33123456789"), "pool"),
        (call(callee="+88212345678"), "refused"),
        (conference(leg_kind="dial_in_toll_free", bridge_number="+18005550100"), "credits"),
    ],
)
def test_every_entry_that_a_row_decided_about_names_the_deck_and_its_version(usage, decision):
    [entry] = meter().apply(usage).entries
    assert (entry.usage.decision, entry.usage.deck) == (decision, "carrier@3c4d")


@pytest.mark.parametrize(("started_before", "rate"), [(3 * DAY, 1), (2 * DAY, 2), (DAY, 3)])
def test_the_start_of_the_leg_decides_however_late_its_event_is_applied(started_before, rate):
    change, again = NOW - 2 * DAY, NOW - DAY
    made = Meter(
        row("44", 1, effective_to=change),
        row("44", 2, effective_from=change, effective_to=again),
        row("44", 3, effective_from=again),
    )
    usage = call(7200, started_at=NOW - started_before)  # goes on for two hours, past no change of its own
    assert priced(made, usage)[:2] == ("44", 120 * rate)


def test_a_leg_across_a_change_of_prices_is_priced_by_its_start_alone():
    made = Meter(row("44", 1, effective_to=NOW - DAY), row("44", 2, effective_from=NOW - DAY))
    usage = call(7200, started_at=NOW - DAY - timedelta(hours=1))
    assert priced(made, usage)[:2] == ("44", 120)
