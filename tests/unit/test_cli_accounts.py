"""How accounts and amounts are put into words on the command line."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from processor.cli.account_tables import (
    autopay_in_words,
    entry_in_words,
    print_account,
    print_entries,
    recharge_in_words,
)
from processor.cli.money import AMOUNT, PAYMENT
from processor.cli.outcomes import REFUSALS
from processor.domain.account import Account, Autopay, Lot, Recharge
from processor.domain.ledger import Entry, LotChange, UsageDetail
from processor.domain.licensing import SETS_MAX
from processor.domain.messages import (
    Adjusted,
    AdjustedData,
    AutopaySet,
    AutopaySetData,
    Funded,
    FundedData,
    LicencesSet,
    LicencesSetData,
    RechargeReset,
    RechargeResetData,
)
from processor.domain.metering import apply
from processor.domain.tariff import Tariff

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTOPAY = Autopay(
    enabled=True,
    payment_amount_micros=50_000_000,
    trigger_micros=20_000_000,
    payment_method_ref="card-1",
    set_by="cmd-1",
)


def entry(**more: object) -> Entry:
    fields: dict[str, object] = {
        "entry_id": "t:1",
        "tenant_id": "t",
        "revision": 1,
        "kind": "charge",
        "event_id": "e",
        "event_source": "s",
        "occurred_at": NOW,
        "recorded_at": NOW,
        "amount_micros": -155_000,
        "balance_micros": -155_000,
        "currency": "USD",
        **more,
    }
    return Entry(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usage", "flags", "words"),
    [
        (
            UsageDetail(
                decision="credits", reason="pay_as_you_go", call_type="user_out", destination="UK", credit_seconds=60
            ),
            ["overdrawn"],
            "user_out to UK, 60 s, overdrawn",
        ),
        (
            UsageDetail(decision="free", reason="inbound_to_user", call_type="user_in"),
            [],
            "user_in, free: inbound_to_user",
        ),
        (
            UsageDetail(decision="refused", reason="user_not_licensed", leg_kind="dial_out"),
            [],
            "dial_out, refused: user_not_licensed",
        ),
    ],
)
def test_a_usage_entry_says_who_paid_and_why(usage: UsageDetail, flags: list[str], words: str) -> None:
    assert entry_in_words(entry(usage=usage, flags=flags)) == words


def test_a_payment_names_its_lot_or_the_debt_it_paid() -> None:
    assert entry_in_words(entry(kind="fund", lots=[LotChange("lot-1", 5)])) == "lot-1"
    assert entry_in_words(entry(kind="fund")) == "paid the overdraft"


def test_auto_pay_in_words() -> None:
    assert autopay_in_words(None, "USD") == "auto-pay was never set"
    assert (
        autopay_in_words(AUTOPAY, "USD") == "auto-pay adds 50.00 USD when the balance falls to 20.00 USD, with card-1"
    )
    limited = msgspec.structs.replace(AUTOPAY, max_per_day=1000, max_per_month_micros=10**9, max_units=3)
    assert "at most 1,000 times a day, at most 1,000.00 USD a month, up to 3 amounts at once" in autopay_in_words(
        limited, "USD"
    )
    off = msgspec.structs.replace(AUTOPAY, enabled=False)
    assert autopay_in_words(off, "USD").startswith("auto-pay is off")


@pytest.mark.parametrize(
    ("recharge", "words"),
    [
        (Recharge(), "ready, 0 requested so far"),
        (
            Recharge(in_flight="t:1", amount_micros=50_000_000, requested_at=NOW),
            "50.00 USD requested 2026-03-01 12:00:00 UTC as t:1, no result yet",
        ),
        (
            Recharge(failures=1, not_before=NOW + timedelta(hours=1)),
            "waiting until 2026-03-01 13:00:00 UTC after 1 failed payment",
        ),
        (
            Recharge(failures=3, suspended=True),
            "suspended after 3 failed payments: reset it, change its auto-pay or fund the account",
        ),
        (
            Recharge(in_flight="t:1", attempt=3, amount_micros=50_000_000, requested_at=NOW),
            "50.00 USD requested 2026-03-01 12:00:00 UTC as t:1, asked for 3 times, no result yet",
        ),
        (
            Recharge(blocked_by="daily_count_cap", blocked_until=NOW),
            "held back by daily count cap until 2026-03-01 12:00:00 UTC",
        ),
        (Recharge(blocked_by="below_minimum"), "held back by below minimum"),
    ],
)
def test_the_state_of_the_recharge_in_words(recharge: Recharge, words: str) -> None:
    assert recharge_in_words(recharge, "USD", NOW) == words


def test_tables_show_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    lot = Lot(lot_id="lot-1", purchased_at=NOW, expires_at=NOW, amount_micros=5, remaining_micros=4)
    print_account(Account(tenant_id="[red]t", currency="USD", balance_micros=4, lots=[lot], autopay=AUTOPAY))
    print_entries("[red]t", [entry(), entry(kind="fund", lots=[LotChange("[b]", 1)])], 7)
    output = capsys.readouterr().out
    assert output.count("[red]t") == 2
    assert "[b]" in output
    assert "2 of 7 entries" in output
    assert "0.000004 USD" in output


def test_every_amount_has_the_decimals_of_the_accounts_currency(capsys: pytest.CaptureFixture[str]) -> None:
    lot = Lot(lot_id="l", purchased_at=NOW, expires_at=NOW, amount_micros=9_000_000, remaining_micros=7_000_000)
    print_account(Account(tenant_id="t", currency="JPY", balance_micros=7_000_000, lots=[lot], autopay=AUTOPAY))
    print_entries("t", [entry(currency="JPY", amount_micros=-2_000_000, balance_micros=7_000_000)], 1)
    output = capsys.readouterr().out
    assert {"7 JPY", "9 JPY", "50 JPY", "20 JPY", "-2 "} <= set(re.findall(r"-?[\d.]+ (?:JPY)?", output))
    assert ".00" not in output


@pytest.mark.parametrize(("text", "micros"), [("50", 50_000_000), ("0.0155", 15_500), ("1000000", 10**12)])
def test_amounts_are_read_exactly(text: str, micros: int) -> None:
    assert PAYMENT.convert(text, None, None) == micros
    assert AMOUNT.convert(micros, None, None) == micros


def test_every_reason_for_a_refusal_has_words() -> None:
    euros = Account(tenant_id="t", currency="EUR", credited_micros=1)
    fresh = Account(tenant_id="t", currency="USD")
    reasons = set()
    for account, amount, trigger, purchased_at in (
        (euros, 50_000_000, 0, NOW),
        (fresh, 50_000_000, 0, NOW + timedelta(days=1)),
        (fresh, -1, 0, NOW),
        (fresh, 1, 0, NOW),
        (fresh, 10**12 + 1, 0, NOW),
        (fresh, 50_000_000, -1, NOW),
        (fresh, 50_000_000, 10**12 + 1, NOW),
    ):
        funded = FundedData(
            tenant_id="t", amount_micros=amount, currency="USD", purchased_at=purchased_at, payment_reference="r"
        )
        autopay = AutopaySetData(
            tenant_id="t",
            enabled=True,
            payment_amount_micros=amount,
            trigger_micros=trigger,
            currency="USD",
            payment_method_ref="card-1",
        )
        envelope = {"specversion": "1.0", "id": "c", "source": "s"}
        adjusted = AdjustedData(tenant_id="t", amount_micros=0, reason="r", operator="o")
        used = msgspec.structs.replace(account, revision=1)
        for before, command in (
            (account, Funded(**envelope, data=funded)),  # type: ignore[arg-type]
            (account, AutopaySet(**envelope, data=autopay)),  # type: ignore[arg-type]
            (account, RechargeReset(**envelope, data=RechargeResetData(tenant_id="t", operator="o"))),  # type: ignore[arg-type]
            (used, Adjusted(**envelope, data=adjusted)),  # type: ignore[arg-type]
        ):
            outcome = apply(msgspec.structs.replace(before), command, Tariff([]), NOW)
            reasons |= {notice.reason for notice in outcome.notices if notice.kind == "command.rejected"}
    busy = Account(tenant_id="t", currency="USD")
    for minute in range(SETS_MAX + 1):
        licences = LicencesSetData(tenant_id="t", licences=[], effective_at=NOW - timedelta(minutes=minute))
        command = LicencesSet(specversion="1.0", id=f"c{minute}", source="s", data=licences)
        reasons |= {notice.reason for notice in apply(busy, command, Tariff([]), NOW).notices}
    for days in (100, 101):
        licences = LicencesSetData(tenant_id="t", licences=[], effective_at=NOW - timedelta(days=days))
        command = LicencesSet(specversion="1.0", id=f"d{days}", source="s", data=licences)
        reasons |= {notice.reason for notice in apply(fresh, command, Tariff([]), NOW).notices}
    assert reasons == REFUSALS.keys()
