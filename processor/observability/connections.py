"""Says that brokers are out of reach while the worker waits for them: the same thing once a minute.

librdkafka tries again many times a second and would fill the log with it.
"""

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

import structlog
from confluent_kafka import KafkaError
from prometheus_client import Counter

from processor.stream import faults

log = structlog.get_logger()

SAY_EVERY_S: Final = 60.0


class Connections:
    """Takes what librdkafka reports beside the answers to calls: its `error_cb`."""

    def __init__(self, errors: Counter, clock: Callable[[], float] = monotonic) -> None:
        self._errors = errors
        self._clock = clock
        self._said: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Counts one error, and logs it unless its like was logged within the minute."""
        self._errors.inc()
        now = self._clock()
        if now - self._said.get(error.code(), -inf) >= SAY_EVERY_S:
            self._said[error.code()] = now
            fault = faults.of("broker_unreachable")
            log.warning("broker out of reach, trying again", error=error.str(), next_step=fault.next_step)
