"""Says that brokers are out of reach while the worker waits for them: the same thing once a minute.

librdkafka tries again many times a second and would fill the log with it. A topic that is gone is no such thing: no
waiting brings it back, and the consumer would be silent about it.
"""

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import Counter

from processor.stream import faults

log = structlog.get_logger()

SAY_EVERY_S: Final = 60.0


class Connections:
    """Takes what librdkafka reports beside the answers to calls: its `error_cb`."""

    def __init__(
        self, errors: Counter, on_death: Callable[[BaseException], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._errors = errors
        self._on_death = on_death
        self._clock = clock
        self._said: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Counts one error, and logs it unless its like was logged within the minute; ends over a missing topic."""
        self._errors.inc()
        gone = KafkaException(error)
        if faults.diagnose(gone).cause == "topic_missing":
            self._on_death(gone)
            return
        now = self._clock()
        if now - self._said.get(error.code(), -inf) >= SAY_EVERY_S:
            self._said[error.code()] = now
            fault = faults.of("broker_unreachable")
            log.warning("broker out of reach, trying again", error=error.str(), next_step=fault.next_step)
