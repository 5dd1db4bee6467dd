"""The minutes of users who share no pool: kept as encoded records, decoded when a leg touches them.

A tenant may have a hundred thousand such users. Their counters are no part of the account's record, which is written
whole with every change; in memory a user costs the bytes of one record, and only users who called are there.
"""

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec
from confluent_kafka import OFFSET_BEGINNING

from processor.contracts import topics
from processor.domain.pools import PoolUse, UserPools
from processor.stream import state_format
from processor.stream.reading import read_to_the_end

if TYPE_CHECKING:
    from processor.stream.partition import PartitionProcessor

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(UserPools).decode


def key_of(tenant_id: str, user_id: str) -> bytes:
    """Returns the key of a user's record; the partition is the tenant's."""
    return f"{tenant_id}\0{user_id}".encode()


def recover_users(config: dict[str, Any], processors: list["PartitionProcessor"], patience_s: float) -> int:
    """Fills the tables of users with everything committed so far; returns the number of records read."""
    owners = {processor.number: processor for processor in processors}
    starts = {(topics.USER_POOLS, number): OFFSET_BEGINNING for number in owners}
    records = 0
    for batch in read_to_the_end(config, starts, monotonic() + patience_s):
        state_format.check(batch)
        records += len(batch)
        for record in batch:
            owners[record.partition()].memory.users.restore(record.key(), record.value())
    return records


class UserPoolTable:
    """The users' counters of one partition."""

    def __init__(self) -> None:
        self._stored: dict[bytes, bytes] = {}
        self._touched: dict[bytes, UserPools] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Takes a record of `user.pools.v1`, in the order of the topic."""
        if value is None:
            self._stored.pop(key, None)
        else:
            self._stored[key] = value

    def get(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        """Returns a user's counters; changes to the list are kept."""
        key = key_of(tenant_id, user_id)
        pools = self._touched.get(key)
        if pools is None:
            stored = self._stored.get(key)
            pools = UserPools(tenant_id=tenant_id, user_id=user_id, pools=[]) if stored is None else _decode(stored)
            self._touched[key] = pools
        return pools.pools

    def take_changed(self) -> list[tuple[bytes, bytes]]:
        """Returns key and value of every record that differs from before, and keeps it."""
        changed = []
        for key, pools in self._touched.items():
            value = _encode(pools)
            if pools.pools and self._stored.get(key) != value:
                self._stored[key] = value
                changed.append((key, value))
        self._touched.clear()
        return changed
