"""The job that the benchmark's peers in Python do: the oracle's prices, one request at the trigger."""

from datetime import UTC, datetime

from benchmarks import load
from benchmarks.peer_programs.rates import Rates
from benchmarks.peer_programs.records import (
    PAYMENT_MICROS,
    Account,
    Call,
    CallData,
    ResultData,
    decode_call,
    dump_account,
    load_account,
)


def call(number: int) -> Call:
    return Call(f"evt-{number}", "/sbc", CallData("acme", "+12065550100", 60_000))


def test_the_peers_price_every_event_as_the_oracle_does_premium_numbers_included(tmp_path, monkeypatch):
    prices = load.deck()
    load.write_deck(prices, tmp_path / "deck.csv")
    monkeypatch.setenv("CREDITS_RATES", str(tmp_path / "deck.csv"))
    rates = Rates()
    events = load.Events(prices, 20, datetime.now(UTC), load.WINDOW / 10_000, skew=False)
    charged, premium = dict.fromkeys(events.names, 0), 0
    for _ in range(10_000):
        data = decode_call(events.next()[2]).data
        charged[data.tenant_id] += rates.cost(data.callee, data.connected_ms)
        premium += data.callee.startswith("+449")
    assert charged == events.charged
    assert premium > 0


def test_an_account_asks_once_at_its_trigger_and_again_when_the_payment_is_used_up():
    account = Account(balance_micros=20_000_001)
    entry, request = account.debit(call(1), 1)
    assert (entry.amount_micros, entry.balance_micros) == (-1, 20_000_000)
    assert (request.recharge_id, request.amount_micros, request.caused_by) == ("acme:1", PAYMENT_MICROS, "evt-1")
    assert account.debit(call(2), 1)[1] is None
    assert account.credit(ResultData("acme:1", "acme", PAYMENT_MICROS))
    assert account.balance_micros == 69_999_999
    assert account.debit(call(3), 50_000_000)[1].recharge_id == "acme:2"


def test_a_payment_that_nobody_waits_for_changes_nothing():
    account = Account(balance_micros=20_000_000)
    account.debit(call(1), 1)
    assert not account.credit(ResultData("acme:7", "acme", PAYMENT_MICROS))
    assert account.credit(ResultData("acme:1", "acme", PAYMENT_MICROS))
    assert not account.credit(ResultData("acme:1", "acme", PAYMENT_MICROS))
    assert account.balance_micros == 69_999_999


def test_an_account_in_a_changelog_is_read_back_as_it_was():
    account = Account(balance_micros=-3, sequence=2, in_flight=True)
    assert load_account(dump_account(account)) == account
