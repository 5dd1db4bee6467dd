"""The accounts of one partition, and which of them changed since the last commit."""

from collections.abc import Iterable, Iterator

from kafka.partitioner.default import murmur2

from processor.contracts.outputs import decode_account
from processor.domain.account import Account, check
from processor.domain.errors import InvariantViolated


def partition_of(tenant_id: str, partitions: int) -> int:
    """Computes a tenant's partition as Java's and kafka-python's default partitioners do (murmur2 of the key)."""
    return int(murmur2(tenant_id.encode()) & 0x7FFFFFFF) % partitions


class BalanceTable:
    """Accounts by tenant id; an account joins the table with its first applied message.

    What recovery puts back stays as it was published, JSON, until the tenant's next message: most tenants of a large
    partition have none for a while, and decoding a million accounts would hold a take-over up.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._stored: dict[bytes, bytes] = {}
        self._changed: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self.accounts) + len(self._stored)

    def get(self, tenant_id: str) -> Account | None:
        """Returns the tenant's account, if there is one, with its books checked where it was put back."""
        account = self.accounts.get(tenant_id)
        if account is None and (value := self._stored.pop(tenant_id.encode(), None)) is not None:
            account = decode_account(value)
            if account.tenant_id != tenant_id:
                raise InvariantViolated("an account is stored under another tenant's key")
            check(account)
            self.accounts[tenant_id] = account
        return account

    def changed(self, account: Account) -> None:
        """Marks an account to be part of the next commit."""
        self.accounts[account.tenant_id] = account
        self._changed[account.tenant_id] = account

    def take_changed(self) -> list[Account]:
        """Hands over the accounts to be committed, each with its books checked."""
        changed = list(self._changed.values())
        self._changed.clear()
        for account in changed:
            check(account)
        return changed

    def restore(self, accounts: dict[bytes, bytes]) -> None:
        """Puts committed accounts back during recovery, by tenant id; later ones replace earlier ones."""
        self._stored.update(accounts)

    def slices(self, size: int) -> Iterator[list[Account]]:
        """Yields every account that is there now, so many at a time; those that nobody has asked for are decoded."""
        tenants = [*self.accounts, *map(bytes.decode, self._stored)]
        for start in range(0, len(tenants), size):
            found = map(self.get, tenants[start : start + size])
            yield [account for account in found if account is not None]

    def stored(self) -> Iterable[bytes]:
        """Returns the accounts that nobody has asked for since recovery, as they were published."""
        return self._stored.values()
