"""The accounts of one partition, and which of them changed since the last commit."""

from typing import Final

from kafka.partitioner.default import murmur2

from processor.contracts.outputs import decode_account
from processor.domain.account import Account, check
from processor.domain.errors import InvariantViolated
from processor.stream.recent import Recent
from processor.stream.table_store import Stored

KEPT: Final = 10_000
"""Accounts of a partition that are kept in memory when nothing else is said."""


def partition_of(tenant_id: str, partitions: int) -> int:
    """Computes a tenant's partition as Java's and kafka-python's default partitioners do (murmur2 of the key)."""
    return int(murmur2(tenant_id.encode()) & 0x7FFFFFFF) % partitions


class BalanceTable:
    """Accounts by tenant id; an account joins the table with its first applied message.

    Those that were used lately are in memory, all others where recovery has `stored` them.
    """

    def __init__(self, keep: int = KEPT) -> None:
        self.stored: Stored | None = None
        self.recent: Recent[str, Account] = Recent(keep)
        self._count = 0
        self._new: set[str] | None = set()
        self._changed: dict[str, Account] = {}

    def __len__(self) -> int:
        return self._count + len(self._new or ())

    def is_new(self, tenant_id: str) -> bool:
        """Tells whether an account has joined since the adoption; unknown, so False, once all have been counted."""
        return self._new is not None and tenant_id in self._new

    def counted(self, others: int) -> None:
        """Says how many stored accounts there are that are not new."""
        if self._new is not None:
            self._count, self._new = others + len(self._new), None

    def get(self, tenant_id: str) -> Account | None:
        """Returns the tenant's account, if there is one, with its books checked where it comes from the disk."""
        account = self.recent.young.get(tenant_id)
        return account if account is not None else self._fetched(tenant_id)

    def changed(self, account: Account) -> None:
        """Marks an account to be part of the next commit."""
        tenant_id = account.tenant_id
        young = self.recent.young
        if tenant_id not in young:  # `get` would have put it there
            young[tenant_id] = account
            if self._new is None:
                self._count += 1
            else:
                self._new.add(tenant_id)
        self._changed[tenant_id] = account

    def take_changed(self) -> list[Account]:
        """Hands over the accounts to be committed, each with its books checked."""
        changed = list(self._changed.values())
        self._changed.clear()
        for account in changed:
            check(account)
        self.recent.age(self.stored, changed=bool(changed))
        return changed

    def _fetched(self, tenant_id: str) -> Account | None:
        account = self.recent.get(tenant_id)
        if account is None and self.stored is not None and (value := self.stored.get(tenant_id.encode())) is not None:
            account = decode_account(value)
            if account.tenant_id != tenant_id:
                raise InvariantViolated("an account is stored under another tenant's key")
            check(account)
            self.recent.young[tenant_id] = account
        return account
