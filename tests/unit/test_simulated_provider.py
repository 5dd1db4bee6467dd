"""The simulated provider charges once per key, answers the same again, and misbehaves as told."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processor.payments.provider import Charge, ProviderTimeout
from processor.payments.simulated import CONFLICT, CRASHED, Behaviour, SimulatedProvider

QUICK = Behaviour(latency_s=0)


def charge(recharge_id: str = "t:1", amount_micros: int = 50_000_000) -> Charge:
    return Charge(
        recharge_id=recharge_id,
        tenant_id="t",
        amount_micros=amount_micros,
        currency="USD",
        payment_method_ref="card",
        requested_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


@pytest.fixture
def provider() -> SimulatedProvider:
    return SimulatedProvider(behaviour=QUICK)


def test_the_same_key_charges_once_and_gets_the_same_answer(provider: SimulatedProvider) -> None:
    first = provider.charge(charge())
    assert first.status == "succeeded"
    assert first.reference == "sim-t:1"
    assert provider.charge(charge()) == first
    assert provider.charges() == [("t:1", "succeeded", 50_000_000, 2)]


def test_the_books_outlive_the_process(tmp_path: Path) -> None:
    before = SimulatedProvider(str(tmp_path / "books"), QUICK)
    first = before.charge(charge())
    before.close()
    after = SimulatedProvider(str(tmp_path / "books"), Behaviour(latency_s=0, decline_rate=1))
    assert after.charge(charge()) == first
    after.close()


def test_a_key_with_another_amount_fails_and_the_first_charge_stands(provider: SimulatedProvider) -> None:
    provider.charge(charge())
    again = provider.charge(charge(amount_micros=1))
    assert (again.status, again.reason_code, again.retryable) == ("failed", CONFLICT, False)
    assert [amount for _, _, amount, _ in provider.charges()] == [50_000_000]


def test_declines_have_the_code_and_the_rate_that_were_asked_for_and_depend_on_the_seed() -> None:
    def declined(seed: int) -> set[str]:
        behaviour = Behaviour(latency_s=0, decline_rate=0.3, decline_codes=("expired_card",), seed=seed)
        provider = SimulatedProvider(behaviour=behaviour)
        answers = {f"t:{number}": provider.charge(charge(f"t:{number}")) for number in range(1000)}
        found = {key: answer for key, answer in answers.items() if answer.status == "declined"}
        assert {answer.reason_code for answer in found.values()} == {"expired_card"}
        assert not any(answer.retryable or answer.reference for answer in found.values())
        return set(found)

    assert 250 < len(declined(1)) < 350
    assert declined(1) == declined(1) != declined(2)


def test_of_several_codes_one_is_drawn_and_those_that_may_pass_are_retryable() -> None:
    codes = ("insufficient_funds", "stolen_card")
    provider = SimulatedProvider(behaviour=Behaviour(latency_s=0, decline_rate=1, decline_codes=codes))
    answers = [provider.charge(charge(f"t:{number}")) for number in range(100)]
    assert {(answer.reason_code, answer.retryable) for answer in answers} == {
        ("insufficient_funds", True),
        ("stolen_card", False),
    }


def test_a_lost_answer_is_a_timeout_once_and_the_charge_stands() -> None:
    provider = SimulatedProvider(behaviour=Behaviour(latency_s=0, lost_answers=1))
    with pytest.raises(ProviderTimeout):
        provider.charge(charge())
    assert provider.charge(charge()).status == "succeeded"
    assert provider.charges() == [("t:1", "succeeded", 50_000_000, 2)]


def test_two_workers_that_share_the_books_charge_once(tmp_path: Path) -> None:
    providers = [SimulatedProvider(str(tmp_path / "books"), QUICK) for _ in range(2)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: providers[n % 2].charge(charge(f"t:{n // 8}")), range(160)))
    assert all(len(set(answers[start : start + 8])) == 1 for start in range(0, 160, 8))
    assert [asked for *_, asked in providers[0].charges()] == [8] * 20
    for provider in providers:
        provider.close()


CRASHING = """
import sys
from datetime import UTC, datetime
from processor.payments.provider import Charge
from processor.payments.simulated import Behaviour, SimulatedProvider
provider = SimulatedProvider(sys.argv[1], Behaviour(latency_s=0, crash_after_charge=1))
charge = Charge(
    recharge_id="t:1",
    tenant_id="t",
    amount_micros=5,
    currency="USD",
    payment_method_ref="c",
    requested_at=datetime.now(UTC),
)
print(provider.charge(charge).status)
"""


def test_a_crash_comes_after_the_charge_is_remembered_and_only_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CRASHING, str(tmp_path / "books")]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stdout) == (CRASHED, "")
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (0, "succeeded\n"), second.stderr
    provider = SimulatedProvider(str(tmp_path / "books"))
    assert provider.charges() == [("t:1", "succeeded", 5, 2)]
    provider.close()
