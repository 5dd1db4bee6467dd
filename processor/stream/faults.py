"""What a worker that stops itself tells its operator: the cause, the exit code, and what to do next.

A worker rolls nothing back in memory: whatever it cannot get over ends the process, and the next one begins from what
is committed. The exit code says to a supervisor whether that will help: 70 and 75 yes, 1 only once a person has acted.
"""

import errno
import os
from typing import Final, Literal, NamedTuple, get_args

from confluent_kafka import KafkaError, KafkaException

from processor.domain.errors import InvariantViolated
from processor.stream.clock import ClockWrongError
from processor.stream.lane import NotCoPartitionedError, PartitionsLostError
from processor.stream.reading import ReadingStalledError
from processor.stream.recovery import PartitionCountChangedError
from processor.stream.state_format import NewerStateError

Cause = Literal[
    "assignment",
    "books",
    "broker_refused",
    "broker_unreachable",
    "clock",
    "disk",
    "fenced",
    "input_deleted",
    "newer_state",
    "partition_count",
    "record_too_large",
    "stop_timeout",
    "topic_missing",
    "transaction_aborted",
    "unexpected",
]
"""A closed set, which also labels a metric."""

CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)

EXIT_PROBLEM: Final = 1
EXIT_UNEXPECTED: Final = 70
EXIT_UNREACHABLE: Final = 75


class Fault(NamedTuple):
    """Why the process ends, with what code, and what a person does about it."""

    cause: Cause
    exit_code: int
    next_step: str


_FAULTS: Final = {
    fault.cause: fault
    for fault in (
        Fault(
            "assignment",
            EXIT_UNEXPECTED,
            "all input topics must have one partition count (`credits topics verify`), and nobody but workers may be in"
            " their consumer group (CREDITS_APP_ID)",
        ),
        Fault(
            "books",
            EXIT_UNEXPECTED,
            "nothing of the running cycle was committed: keep the input topics and this log, run `credits verify`,"
            " and start the previous release if it happens again",
        ),
        Fault(
            "broker_refused",
            EXIT_UNEXPECTED,
            "the broker denies what the worker needs: compare its rights with `credits topics acls`, and its user and"
            " password with CREDITS_SASL_USERNAME and CREDITS_SASL_PASSWORD",
        ),
        Fault(
            "broker_unreachable",
            EXIT_UNREACHABLE,
            "look for brokers that are down, frozen, or without enough replicas in sync, and at the network between:"
            " the worker goes on where it was once they answer. If they do, `credits topics verify` names what is gone",
        ),
        Fault(
            "clock",
            EXIT_UNEXPECTED,
            "nothing of the running cycle was committed: compare the clocks of this machine and of the brokers"
            " (`timedatectl`), and set the wrong one right; the worker then goes on where it was",
        ),
        Fault(
            "disk",
            EXIT_UNEXPECTED,
            "free space on the disk of the data directory (CREDITS_DATA_DIR), or move it: `checkpoint` and `charges`"
            " in it may be deleted while the worker is stopped",
        ),
        Fault(
            "fenced",
            EXIT_UNEXPECTED,
            "nothing, if the worker was frozen, cut off or replaced: another one has taken its partitions. If it"
            " repeats: no two workers may have one instance name (CREDITS_INSTANCE, or a copied data directory), and no"
            " transaction may take longer than CREDITS_TRANSACTION_TIMEOUT_S",
        ),
        Fault(
            "input_deleted",
            EXIT_UNEXPECTED,
            "usage was deleted from an input topic before it was charged: raise the topic's retention, have the"
            " platform send the missing time again, then set the group's offsets to what is left"
            " (kafka-consumer-groups --reset-offsets --to-earliest)",
        ),
        Fault(
            "newer_state",
            EXIT_PROBLEM,
            "a newer release has written this state, which this one does not know: nothing was changed, start the newer"
            " release again (docs/how-to/upgrade.md)",
        ),
        Fault(
            "partition_count",
            EXIT_PROBLEM,
            "a partition count must never change, as tenants are at home by it: restore the topics with their former"
            " count, or move to a new cluster; `credits topics verify` tells the counts",
        ),
        Fault(
            "record_too_large",
            EXIT_UNEXPECTED,
            "a topic or the broker takes less than declared: `credits topics verify` names the setting,"
            " `credits topics apply` sets it (max.message.bytes), message.max.bytes is the broker's",
        ),
        Fault(
            "stop_timeout",
            EXIT_UNEXPECTED,
            "nothing: what was not committed is read again. If it repeats while the brokers answer, raise"
            " CREDITS_SHUTDOWN_TIMEOUT_S",
        ),
        Fault(
            "topic_missing",
            EXIT_UNEXPECTED,
            "a topic or some of its partitions are gone: `credits topics verify` names them; restore them from a"
            " backup, as `credits topics apply` creates them empty",
        ),
        Fault(
            "transaction_aborted",
            EXIT_UNEXPECTED,
            "nothing: the broker has ended the transaction, and its input is read again. If it repeats, cycles take"
            " longer than CREDITS_TRANSACTION_TIMEOUT_S: raise it, or lower CREDITS_BATCH_MAX_EVENTS",
        ),
        Fault(
            "unexpected",
            EXIT_UNEXPECTED,
            "start it again, it goes on from what is committed; if it repeats, keep this log and report it",
        ),
    )
}

_OF_EXCEPTION: Final[dict[type[BaseException], Cause]] = {
    ClockWrongError: "clock",
    InvariantViolated: "books",
    NewerStateError: "newer_state",
    NotCoPartitionedError: "assignment",
    PartitionCountChangedError: "partition_count",
    PartitionsLostError: "fenced",
    ReadingStalledError: "broker_unreachable",
    TimeoutError: "broker_unreachable",
}

_CODES: Final[dict[Cause, tuple[int, ...]]] = {
    "broker_refused": (
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own codes have such names
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ),
    "broker_unreachable": (
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._INCONSISTENT,  # noqa: SLF001 - some records of the transaction were not delivered in time
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,  # a broker that has just started knows less than its clients
    ),
    "clock": (KafkaError.INVALID_TIMESTAMP,),  # Kafka 4 takes no record of more than an hour ahead
    "fenced": (
        KafkaError.CONCURRENT_TRANSACTIONS,  # somebody else has one under our name
        KafkaError._FENCED,  # noqa: SLF001
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.UNKNOWN_MEMBER_ID,
    ),
    "input_deleted": (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE),  # noqa: SLF001
    "record_too_large": (
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    ),
    "topic_missing": (
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ),
    "transaction_aborted": (
        KafkaError._STATE,  # noqa: SLF001 - a record was refused while the input positions were under way
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.UNKNOWN_PRODUCER_ID,
    ),
}

_OF_CODE: Final = {code: cause for cause, codes in _CODES.items() for code in codes}

_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def diagnose(error: BaseException) -> Fault:
    """Tells what an exception that ends the process is about."""
    return _FAULTS[_cause(error)]


def of(cause: Cause) -> Fault:
    """Returns the fault of a known cause."""
    return _FAULTS[cause]


def _cause(error: BaseException) -> Cause:
    for kind, cause in _OF_EXCEPTION.items():
        if isinstance(error, kind):
            return cause
    if isinstance(error, KafkaException):
        return _OF_CODE.get(error.args[0].code(), "unexpected")
    # RocksDB raises plain exceptions with the system's words in them.
    if getattr(error, "errno", None) in _DISK or any(os.strerror(code) in str(error) for code in _DISK):
        return "disk"
    return "unexpected"
