"""Accounts beyond the memory: however late the disk is, an account is always found as it was left."""

from hypothesis import given
from hypothesis import strategies as st

from processor.contracts.outputs import encode
from processor.domain.account import Account, debit
from processor.stream.balance_table import BalanceTable

TENANTS = [f"tenant-{number}" for number in range(12)]

steps = st.lists(st.tuples(st.lists(st.sampled_from(TENANTS), max_size=6), st.integers(0, 3)), max_size=60)


class LateDisk:
    """A table on disk that is some cycles behind."""

    def __init__(self) -> None:
        self.written = 0
        self._cycles: list[dict[bytes, bytes]] = []
        self._values: dict[bytes, bytes] = {}
        self.read = 0

    def add(self, changed: list[Account]) -> None:
        if changed:
            self._cycles.append({account.tenant_id.encode(): encode(account) for account in changed})

    def catch_up(self, behind: int) -> None:
        while self.written < len(self._cycles) - behind:
            self._values.update(self._cycles[self.written])
            self.written += 1

    def get(self, key: bytes) -> bytes | None:
        self.read += 1
        return self._values.get(key)

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        raise NotImplementedError


@given(steps)
def test_an_account_is_found_as_it_was_left_however_late_the_disk_is(history):
    table, disk, expected = BalanceTable(keep=2), LateDisk(), dict.fromkeys(TENANTS, 0)
    table.stored = disk
    for tenants, behind in history:
        for tenant in tenants:
            account = table.get(tenant)
            assert (account.debited_micros if account else 0) == expected[tenant]
            account = account or Account(tenant_id=tenant, currency="USD")
            debit(account, 1)
            table.changed(account)
            expected[tenant] += 1
        disk.add(table.take_changed())
        disk.catch_up(behind)
    assert len(table) == sum(map(bool, expected.values()))


def test_accounts_that_nobody_uses_leave_the_memory_once_they_are_on_the_disk():
    table, disk = BalanceTable(keep=10), LateDisk()
    table.stored = disk
    for number in range(1000):
        table.changed(Account(tenant_id=f"tenant-{number}", currency="USD"))
        disk.add(table.take_changed())
        disk.catch_up(behind=5)
        assert len(table.recent) <= 2 * (10 + 5 + 1)


def test_accounts_stay_in_memory_for_as_long_as_they_are_not_on_the_disk():
    table, disk = BalanceTable(keep=10), LateDisk()
    table.stored = disk
    for number in range(1000):
        table.changed(Account(tenant_id=f"tenant-{number}", currency="USD"))
        disk.add(table.take_changed())
    assert len(table.recent) == 1000


def test_an_account_in_use_is_not_read_from_the_disk_again():
    table, disk = BalanceTable(keep=10), LateDisk()
    table.stored = disk
    for number in range(1000):
        for tenant in ("busy", f"tenant-{number}"):
            table.changed(table.get(tenant) or Account(tenant_id=tenant, currency="USD"))
        disk.add(table.take_changed())
        disk.catch_up(behind=0)
    assert disk.read == 1001
