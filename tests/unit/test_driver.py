"""The driver of `processor.testing` behaves as a cluster of workers would: partitions, rerouting, clock, restart."""

from datetime import timedelta

import msgspec
import pytest

from processor.contracts import topics
from processor.contracts.outputs import encode
from processor.domain.messages import CallUsage, Message
from processor.stream.balance_table import partition_of
from processor.testing import Driver, Input
from tests.unit.builders import NOW, TENANT, autopay, call, conference, decided, funded, licences, row, tariff

PARTITIONS = 8
HOME = partition_of(TENANT, PARTITIONS)
ELSEWHERE = (HOME + 1) % PARTITIONS
MINUTE_MICROS = 100_000
RECHARGES = topics.RECHARGE_COMMANDS


def driver() -> Driver:
    return Driver(tariff(), now=NOW)


def command(message: Message) -> Input:
    return Input(topics.ACCOUNT_COMMANDS, TENANT, encode(message))


def usage(message: Message, **more: int) -> Input:
    topic = topics.USAGE_CALL if isinstance(message, CallUsage) else topics.USAGE_CONFERENCE
    return Input(topic, TENANT, encode(message), **more)


def balance(meter: Driver) -> int:
    account = meter.account(TENANT)
    assert account is not None
    return account.balance_micros


def test_a_record_goes_to_its_tenants_partition_and_so_does_all_that_follows_from_it() -> None:
    meter = driver()
    assert {output.partition for output in meter.process(command(funded()), usage(call()))} == {HOME}
    assert balance(meter) == 50_000_000 - MINUTE_MICROS


def test_a_record_in_the_wrong_partition_is_rerouted_and_charged_once_at_home() -> None:
    meter, misled = driver(), usage(call(), partition=ELSEWHERE)
    written = meter.process(misled)
    assert [(output.topic, output.partition) for output in written] == [
        (topics.USAGE_REROUTED, HOME),
        (topics.LEDGER, HOME),
        (topics.ACCOUNT_STATE, HOME),
        (topics.EVENT_IDS, HOME),
    ]
    meter.process(usage(msgspec.json.decode(misled.value, type=CallUsage)))  # the same event, now in the right place
    assert len(meter.records(topics.LEDGER)) == 1


def test_timers_fire_on_the_way_each_at_its_own_time() -> None:
    meter = driver()
    meter.process(command(autopay()))
    asked = [each.json()["data"] for each in meter.advance(timedelta(seconds=901)) if each.topic == RECHARGES]
    assert [(data["attempt"], data["requested_at"], data["deadline_at"]) for data in asked] == [
        (2, "2026-03-15T12:05:00Z", "2026-03-15T12:15:00Z"),
        (3, "2026-03-15T12:15:00Z", "2026-03-15T12:35:00Z"),
    ]
    assert meter.now == NOW + timedelta(seconds=901)


def test_what_was_committed_is_all_that_a_restarted_meter_needs() -> None:
    meter, leg = driver(), usage(call())
    meter.process(command(funded()), command(licences("MCOMEETADD:US:1")), leg, usage(conference()))
    before = balance(meter)
    meter.restart()
    assert meter.process(leg) == []
    meter.process(usage(call()))
    assert balance(meter) == before - MINUTE_MICROS


def test_a_restarted_meter_keeps_its_timers() -> None:
    meter = driver()
    meter.process(command(autopay()))
    meter.restart()
    again = [output for output in meter.advance(timedelta(minutes=6)) if output.topic == RECHARGES]
    assert [output.json()["data"]["attempt"] for output in again] == [2]


def test_a_correction_finds_its_original_in_the_ledger() -> None:
    meter, leg = driver(), call()
    meter.process(command(funded()))
    meter.process(usage(leg))
    meter.restart()
    meter.process(usage(call(record_kind="void", corrects=leg.id)))
    assert balance(meter) == 50_000_000


def test_binary_mode_is_read_from_the_headers() -> None:
    meter, event = driver(), msgspec.json.decode(encode(call()))
    data = msgspec.json.encode(event.pop("data"))
    headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items() if value is not None]
    written = meter.send(topics.USAGE_CALL, TENANT, data, headers=headers)
    assert written[0].topic == topics.LEDGER


def test_a_recharge_is_asked_for_and_credited_when_it_is_decided() -> None:
    meter = driver()
    [asked] = [output for output in meter.process(command(autopay())) if output.topic == RECHARGES]
    meter.send(topics.RECHARGE_RESULTS, TENANT, encode(decided(asked.json()["data"]["recharge_id"])))
    assert balance(meter) == 50_000_000


def test_other_prices_hold_from_the_next_cycle_on() -> None:
    meter, nowhere = driver(), usage(call(callee="+8612345678"))
    assert meter.process(nowhere)[0].topic == topics.DEAD_LETTERS
    meter.use(tariff(row("86")))
    assert meter.process(nowhere)[0].topic == topics.LEDGER


@pytest.mark.parametrize("key", [None, b"\xff"])
def test_a_record_without_a_readable_key_is_parked(key: bytes | None) -> None:
    [letter] = driver().send(topics.USAGE_CALL, key, encode(call()))
    assert letter.topic == topics.DEAD_LETTERS
    assert letter.key == key
