"""What an adoption leaves for later: timers and counts come from a walk beside the work, and from changes."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from processor.contracts.outputs import encode
from processor.domain.account import Account, Autopay, Lot, Recharge
from processor.stream import survey as module
from processor.stream.partition import PartitionProcessor
from processor.stream.survey import HORIZON, Survey, Surveyor
from processor.stream.work import Work
from processor.testing import MemoryTable
from tests.unit.builders import NOW, tariff


def lot(days: int) -> Lot:
    purchased_at = NOW - timedelta(days=365 - days)
    return Lot(
        lot_id="lot-1",
        purchased_at=purchased_at,
        expires_at=purchased_at + timedelta(days=365),
        amount_micros=5,
        remaining_micros=5,
        expiry_noticed=True,
    )


def account(tenant: str, days: int = 300, **more: object) -> Account:
    """An account with one lot that expires in so many days."""
    return Account(
        tenant_id=tenant,
        currency="USD",
        lots=[lot(days)],
        balance_micros=5,
        credited_micros=5,
        **more,  # type: ignore[arg-type]
    )


def adopted(*accounts: Account) -> tuple[PartitionProcessor, MemoryTable]:
    stored = MemoryTable({each.tenant_id.encode(): encode(each) for each in accounts})
    processor = PartitionProcessor(0, 1, tariff())
    processor.restored(stored, MemoryTable({}))
    return processor, stored


def surveyed(processor: PartitionProcessor, stored: MemoryTable) -> PartitionProcessor:
    survey = Survey(processor, stored, NOW + HORIZON)
    while survey.step():
        pass
    return processor


def test_only_timers_within_the_horizon_are_kept():
    processor = surveyed(*adopted(account("soon", days=1), account("later", days=3), account("far")))
    assert processor.timers.take(NOW + timedelta(days=400), 10) == ["soon"]


def test_the_next_survey_finds_the_timers_that_have_come_over_the_horizon():
    processor, stored = adopted(account("later", days=3))
    assert len(surveyed(processor, stored).timers) == 0
    survey = Survey(processor, stored, NOW + timedelta(days=1) + HORIZON)
    survey.step()
    assert processor.timers.next() == NOW + timedelta(days=3)


def test_a_survey_counts_all_accounts_and_those_that_do_not_stand_well():
    waiting = Recharge(in_flight="w:1", requested_at=NOW)
    autopay = Autopay(enabled=True, payment_amount_micros=9, trigger_micros=7, payment_method_ref="card", set_by="c")
    owing = Account(tenant_id="owing", currency="USD", balance_micros=-3, overdraft_micros=3, debited_micros=3)
    found = [
        account("good"),
        owing,
        account("waiting", recharge=waiting, autopay=autopay),
        account("suspended", recharge=Recharge(suspended=True)),
        account("low", autopay=autopay),
        *(account(f"tenant-{number:03}") for number in range(3 * module.SLICE)),
    ]
    processor = surveyed(*adopted(*found))
    standings = processor.standings
    assert len(processor.table) == len(found)
    assert (standings.overdrafts, standings.overdraft_micros) == ({"owing": 3}, 3)
    assert standings.waiting == {"waiting": NOW}
    assert standings.suspended == {"suspended"}
    assert standings.low == {"low"}


def test_an_account_that_changed_meanwhile_is_taken_as_it_is_in_memory_and_a_new_one_counted_once():
    processor, stored = adopted(account("a"), account("b", recharge=Recharge(suspended=True)))
    changed = processor.table.get("b")
    assert changed is not None
    changed.recharge.suspended = False
    for each in (changed, account("new")):
        processor.table.changed(each)
    processor.finish(Work(NOW))
    written = MemoryTable({**stored._values, b"new": encode(account("new"))})
    surveyed(processor, written)
    assert processor.standings.suspended == set()
    assert len(processor.table) == 3


class Watched(MemoryTable):
    """Calls a function whenever it is read."""

    def __init__(self, accounts: list[Account], read: Callable[[], object]) -> None:
        super().__init__({each.tenant_id.encode(): encode(each) for each in accounts})
        self._read = read

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        self._read()
        return super().after(key, limit)


def test_a_partition_that_is_let_go_is_surveyed_no_further_and_the_next_one_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SLICE", 1)
    accounts = [account(f"tenant-{number}") for number in range(9)]
    lost, kept = (PartitionProcessor(number, 2, tariff()) for number in range(2))
    owned = [lost, kept]

    async def scene() -> int:
        seen, reads = asyncio.Event(), []

        def let_go() -> None:
            reads.append("lost")
            owned.remove(lost)

        lost.restored(Watched(accounts, let_go), MemoryTable({}))
        kept.restored(Watched(accounts, seen.set), MemoryTable({}))
        running = asyncio.create_task(Surveyor(lambda: owned).run())
        await seen.wait()
        running.cancel()
        return len(reads)

    assert asyncio.run(scene()) == 1
