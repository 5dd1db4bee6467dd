"""The accounts of one partition, and which of them changed since the last commit."""

from kafka.partitioner.default import murmur2

from processor.domain.account import Account, check


def partition_of(tenant_id: str, partitions: int) -> int:
    """Computes a tenant's partition as Java's and kafka-python's default partitioners do (murmur2 of the key)."""
    return int(murmur2(tenant_id.encode()) & 0x7FFFFFFF) % partitions


class BalanceTable:
    """Accounts by tenant id; an account joins the table with its first applied message."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._changed: dict[str, Account] = {}

    def get(self, tenant_id: str) -> Account | None:
        """Returns the tenant's account, if there is one."""
        return self.accounts.get(tenant_id)

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

    def restore(self, account: Account) -> None:
        """Puts a committed account back during recovery."""
        check(account)
        self.accounts[account.tenant_id] = account
