"""A parked record goes back as it came, however often, and nothing that a producer sends can confuse that."""

from datetime import timedelta

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from processor.contracts import topics
from processor.contracts.inputs import MAX_RECORD_BYTES
from processor.contracts.outputs import encode
from processor.stream.dead_letters import MAX_PARKED_BYTES
from processor.stream.letters import ATTEMPT, OFFSET, Letter, NotALetterError, read, receipt
from processor.testing import Driver, Headers, Input, Output
from tests.unit.builders import NOW, TENANT, call, row, tariff

WINDOW = timedelta(days=35)
NOWHERE = encode(call(callee="+8612345678"))


def message(output: Output, offset: int = 7) -> Message:
    """The committed record as an operator's consumer gets it."""
    place = {"partition": output.partition, "offset": offset, "timestamp": (TIMESTAMP_CREATE_TIME, ms(NOW))}
    return Message(topic=output.topic, key=output.key, value=output.value, headers=list(output.headers), **place)


def ms(at) -> int:
    return int(at.timestamp() * 1000)


def parked(meter: Driver, value: bytes | None = NOWHERE, **more) -> Letter:
    """Sends a record that is parked, and reads its letter."""
    written = meter.send(topics.USAGE_CALL, TENANT, value, **more)
    return read(message(written[-1]))


def replayed(meter: Driver, letter: Letter) -> list[Output]:
    headers = [(name, value.encode() if isinstance(value, str) else value) for name, value in letter.replayed_headers()]
    return meter.send(letter.topic, letter.key, letter.value, headers=headers)


def driver() -> Driver:
    return Driver(tariff(), now=NOW)


def test_a_letter_holds_the_record_as_it_was_sent_and_why_it_is_there() -> None:
    headers: Headers = [("traceparent", b"00-1"), ("twice", b"a"), ("twice", None)]
    letter = parked(driver(), headers=headers)
    assert (letter.key, letter.value, letter.headers) == (TENANT.encode(), NOWHERE, headers)
    assert (letter.topic, letter.reason, letter.stage, letter.attempts) == (topics.USAGE_CALL, "no_rate", "apply", 0)
    assert letter.arrived_at == NOW
    assert letter.id == f"{letter.place[0]}-7"


def test_after_the_cause_is_mended_a_replay_is_charged_once_and_another_changes_nothing() -> None:
    meter = driver()
    letter = parked(meter)
    meter.use(tariff(row("86")))
    assert replayed(meter, letter)[0].topic == topics.LEDGER
    assert replayed(meter, letter) == []


def test_what_cannot_be_applied_is_parked_again_and_grows_by_nothing() -> None:
    meter = driver()
    letter = first = parked(meter, headers=[("traceparent", b"00-1")])
    sizes = []
    for attempt in range(1, 6):
        meter.now += timedelta(days=1)
        [again] = replayed(meter, letter)
        letter = read(message(again))
        sizes.append(len(again.headers))
        assert letter.attempts == attempt
        assert letter.arrived_at == first.arrived_at
        assert (letter.value, letter.headers, letter.reason) == (first.value, first.headers, first.reason)
    assert len(set(sizes)) == 1


def test_a_record_that_was_rerouted_goes_back_to_where_it_was_parked() -> None:
    meter = driver()
    home = meter.process(Input(topics.USAGE_CALL, TENANT, encode(call())))[0].partition
    letter = parked(meter, partition=(home + 1) % 8, value=encode(call(connected_ms=1)))
    assert (letter.topic, letter.partition, letter.reason) == (topics.USAGE_REROUTED, home, "inconsistent_times")
    assert replayed(meter, letter)[0].topic == topics.DEAD_LETTERS


def test_a_record_that_arrived_before_the_window_is_not_replayed_however_late_it_was_parked_again() -> None:
    meter = driver()
    letter = parked(meter)
    assert letter.obstacle(NOW + WINDOW, WINDOW) is None
    meter.now += timedelta(days=34)
    letter = read(message(replayed(meter, letter)[0]))
    assert "a copy of it may have been applied" in str(letter.obstacle(NOW + WINDOW + timedelta(seconds=1), WINDOW))


@pytest.mark.parametrize("size", [MAX_RECORD_BYTES + 1, MAX_PARKED_BYTES + 1])
def test_a_record_that_no_worker_takes_for_its_size_is_not_replayed(size: int) -> None:
    letter = parked(driver(), b"x" * size)
    assert letter.obstacle(NOW, WINDOW) is not None
    assert letter.omitted_bytes == (size + len(TENANT) if size > MAX_PARKED_BYTES else 0)


def test_a_receipt_names_its_letter_and_a_letter_is_no_receipt() -> None:
    letter = parked(driver())
    [(name, offset)] = letter.receipt_headers()
    held = Message(topic=topics.DEAD_LETTERS, partition=letter.place[0], offset=9, headers=[(name, offset.encode())])
    assert receipt(held) == letter.place
    assert receipt(message(driver().send(topics.USAGE_CALL, TENANT, b"no JSON")[0])) is None


def test_headers_of_our_names_in_a_producers_record_are_not_believed() -> None:
    forged: Headers = [(OFFSET, b"1"), (ATTEMPT, b"many"), ("credits.replay.arrived", str(ms(NOW) * 2).encode())]
    [output] = driver().send(topics.USAGE_CALL, TENANT, NOWHERE, headers=[*forged, ("credits.error.reason", b"x")])
    letter = read(message(output))
    assert receipt(message(output)) is None
    assert (letter.attempts, letter.arrived_at, letter.reason, letter.headers) == (0, NOW, "no_rate", [])


@pytest.mark.parametrize("name", ["topic", "offset", "reason"])
def test_what_no_meter_has_written_is_said_so(name: str) -> None:
    [output] = driver().send(topics.USAGE_CALL, TENANT, NOWHERE)
    kept = [(header, value) for header, value in output.headers if header != f"credits.error.{name}"]
    with pytest.raises(NotALetterError):
        read(message(output._replace(headers=[*kept, (f"credits.error.{name}", b"nonsense")])))
    with pytest.raises(NotALetterError):
        receipt(Message(partition=0, offset=0, headers=[(OFFSET, b"nonsense")]))
