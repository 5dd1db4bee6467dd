"""What the pages say of problems, payments, notices and charges: whole sentences, in the reader's language."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from httpx2 import Response
from markupsafe import escape

from processor.console.access import Role
from processor.console.commands import CommandNotStoredError
from processor.console.explain import explain
from processor.console.naming import pool_name
from processor.console.notices import DECLINES, GUARDS, NOTICES, notice_sentence
from processor.console.problems import CODES
from processor.console.said import PROBLEMS, SAID
from processor.console.text import TEXTS
from processor.domain.ledger import NoticeKind
from processor.payments.declines import RETRYABLE
from tests.unit.builders import TENANT, autopay, call, decided, funded
from tests.unit.console_world import Console

ROOT = Path(__file__).parents[2]
PAGE = f"/tenants/{TENANT}"


@pytest.fixture
def console(empty_console: Console) -> Console:
    empty_console.world.tell(funded(50))
    return empty_console


def arabic(message: str) -> str:
    return TEXTS["ar"].translations.gettext(message)


def test_every_problem_has_a_sentence_for_people() -> None:
    assert set(PROBLEMS) == set(CODES) - {"signed_out"}


@pytest.mark.parametrize(
    ("method", "path", "fields", "code"),
    [
        ("GET", "/tenants/nobody", {}, "not_found"),
        ("GET", "/nowhere", {}, "not_found"),
        ("GET", f"{PAGE}/ledger/word", {}, "invalid_request"),
        ("GET", f"{PAGE}/ledger?since=word", {}, "invalid_request"),
        ("GET", f"{PAGE}/funds", {}, "method_not_allowed"),
        ("POST", f"{PAGE}/funds", {"csrf": "wrong", "key": "k"}, "csrf"),
        ("POST", f"{PAGE}/adjustments", {"key": "k", "amount": "1", "reason": "r"}, "forbidden"),
        ("POST", f"{PAGE}/funds", {"key": "used", "amount": "70"}, "key_reused"),
    ],
)
def test_a_problem_is_told_in_the_readers_language(
    console: Console, method: str, path: str, fields: dict[str, str], code: str
) -> None:
    finance = console.browser(Role.BILLING_ADMIN)
    finance.submit(f"{PAGE}/funds", amount="60", key="used")
    data = {"csrf": finance.csrf, **fields} if fields else None

    def ask(**headers: str) -> Response:
        return finance.request(method, path, data=data, headers=headers)

    assert ask(accept="application/problem+json").json()["type"].endswith(f":{code}")
    for language in ("ar", "en"):
        assert escape(TEXTS[language].translations.gettext(PROBLEMS[code])) in ask(**{"accept-language": language}).text


def test_a_change_that_kafka_did_not_take_is_told_in_the_readers_language(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise CommandNotStoredError("timed out")

    monkeypatch.setattr(console.state.commands, "ask", unreachable)
    page = console.browser().submit(f"{PAGE}/funds?lang=ar", amount="60")
    assert page.status_code == 503
    assert arabic(PROBLEMS["not_stored"]) in page.text


def test_every_notice_has_a_name_and_every_refusal_a_sentence() -> None:
    assert set(NOTICES) == set(get_args(NoticeKind))
    assert set(DECLINES) >= RETRYABLE
    page = (ROOT / "docs/reference/reasons.md").read_text()
    rejected, guards = page.split("## Rejected commands")[1].split("## Why no payment is asked for")
    assert set(re.findall(r"^\| `(\w+)` \|", rejected, re.MULTILINE)) <= set(SAID)
    told = set(re.findall(r"^\| `(\w+)` \|", guards, re.MULTILINE)) - {"above_trigger", "in_flight"}
    assert told == set(GUARDS) - {"burst"}


MONEY = {"currency": "USD", "balance_micros": 12_500_000}


@pytest.mark.parametrize(
    ("notice", "said"),
    [
        ({"kind": "recharge.succeeded", "amount_micros": 50_000_000}, "$50.00 were paid; the balance was $12.50 then."),
        (
            {"kind": "recharge.failed", "amount_micros": 50_000_000, "reason": "expired_card"},
            "$50.00 were not paid. The card has expired.",
        ),
        (
            {"kind": "recharge.failed", "amount_micros": 50_000_000, "reason": "of_its_own"},
            "$50.00 were not paid. The provider's reason: of_its_own.",
        ),
        ({"kind": "recharge.failed", "amount_micros": 50_000_000}, "$50.00 were not paid."),
        (
            {"kind": "recharge.unknown", "amount_micros": 50_000_000},
            "$50.00 are asked for again; they are paid once at most.",
        ),
        ({"kind": "autopay.blocked", "reason": "daily_count_cap"}, "The payments allowed for one day are used up."),
        ({"kind": "balance.zero"}, "The balance was $12.50."),
        (
            {"kind": "balance.low", "reason": "autopay_off"},
            "The balance was $12.50. Auto-pay is off, so nothing is paid.",
        ),
        (
            {"kind": "pool.threshold", "percent": 80, "month": "2026-03", "pool": "MCOPSTN1/GB"},
            "80% of the minutes for March 2026: Domestic calls, United Kingdom (MCOPSTN1).",
        ),
        (
            {"kind": "lot.expiring", "amount_micros": 5_000_000, "lot_id": "lot-1@2026-03-15T12:00:00+00:00"},
            "$5.00 of the purchase of Mar 15, 2026.",
        ),
        ({"kind": "lot.expired", "amount_micros": 5_000_000, "lot_id": "lot-1"}, "$5.00"),
        ({"kind": "command.rejected", "reason": "zero"}, "An adjustment of zero changes nothing."),
    ],
)
def test_a_notice_is_one_sentence(notice: dict[str, Any], said: str) -> None:
    assert notice_sentence(MONEY | notice, TEXTS["en"]) == said


def test_why_a_payment_failed_is_told_on_the_page_in_the_readers_language(console: Console) -> None:
    console.world.tell(autopay(50, 49), call(900))
    in_flight = console.world.accounts[TENANT].recharge.in_flight
    console.world.tell(decided(in_flight or "", "declined", reason_code="expired_card"))
    page = console.browser().get(f"{PAGE}?lang=ar").text
    assert arabic("The card has expired.") in page
    assert "expired_card" not in page


@pytest.mark.parametrize(
    ("pool", "name"),
    [
        ("MCOMEETADD", "Audio conferencing (MCOMEETADD)"),
        ("MCOPSTN2/US", "Domestic calls, United States (MCOPSTN2)"),
        ("MCOPSTN2/US/international", "International calls, United States (MCOPSTN2)"),
        ("MCOPSTN8/DE/a/b", "Domestic calls of a/b, Germany (MCOPSTN8)"),
        ("odd", "odd"),
    ],
)
def test_a_pool_is_named_after_its_use_and_its_place(pool: str, name: str) -> None:
    assert pool_name(pool, TEXTS["en"]) == name


def test_a_charge_is_explained_down_to_its_event_and_its_purchase(console: Console) -> None:
    console.world.tell(call(90, callee="+33140000000"))
    entry = console.queries.entry(TENANT, 2)
    assert entry is not None
    said = list(explain(entry, TEXTS["en"]))
    assert f"Event {entry['event_id']} of {entry['event_source']}." in said
    assert "Destination to 33, price list prefix +33." in said
    assert "Billed length: 120 seconds, after rounding up." in said
    assert "Purchase of Mar 15, 2026: -$0.25" in said
    assert any("\u2068+33\u2069" in sentence for sentence in explain(entry, TEXTS["ar"]))
