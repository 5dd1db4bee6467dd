"""Which recharges have a result already: read back from the results topic, the authority on what was published.

A result and the offset of its command commit together, so a command meets its own result here when it was sent twice,
or when the group's offsets are gone and all commands are read again. Results are kept as long as commands, so reading
them from the beginning answers both. What was decided but not published is the inbox's to know.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, TopicPartition
from msgspec import Struct

REMEMBERED: Final = 1_000_000
"""Ids per partition kept in memory, the newest: about 100 MB, and a payment every eight seconds for 90 days."""


class _Data(Struct):
    recharge_id: str


class _Result(Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Result).decode


class KnownResults:
    """The recharge ids with a committed result, by partition of the results topic."""

    def __init__(self, conf: Mapping[str, Any], topic: str) -> None:
        self._conf = conf
        self._topic = topic
        self._ids: dict[int, OrderedDict[str, None]] = {}
        self._read_to: dict[int, int] = {}

    def load(self, partitions: Iterable[int], overdue: Container[int] = ()) -> bool:
        """Reads back the partitions that are not known yet; waits for transactions that are still open in them.

        Where a command is `overdue`, what has been written since is read, too: a person may have settled it meanwhile.
        Tells whether anything was read.
        """
        wanted = [TopicPartition(self._topic, part) for part in partitions if part in overdue or part not in self._ids]
        if not wanted:
            return False
        found = {at.partition: self._ids.get(at.partition, OrderedDict()) for at in wanted}
        for partition, value in self._read(wanted):
            try:
                found[partition][_decode(value).data.recharge_id] = None
            except msgspec.DecodeError:
                continue  # not a result: the meter parks it
        self._ids.update(found)
        return True

    def among(self, recharge_ids: Iterable[str]) -> list[str]:
        """Returns those of the ids that have a result in one of the known partitions."""
        return [recharge_id for recharge_id in recharge_ids if any(recharge_id in ids for ids in self._ids.values())]

    def forget(self, partitions: Iterable[int]) -> None:
        """Drops partitions that another worker decides about from now on."""
        for partition in partitions:
            self._ids.pop(partition, None)
            self._read_to.pop(partition, None)

    def clear(self) -> None:
        """Drops all partitions."""
        self._ids.clear()
        self._read_to.clear()

    def add(self, partition: int, recharge_id: str) -> None:
        """Remembers a result that has just been committed."""
        known = self._ids[partition]
        known[recharge_id] = None
        if len(known) > REMEMBERED:
            known.popitem(last=False)

    def __contains__(self, key: tuple[int, str]) -> bool:
        partition, recharge_id = key
        return recharge_id in self._ids[partition]

    def _read(self, partitions: list[TopicPartition]) -> Iterable[tuple[int, bytes]]:
        with _reader(self._conf, "read_uncommitted") as reader:
            ends = reader.end_offsets(partitions)
        with _reader(self._conf, "read_committed") as reader:
            reader.assign(partitions)
            for at in partitions:
                if at.partition in self._read_to:
                    reader.seek(at, self._read_to[at.partition])
                else:
                    reader.seek_to_beginning(at)
            while any(reader.position(at) < ends[at] for at in partitions):
                for at, records in reader.poll(timeout_ms=100).items():
                    for record in records:
                        if record.value is not None:
                            yield at.partition, record.value
            for at in partitions:
                self._read_to[at.partition] = reader.position(at)


def _reader(conf: Mapping[str, Any], isolation: str) -> Any:
    return KafkaConsumer(
        **conf,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        fetch_max_wait_ms=50,
    )
