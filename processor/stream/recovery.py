"""Rebuilds partitions from their local checkpoints and the rest of their changelogs: step A2."""

from collections import defaultdict
from time import monotonic
from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.contracts import topics
from processor.stream import state_format
from processor.stream.balance_table import partition_of
from processor.stream.checkpoint import CHANGELOGS, Changes
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.frames import Stamp
from processor.stream.partition import PartitionProcessor
from processor.stream.reading import ADMIN_TIMEOUT_S, Place, offsets, read_to_the_end, topic_id
from processor.stream.table_store import Stored

SAMPLE: Final = 1000
"""Accounts of a partition whose home is computed again: their digest is slow, and one stray tells enough."""

log = structlog.get_logger()


class PartitionCountChangedError(Exception):
    """The topics have another number of partitions than before, so tenants would begin anew in other partitions.

    Operator action: restore the former number; it cannot change for as long as there are accounts.
    """


class Changelogs(NamedTuple):
    """What the broker says about the changelogs: which ones they are, and from where to where they reach."""

    cluster_id: str
    topic_ids: dict[str, str]
    first: dict[Place, int]
    end: dict[Place, int]


def recover(
    config: dict[str, Any],
    app_id: str,
    processors: list[PartitionProcessor],
    checkpoints: CheckpointWriter,
    patience_s: float,
) -> int:
    """Fills the processors with everything committed so far; returns the number of records read.

    Reads committed records up to the high watermark that includes undecided ones: a dead predecessor's open
    transaction holds back whatever a later owner has committed behind it, so stopping at the last stable offset could
    miss committed debits.
    """
    deadline = monotonic() + patience_s
    for processor in processors:
        if processor.number >= processor.partitions:
            raise PartitionCountChangedError(f"partition {processor.number} of {processor.partitions} was assigned")
    changelogs = _describe(config, [processor.number for processor in processors])
    starts: dict[Place, int] = {}
    for processor in processors:
        starts |= _load(processor, app_id, changelogs, checkpoints)
    if anew := sorted({number for (_, number), start in starts.items() if not start}):
        log.info("reading changelogs from their beginning", partitions=anew)
    places = {place: offset or OFFSET_BEGINNING for place, offset in starts.items()}
    records = sum(_copy(batch, checkpoints) for batch in read_to_the_end(config, places, deadline))
    for processor in processors:
        tables = checkpoints.recovered(processor.number, processor.ids)
        _check_homes(processor, tables[topics.ACCOUNT_STATE])
        processor.restored(tables[topics.ACCOUNT_STATE], tables[topics.USER_POOLS])
    return records


def _check_homes(processor: PartitionProcessor, accounts: Stored) -> None:
    for tenant, _ in accounts.after(b"", SAMPLE):
        home = partition_of(tenant.decode(), processor.partitions)
        if home != processor.number:
            raise PartitionCountChangedError(
                f"partition {processor.number} holds an account that is at home in {home} of {processor.partitions}"
            )


def _describe(config: dict[str, Any], numbers: list[int]) -> Changelogs:
    places = [(topic, number) for topic in CHANGELOGS for number in numbers]
    return Changelogs(
        cluster_id=AdminClient(config).list_topics(CHANGELOGS[0], timeout=ADMIN_TIMEOUT_S).cluster_id,
        topic_ids={topic: topic_id(config, topic) for topic in CHANGELOGS},
        first=offsets(config, places, OffsetSpec.earliest()),
        end=offsets(config, places, OffsetSpec.latest()),
    )


def _load(
    processor: PartitionProcessor, app_id: str, changelogs: Changelogs, checkpoints: CheckpointWriter
) -> dict[Place, int]:
    """Opens the local checkpoint; returns where to go on reading."""
    number = processor.number
    stamps = {
        topic: Stamp(
            cluster_id=changelogs.cluster_id,
            app_id=app_id,
            topic=topic,
            topic_id=changelogs.topic_ids[topic],
            partitions=processor.partitions,
            partition=number,
        )
        for topic in CHANGELOGS
    }
    kept = {topic: (changelogs.first[topic, number], changelogs.end[topic, number]) for topic in CHANGELOGS}
    loaded = checkpoints.open(number, stamps, kept)
    for topic, reason in loaded.problems.items():
        offset = loaded.offsets[topic]
        log.warning("checkpoint not used as it is", partition=number, topic=topic, reason=reason, from_offset=offset)
    return {(topic, number): offset for topic, offset in loaded.offsets.items()}


def _copy(batch: list[Record], checkpoints: CheckpointWriter) -> int:
    """Hands committed records to the checkpoints; returns how many there were."""
    state_format.check(batch)
    by_place: dict[Place, list[Record]] = defaultdict(list)
    for record in batch:
        by_place[record.topic(), record.partition()].append(record)
    for (topic, number), records in by_place.items():
        last = records[-1]
        end, at_ms = last.offset() + 1, last.timestamp()[1]
        if topic == topics.EVENT_IDS:
            checkpoints.add(number, Changes({}, [record.value() for record in records], end, at_ms))
        else:
            newest = {record.key(): record.value() for record in records}
            checkpoints.add(number, Changes({topic: (newest, end)}, [], None, at_ms))
    return len(batch)
