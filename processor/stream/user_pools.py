"""The minutes of users who share no pool: kept as encoded records, decoded when a leg touches them.

A tenant may have a hundred thousand such users. Their counters are no part of the account's record, which is written
whole with every change; in memory a user costs the bytes of one record, and only users who called are there.
"""

from typing import Final

import msgspec

from processor.domain.pools import PoolUse, UserPools
from processor.stream.recent import Recent
from processor.stream.table_store import Stored

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(UserPools).decode


def key_of(tenant_id: str, user_id: str) -> bytes:
    """Returns the key of a user's record; the partition is the tenant's."""
    return f"{tenant_id}\0{user_id}".encode()


class UserPoolTable:
    """The users' counters of one partition: those of users who called lately in memory, all others where recovery has
    `stored` them.
    """

    def __init__(self, keep: int) -> None:
        self.stored: Stored | None = None
        self._recent: Recent[bytes, bytes] = Recent(keep)
        self._touched: dict[bytes, UserPools] = {}

    def get(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        """Returns a user's counters; changes to the list are kept."""
        key = key_of(tenant_id, user_id)
        pools = self._touched.get(key)
        if pools is None:
            value = self._value(key)
            pools = UserPools(tenant_id=tenant_id, user_id=user_id, pools=[]) if value is None else _decode(value)
            self._touched[key] = pools
        return pools.pools

    def take_changed(self) -> list[tuple[bytes, bytes]]:
        """Returns key and value of every record that differs from before, and keeps it."""
        changed = []
        for key, pools in self._touched.items():
            value = _encode(pools)
            if pools.pools and self._value(key) != value:
                self._recent.young[key] = value
                changed.append((key, value))
        self._touched.clear()
        self._recent.age(self.stored, changed=bool(changed))
        return changed

    def _value(self, key: bytes) -> bytes | None:
        value = self._recent.get(key)
        if value is None and self.stored is not None and (value := self.stored.get(key)) is not None:
            self._recent.young[key] = value
        return value
