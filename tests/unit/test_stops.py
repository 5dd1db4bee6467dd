"""Why a process stopped itself is told by the process after it, and every cause has a way out."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.domain.errors import InvariantViolated
from processor.observability.stops import Stops
from processor.stream.faults import CAUSES, diagnose, of


def test_the_next_process_of_a_data_directory_knows_why_the_ones_before_stopped_themselves(tmp_path: Path) -> None:
    path = tmp_path / "stops"
    first = Stops(path)
    assert not first.counts
    for cause in ("books", "fenced", "books"):
        first.add(cause)
    assert Stops(path).counts == {"books": 2, "fenced": 1}


def test_a_full_disk_does_not_keep_the_worker_from_stopping(tmp_path: Path) -> None:
    Stops(tmp_path / "missing" / "stops").add("disk")


def test_every_cause_has_an_exit_code_and_says_what_to_do() -> None:
    for cause in CAUSES:
        assert of(cause).exit_code in (1, 70, 75)
        assert of(cause).next_step


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (InvariantViolated("the books"), "books"),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), "broker_unreachable"),
        (KafkaException(KafkaError(KafkaError.UNKNOWN_LEADER_EPOCH)), "broker_unreachable"),
        (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), "broker_refused"),
        (KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID)), "fenced"),
        (OSError(28, "No space left on device"), "disk"),
        (Exception("IO error: No space left on device: While appending to file"), "disk"),
        (ValueError("a bug"), "unexpected"),
    ],
)
def test_an_exception_is_told_as_its_cause(error: Exception, cause: str) -> None:
    assert diagnose(error).cause == cause
