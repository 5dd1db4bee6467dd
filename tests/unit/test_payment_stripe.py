"""The Stripe provider asks as Stripe describes its API, charges once whatever is lost, and reads every answer."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client import CollectorRegistry

from processor.payments.cashier import Cashier
from processor.payments.counters import Payments
from processor.payments.inbox import CARD_CHANGED, Inbox
from processor.payments.minor_units import THREE_DECIMAL, WHOLE_UNITS_ONLY, ZERO_DECIMAL, NotChargeable, minor_units
from processor.payments.provider import Charge, ProviderMisconfigured, ProviderTimeout
from processor.payments.stripe import StripeProvider
from tests.stripe_servers import KEY, FakeStripe, fake_stripe, stripe_mock

__all__ = ["fake_stripe", "stripe_mock"]

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def charge(method: str = "pm_ok", recharge_id: str = "t:1", amount_micros: int = 50_000_000) -> Charge:
    return Charge(
        recharge_id=recharge_id,
        tenant_id="t",
        amount_micros=amount_micros,
        currency="USD",
        payment_method_ref=f"cus_1/{method}",
        requested_at=NOW,
    )


@pytest.fixture
def provider(fake_stripe: FakeStripe) -> Iterator[StripeProvider]:
    opened = StripeProvider(KEY, api_base=fake_stripe.address, timeout_s=5)
    yield opened
    opened.close()


# Against stripe-mock, which refuses what Stripe's API description does not have


def test_stripes_own_mock_takes_the_payment_intent_and_its_answer_is_a_success(
    stripe_mock: Callable[[str], str],
) -> None:
    provider = StripeProvider(KEY, api_base=stripe_mock("succeeded"))
    decision = provider.charge(charge())
    assert decision.status == "succeeded"
    assert decision.reference is not None
    assert decision.reference.startswith("pi_")
    assert decision.card_fingerprint is not None
    provider.close()


def test_stripes_own_mock_takes_the_search_for_an_old_recharge(stripe_mock: Callable[[str], str]) -> None:
    provider = StripeProvider(KEY, api_base=stripe_mock("succeeded"))
    assert provider.charge(structs.replace(charge(), requested_at=NOW - 3 * DAY)).status == "succeeded"
    provider.close()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("processing", "is processing"),
        ("requires_confirmation", "is requires_confirmation"),
        ("requires_payment_method", "is still requires_payment_method"),
        ("requires_action", "is still requires_action"),
    ],
)
def test_stripes_own_mock_takes_the_question_about_an_open_intent_and_the_cancellation_of_a_declined_one(
    stripe_mock: Callable[[str], str], status: str, says: str
) -> None:
    provider = StripeProvider(KEY, api_base=stripe_mock(status))
    with pytest.raises(ProviderTimeout, match=says):
        provider.charge(charge())
    provider.close()


# Against the fake, which remembers


def test_the_same_recharge_is_charged_once_and_answered_alike(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    first = provider.charge(charge())
    assert (first.status, first.reference, first.reason_code) == ("succeeded", "pi_1", None)
    assert provider.charge(charge()) == first
    assert fake_stripe.paid() == ["t:1"]
    assert (fake_stripe.intents["pi_1"]["amount"], fake_stripe.intents["pi_1"]["currency"]) == (5000, "usd")


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("insufficient_funds", True),
        ("try_again_later", True),
        ("stolen_card", False),
        ("authentication_required", False),
    ],
)
def test_a_decline_has_the_issuers_code_and_stays_declined(
    provider: StripeProvider, fake_stripe: FakeStripe, code: str, retryable: bool
) -> None:
    first = provider.charge(charge(f"pm_declined_{code}"))
    assert (first.status, first.reason_code, first.retryable) == ("declined", code, retryable)
    assert first.card_fingerprint == "card-one"
    assert provider.charge(charge(f"pm_declined_{code}")) == first
    assert fake_stripe.paid() == []


def test_a_declined_intent_is_cancelled_so_that_nobody_can_pay_it_later(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    first = provider.charge(charge("pm_declined_insufficient_funds"))
    assert fake_stripe.intents["pi_1"]["status"] == "canceled"
    fake_stripe.pass_time(3 * DAY)
    again = provider.charge(structs.replace(charge("pm_declined_insufficient_funds"), attempt=2))
    assert again == structs.replace(first, decided_at=first.decided_at - 3 * DAY)
    assert len(fake_stripe.intents) == 1


def test_a_declined_intent_that_somebody_paid_before_it_could_be_cancelled_is_a_success(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    decision = provider.charge(charge("pm_paid_by_hand"))
    assert (decision.status, decision.reference) == ("succeeded", "pi_1")
    assert fake_stripe.paid() == ["t:1"]


def test_an_answer_that_is_lost_is_a_timeout_and_the_same_key_brings_it(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    with pytest.raises(ProviderTimeout):
        provider.charge(charge("pm_lost"))
    assert provider.charge(charge("pm_lost")).status == "succeeded"
    assert fake_stripe.paid() == ["t:1"]


@pytest.mark.parametrize("method", ["pm_500", "pm_halfway"])
def test_a_500_that_stripe_remembers_is_looked_up_by_the_recharge_id_and_finished(
    provider: StripeProvider, fake_stripe: FakeStripe, method: str
) -> None:
    first = provider.charge(charge(method))
    assert first.status == "succeeded"
    assert provider.charge(charge(method)) == first
    assert fake_stripe.paid() == ["t:1"]


@pytest.mark.parametrize("method", ["pm_503", "pm_429"])
def test_when_stripe_did_nothing_yet_it_is_asked_again(
    provider: StripeProvider, fake_stripe: FakeStripe, method: str
) -> None:
    with pytest.raises(ProviderTimeout):
        provider.charge(charge(method))
    assert provider.charge(charge(method)).status == "succeeded"
    assert fake_stripe.paid() == ["t:1"]


def test_a_key_that_is_still_at_work_for_somebody_else_is_a_timeout(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        first = elsewhere.submit(provider.charge, charge("pm_hang"))
        assert fake_stripe.hanging.wait(10)
        with pytest.raises(ProviderTimeout):
            provider.charge(charge("pm_hang"))
        fake_stripe.go_on.set()
        decision = first.result(10)
    assert provider.charge(charge("pm_hang")) == decision
    assert fake_stripe.paid() == ["t:1"]


def test_an_intent_that_was_processing_is_asked_about_instead_of_believing_the_remembered_answer(
    provider: StripeProvider,
) -> None:
    assert provider.charge(charge("pm_processing")).status == "succeeded"


def test_a_recharge_that_is_older_than_stripes_memory_of_keys_is_looked_up_before_it_is_charged(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    provider.charge(charge())
    fake_stripe.pass_time(3 * DAY)
    assert provider.charge(structs.replace(charge(), asked_at=NOW - 3 * DAY)).reference == "pi_1"
    assert fake_stripe.paid() == ["t:1"]
    new = structs.replace(charge(recharge_id="t:2"), asked_at=NOW - 3 * DAY)
    assert provider.charge(new).reference == "pi_2"
    assert fake_stripe.paid() == ["t:1", "t:2"]


@pytest.mark.parametrize(
    ("command", "age"),
    [
        ({"requested_at": NOW - 2 * DAY}, 2 * DAY),  # the first command, read again by whoever has the partition now
        ({"attempt": 9}, 2 * DAY),
        ({"attempt": 2000}, 85 * DAY),
    ],
    ids=["the same command", "asked again", "asked again for as long as commands are kept"],
)
def test_a_worker_with_another_inbox_charges_nothing_that_the_first_has_charged_before_it_died(
    provider: StripeProvider, fake_stripe: FakeStripe, command: dict[str, Any], age: timedelta
) -> None:
    dead, heir = Inbox("sqlite://"), Inbox("sqlite://")
    assert provider.charge(dead.receive([charge()])["t:1"].charge).status == "succeeded"
    fake_stripe.pass_time(age)
    found = heir.receive([structs.replace(charge(), **command)])["t:1"]
    assert (found.charge.asked_at, found.decision) == (None, None)
    assert provider.charge(found.charge).reference == "pi_1"
    assert fake_stripe.paid() == ["t:1"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (charge("pm_missing"), "resource_missing"),
        (charge(amount_micros=50_005_000), "amount_not_chargeable"),
        (structs.replace(charge(), payment_method_ref="card-1"), "payment_method_ref_invalid"),
        (structs.replace(charge(), payment_method_ref="cus_1/"), "payment_method_ref_invalid"),
    ],
)
def test_what_stripe_cannot_charge_has_failed_and_took_nothing(
    provider: StripeProvider, fake_stripe: FakeStripe, wrong: Charge, reason: str
) -> None:
    decision = provider.charge(wrong)
    assert (decision.status, decision.reason_code, decision.retryable) == ("failed", reason, False)
    assert fake_stripe.intents == {}


def test_a_wrong_key_stops_the_worker_instead_of_failing_payments(fake_stripe: FakeStripe) -> None:
    provider = StripeProvider("sk_test_wrong", api_base=fake_stripe.address)
    with pytest.raises(ProviderMisconfigured, match="Invalid API Key"):
        provider.charge(charge())
    provider.close()


def test_a_key_without_the_permission_stops_the_worker(provider: StripeProvider) -> None:
    with pytest.raises(ProviderMisconfigured, match="may not do that"):
        provider.charge(charge("pm_forbidden"))


def test_a_recharge_id_that_stripe_knows_with_another_amount_stops_the_worker(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    provider.charge(charge())
    with pytest.raises(ProviderMisconfigured, match="another meter"):
        provider.charge(charge(amount_micros=20_000_000))
    assert fake_stripe.paid() == ["t:1"]


def test_a_server_that_is_not_there_is_a_timeout() -> None:
    provider = StripeProvider(KEY, api_base="http://127.0.0.1:1", timeout_s=1)
    with pytest.raises(ProviderTimeout):
        provider.charge(charge())
    provider.close()


def test_the_cashier_settles_lost_answers_within_its_patience_and_notices_a_changed_card(
    provider: StripeProvider, fake_stripe: FakeStripe
) -> None:
    inbox, stop = Inbox("sqlite://"), threading.Event()
    payments = Payments(CollectorRegistry())
    cashier = Cashier(
        provider, inbox, payments, stop, concurrency=4, patience_s=10, batch_s=10, grace_s=1, on_step=lambda _: None
    )
    ids = [f"t{number}:1" for number in range(12)]
    charges = [structs.replace(charge("pm_lost", key), tenant_id=key.partition(":")[0]) for key in ids]
    decisions = cashier.charge(found.charge for found in inbox.receive(charges).values())
    assert {decision.status for decision in decisions.values()} == {"succeeded"}
    assert sorted(fake_stripe.paid()) == sorted(ids)
    fake_stripe.fingerprint = "card-two"
    again = inbox.receive([charge("pm_lost", "t:2")])
    assert cashier.charge([again["t:2"].charge])["t:2"].reason_code == CARD_CHANGED


# Minor units


@pytest.mark.parametrize(
    ("micros", "currency", "minor"),
    [
        (50_000_000, "USD", 5000),
        (10_000, "USD", 1),
        (50_000_000, "JPY", 50),
        (50_000_000, "KWD", 50_000),
        (10_000, "KWD", 10),
        (5_000_000, "ISK", 500),
        (5_000_000, "UGX", 500),
    ],
)
def test_micros_become_the_minor_units_of_the_currency(micros: int, currency: str, minor: int) -> None:
    assert minor_units(micros, currency) == minor


@pytest.mark.parametrize(
    ("micros", "currency"),
    [
        (1, "USD"),
        (50_005_000, "USD"),
        (50_500_000, "JPY"),
        (1_000, "KWD"),
        (50_500_000, "ISK"),
        (0, "USD"),
        (-10_000, "USD"),
    ],
)
def test_an_amount_that_is_no_whole_number_of_minor_units_is_refused(micros: int, currency: str) -> None:
    with pytest.raises(NotChargeable):
        minor_units(micros, currency)


@given(
    st.integers(-(10**12), 10**15), st.sampled_from(["USD", "EUR", *ZERO_DECIMAL, *THREE_DECIMAL, *WHOLE_UNITS_ONLY])
)
def test_what_is_charged_is_worth_exactly_the_micros(micros: int, currency: str) -> None:
    worth = 1_000_000 if currency in ZERO_DECIMAL else 1_000 if currency in THREE_DECIMAL else 10_000
    try:
        assert minor_units(micros, currency) * worth == micros
    except NotChargeable:
        whole = 1_000_000 if currency in ZERO_DECIMAL | WHOLE_UNITS_ONLY else 10_000
        assert micros <= 0 or micros % whole
