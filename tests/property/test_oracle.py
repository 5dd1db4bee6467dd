"""The meter judges and prices a hundred thousand legs exactly as a second tariff that shares no line with it."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.contracts import topics
from processor.contracts.decks import load, parse
from processor.contracts.inputs import decode
from processor.contracts.vendor_card import import_card
from processor.domain.account import Account, check
from processor.domain.metering import apply
from processor.domain.policy import Policy
from processor.domain.tariff import Tariff
from tests.cards import CARDS
from tests.oracle import Oracle, Verdict, read_deck
from tests.unit.builders import DictMemory, licences

ROOT = Path(__file__).parents[2]
OWN = ROOT / "processor" / "contracts" / "synthetic_deck.csv"
NOW = datetime(2026, 11, 12, tzinfo=UTC)
LICENCES = {
    ("MCOPSTN1", "US"): 3,
    ("MCOPSTN1", "PR"): 1,
    ("MCOPSTN1", "GB"): 2,
    ("MCOPSTN2", "GB"): 4,
    ("MCOPSTN2", "US"): 3,
    ("MCOPSTN5", "DE"): 20,
    ("MCOPSTN6", "FR"): 10,
    ("MCOPSTN8", "GB"): 7,
    ("MCOMEETADD", "US"): 10,
    ("MCOMEETADD", "ZW"): 15,
}


def legs(pick: random.Random, prefixes: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
    """One random leg as its platform would report it."""

    def number(direction: str) -> str:
        return "+" + (pick.choice(prefixes[direction]) + f"{pick.randrange(10**12):012d}")[:14]

    began = NOW - timedelta(seconds=pick.randrange(30 * 86_400) + 90_000)
    ms = pick.choice((0, 1, 59_999, 60_000, 60_001, int(pick.lognormvariate(11.5, 1.5))))
    times = began.isoformat(), (began + timedelta(milliseconds=ms)).isoformat()
    licensed = pick.random() < 0.95
    if pick.random() < 0.3:
        kind = pick.choice(("dial_out", "call_me", "dial_in_toll", "dial_in_toll_free"))
        return "conference", {
            "leg_kind": kind,
            "conference_id": "c",
            "remote_number": number("outbound"),
            "bridge_number": number("inbound"),
            "joined_at": times[0],
            "left_at": times[1],
            "connected_ms": ms,
            "organizer_id": "o",
            "organizer_country": pick.choice(("US", "GB", "ZW")),
            "capability": pick.choice(("MCOMEETADD", "MCOMEETADD", "MCOMEETACPEA")),
            "credits_licensed": licensed,
        }
    kind = pick.choice(("user_out", "user_out", "user_out_conf", "ucap_out", "user_in", "ucap_in", "dr_out"))
    plan = pick.choice((None, "MCOPSTN1", "MCOPSTN2", "MCOPSTN2", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8", "MCOPSTNPP"))
    return "call", {
        "call_type": kind,
        "call_id": "c",
        "caller": "anonymous",
        "callee": number("inbound" if kind.endswith("_in") else "outbound"),
        "number_type": pick.choice(("user", "service_toll", "service_toll_free")),
        "answered_at": times[0],
        "ended_at": times[1],
        "connected_ms": ms,
        "user_id": f"user-{pick.randrange(5)}",
        "user_country": pick.choice(("US", "PR", "GB", "DE", "FR", None)),
        "capability": plan,
        "credits_licensed": licensed,
        "emergency": pick.random() < 0.01,
    }


def compared(deck_path: Path, deck: Any, count: int, seed: int, owned: dict[tuple[str, str], int]) -> Counter[str]:
    """Runs both tariffs over the same legs; returns how often which decision was taken."""
    pick = random.Random(seed)
    prices = read_deck(deck_path)
    prefixes: dict[str, list[str]] = {"inbound": ["999"], "outbound": []}
    for direction, prefix in sorted(prices):
        prefixes[direction].append(prefix)
    if len(prefixes["inbound"]) == 1:  # the vendor's card has no prices for service numbers
        prices |= {("inbound", "999"): prices["outbound", "44"]}
        deck = (
            *deck,
            parse(
                "prefix,destination,type,country,rate_per_min,direction\n999,S,toll,GB,"
                f"{float(prices['outbound', '44'][0].per_minute)},inbound\n",
                "service",
            ),
        )
    else:
        prefixes["inbound"].remove("999")
    oracle, memory = Oracle(prices, owned), DictMemory()
    tariff = Tariff(deck, Policy())
    account = Account(tenant_id="contoso", currency="USD")
    named = [f"{plan}:{country}:{number}" for (plan, country), number in owned.items()]
    apply(account, licences(*named, effective_at=NOW - timedelta(days=90)), tariff, NOW, memory)
    decisions: Counter[str] = Counter()
    for number in range(count):
        kind, data = legs(pick, prefixes)
        data |= {"tenant_id": "contoso", "leg_id": "l", "record_kind": "final"}
        document = {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "/t",
            "type": f"telephony.{kind}.v1",
            "data": data,
        }
        topic = topics.USAGE_CALL if kind == "call" else topics.USAGE_CONFERENCE
        message = decode(topic, json.dumps(document).encode(), lambda: None)
        [entry] = apply(account, message, tariff, NOW, memory).entries
        usage = entry.usage
        assert usage is not None
        told = Verdict(usage.decision, usage.pool_minutes, usage.credit_seconds, -entry.amount_micros)
        assert told == oracle.judge(kind, data), document
        assert usage.billed_seconds == 60 * told.pool_minutes + told.credit_seconds
        assert 1000 * usage.connected_seconds - 1000 < data["connected_ms"] <= 1000 * usage.connected_seconds
        decisions[told.decision] += 1
    check(account)
    return decisions


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_the_meter_agrees_with_the_oracle_over_the_vendors_card(card: Path) -> None:
    decisions = compared(card, (parse(import_card(card), "card"),), 100_000, seed=4, owned=LICENCES)
    assert decisions.keys() == {"free", "pool", "credits", "split", "refused"}


def test_the_meter_agrees_with_the_oracle_over_increments_fees_and_inbound_prices() -> None:
    decisions = compared(OWN, (load(OWN),), 20_000, seed=5, owned=dict.fromkeys(LICENCES, 1))
    assert decisions.keys() == {"free", "pool", "credits", "split", "refused"}
