"""Declares the topics of `schemas/asyncapi.yaml` on a cluster and checks them there.

Partition counts are never changed: a tenant's partition follows from the count, so a changed count splits balances.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from processor import contracts
from processor.contracts.topics import ACCOUNT_STATE, EVENT_IDS
from processor.stream.homes import stray

CONNECT_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_S: Final = 10.0
USABLE_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.02
DAY_MS: Final = 86_400_000
DEFAULT_DEDUPLICATION_DAYS: Final = 35
MIN_INSYNC: Final = "min.insync.replicas"
AT_LEAST: Final = frozenset({"retention.ms", "max.message.bytes", MIN_INSYNC})
"""Settings that may exceed what is declared: more is kept, more fits, more copies are acknowledged."""
TUNING: Final = frozenset({"segment.ms", "segment.bytes", "min.cleanable.dirty.ratio"})
"""Settings an operator may tune: `verify` leaves them alone, `apply` sets them as declared."""

NOT_YET: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._NOENT,  # noqa: SLF001 - librdkafka: no leaders found
    }
)
"""What a partition answers while it comes up."""

Security = Mapping[str, object] | None
"""librdkafka settings for TLS and SASL, as `Settings.librdkafka()` returns them."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as declared; `config` is in Kafka's own names and strings, without `min.insync.replicas`."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A setting of an existing topic that was brought back to what is declared."""

    topic: str
    setting: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person has to decide about."""

    topic: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did; with problems it did nothing."""

    created: list[str] = field(default_factory=list)
    altered: list[Change] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Found:
    """A topic as it is on the cluster."""

    partitions: int
    replicas: int
    config: Mapping[str, str]


def schemas_dir() -> Path:
    """Returns the directory of asyncapi.yaml and the schemas: in the installed package, or in the checkout."""
    installed = Path(contracts.__file__).parent / "published"
    return installed if installed.is_dir() else Path(contracts.__file__).parents[2] / "schemas"


def declared(deduplication_days: int = DEFAULT_DEDUPLICATION_DAYS) -> dict[str, TopicSpec]:
    """Returns every declared topic by name, in the order of the description.

    The ids of applied events are kept a day longer than the window in which they must be recognised.
    """
    document = yaml.safe_load((schemas_dir() / "asyncapi.yaml").read_text())
    everywhere = document["x-production"]["topicConfiguration"]
    specs = {}
    for channel in document["channels"].values():
        kafka = channel["bindings"]["kafka"]
        config = {name: _text(value) for name, value in {**everywhere, **kafka["topicConfiguration"]}.items()}
        del config[MIN_INSYNC]  # follows from the replication at hand
        if channel["address"] == EVENT_IDS:
            config["retention.ms"] = str((deduplication_days + 1) * DAY_MS)
        specs[channel["address"]] = TopicSpec(channel["address"], kafka["partitions"], config)
    return specs


def apply(
    brokers: str,
    partitions: int,
    replication: int,
    security: Security = None,
    deduplication_days: int = DEFAULT_DEDUPLICATION_DAYS,
) -> Applied:
    """Creates missing topics, sets drifted settings as declared and returns once every topic can be used.

    Touches nothing where a partition count does not fit: then the result has problems. Raises `KafkaException` when
    no broker answers or one refuses, `TimeoutError` when a new topic does not come up.
    """
    client = _admin(brokers, security)
    specs = declared(deduplication_days)
    found = _found(client, specs)
    problems = [
        Problem(
            name,
            f"has {topic.partitions} partitions, not {partitions}",
            f"A partition count is fixed for life. Use --partitions {topic.partitions}, or other brokers.",
        )
        for name, topic in found.items()
        if topic.partitions != partitions
    ]
    if problems:
        return Applied(problems=problems)
    missing = [spec for name, spec in specs.items() if name not in found]
    _create(client, missing, partitions, replication)
    altered = [change for name, topic in found.items() for change in _drift(specs[name], topic)]
    _alter(client, altered)
    _await_usable(lambda: _admin(brokers, security), specs, partitions)
    drifted = {change.topic for change in altered}
    return Applied(
        created=[spec.name for spec in missing],
        altered=altered,
        unchanged=[name for name in found if name not in drifted],
    )


def verify(
    brokers: str, security: Security = None, deduplication_days: int = DEFAULT_DEDUPLICATION_DAYS
) -> list[Problem]:
    """Returns what keeps the cluster's topics from being safe to use; raises `KafkaException` without a broker."""
    client = _admin(brokers, security)
    specs = declared(deduplication_days)
    found = _found(client, specs)
    problems = [Problem(name, "is missing", "Create it: credits topics apply") for name in specs if name not in found]
    counts = {topic.partitions for topic in found.values()}
    if len(counts) > 1:
        usual = max(counts, key=[topic.partitions for topic in found.values()].count)
        problems += [
            Problem(
                name,
                f"has {topic.partitions} partitions where others have {usual}",
                "Stop the workers. All topics need one count, or a tenant's records part: start over with new topics.",
            )
            for name, topic in found.items()
            if topic.partitions != usual
        ]
    elif ACCOUNT_STATE in found:
        [count] = counts
        if (where := stray({"log_level": 0, **(security or {}), "bootstrap.servers": brokers}, count)) is not None:
            problems.append(
                Problem(
                    ACCOUNT_STATE,
                    f"holds an account in partition {where[0]} whose home is {where[1]} of {count}",
                    "The partition count was changed: no worker may run. Restore the topics with their former count,"
                    " or start over with new topics.",
                )
            )
    for name, topic in found.items():
        problems += [
            Problem(
                name,
                f"has {change.setting}={change.before}, declared is {change.after}",
                f"Set it as declared: credits topics apply --partitions {topic.partitions}",
            )
            for change in _drift(specs[name], topic)
            if change.setting not in TUNING and not _exceeds(change)
        ]
    return problems


def _exceeds(change: Change) -> bool:
    if change.setting not in AT_LEAST:
        return False
    before, after = int(change.before), int(change.after)
    return before > after or (change.setting == "retention.ms" and before == -1)


def _admin(brokers: str, security: Security) -> AdminClient:
    return AdminClient({"log_level": 0, **(security or {}), "bootstrap.servers": brokers})


def _found(client: AdminClient, names: Iterable[str]) -> dict[str, _Found]:
    """Describes those of the named topics that exist."""
    present = client.list_topics(timeout=CONNECT_TIMEOUT_S).topics
    topics = {name: present[name] for name in names if name in present}
    if not topics:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    answers = client.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
    configs = {resource.name: future.result() for resource, future in answers.items()}
    return {
        name: _Found(
            partitions=len(topic.partitions),
            replicas=min(len(partition.replicas) for partition in topic.partitions.values()),
            config={entry.name: entry.value or "" for entry in configs[name].values()},
        )
        for name, topic in topics.items()
    }


def _drift(spec: TopicSpec, topic: _Found) -> list[Change]:
    """Compares an existing topic with its description, as for the number of copies it has."""
    wanted = {**spec.config, MIN_INSYNC: _min_insync(topic.replicas)}
    return [
        Change(spec.name, setting, topic.config.get(setting, ""), value)
        for setting, value in wanted.items()
        if topic.config.get(setting) != value
    ]


def _create(client: AdminClient, missing: list[TopicSpec], partitions: int, replication: int) -> None:
    if not missing:
        return
    new = [
        NewTopic(
            spec.name,
            num_partitions=partitions,
            replication_factor=replication,
            config={**spec.config, MIN_INSYNC: _min_insync(replication)},
        )
        for spec in missing
    ]
    for future in client.create_topics(new, request_timeout=REQUEST_TIMEOUT_S).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # someone else created it meanwhile
                raise


def _alter(client: AdminClient, changes: list[Change]) -> None:
    by_topic: dict[str, list[ConfigEntry]] = {}
    for change in changes:
        entry = ConfigEntry(change.setting, change.after, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(change.topic, []).append(entry)
    if not by_topic:
        return
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in by_topic.items()
    ]
    for future in client.incremental_alter_configs(resources, request_timeout=REQUEST_TIMEOUT_S).values():
        future.result()


def _await_usable(connect: Callable[[], AdminClient], names: Iterable[str], partitions: int) -> None:
    """Returns when the leader of every partition of the named topics answers.

    Each look has a client of its own: one that saw an older topic of the same name may remember that it is gone.
    """
    deadline = time.monotonic() + USABLE_TIMEOUT_S
    places = [TopicPartition(name, partition) for name in names for partition in range(partitions)]
    while not _led(connect(), places):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the topics have no leaders {USABLE_TIMEOUT_S:.0f} s after their creation")
        time.sleep(POLL_S)


def _led(client: AdminClient, places: list[TopicPartition]) -> bool:
    answers = client.list_offsets({place: OffsetSpec.latest() for place in places}, request_timeout=REQUEST_TIMEOUT_S)
    try:
        for future in answers.values():
            future.result()
    except KafkaException as error:
        if error.args[0].code() not in NOT_YET:
            raise
        return False
    return True


def _min_insync(replication: int) -> str:
    return str(max(1, replication - 1))


def _text(value: object) -> str:
    """Writes a value as Kafka does."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
