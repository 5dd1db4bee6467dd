"""What a partition makes of its records, without a broker."""

from datetime import timedelta

from processor.contracts import topics
from processor.contracts.inputs import decode
from processor.contracts.outputs import decode_account, encode
from processor.domain.messages import Message
from processor.stream.event_ids import unpack
from processor.testing import Driver, Input, Output
from tests.unit.builders import NOW, TENANT, autopay, call, funded, licences, reset, tariff


def driver() -> Driver:
    return Driver(tariff(), now=NOW)


def usage(message: Message) -> Input:
    return Input(topics.USAGE_CALL, TENANT, encode(message))


def topics_of(outputs: list[Output]) -> list[str]:
    return [output.topic for output in outputs]


def test_a_command_that_arrived_before_the_window_is_parked_because_it_may_have_been_obeyed() -> None:
    meter = driver()
    for days, seconds in ((35, 1), (34, 0)):
        arrived_at = NOW - timedelta(days=days, seconds=seconds)
        meter.send(topics.ACCOUNT_COMMANDS, TENANT, encode(funded()), arrived_at=arrived_at)
    assert reasons(meter) == ["too_old"]
    assert balance(meter) == 50_000_000


def test_a_repeated_event_changes_nothing_in_a_later_run_or_in_the_same() -> None:
    meter, record = driver(), usage(call())
    first = meter.process(record, record)
    assert topics_of(first) == [topics.LEDGER, topics.ACCOUNT_STATE, topics.EVENT_IDS]
    assert len(list(unpack(first[-1].value))) == 1
    assert meter.process(record) == []


def test_commands_of_one_cycle_that_leave_no_entry_are_all_named_by_a_published_account() -> None:
    meter = driver()
    meter.send(topics.ACCOUNT_COMMANDS, TENANT, encode(funded()))
    commands: list[Message] = [reset(), autopay(50, 10), reset(), autopay(50, 5), licences("MCOPSTN1:DE:1")]
    meter.process(*(Input(topics.ACCOUNT_COMMANDS, TENANT, encode(each)) for each in commands))
    named: list[str | None] = []
    for record in meter.records(topics.ACCOUNT_STATE):
        account = decode_account(record.value or b"")
        named += [account.recharge.reset_by, account.autopay and account.autopay.set_by]
        named += [each.set_by for each in account.licences]
    assert {each.id for each in commands} <= set(named)
    newest = meter.account(TENANT)
    assert newest is not None
    assert (newest.recharge.reset_by, newest.autopay and newest.autopay.set_by) == (commands[2].id, commands[3].id)


def test_a_rejected_event_is_not_remembered_so_its_replay_is_applied() -> None:
    meter, message = driver(), call(callee="+99912345678")
    meter.process(usage(message))
    assert reasons(meter) == ["no_rate"]
    message.data.callee = "+442079460000"
    assert meter.process(usage(message))[0].topic == topics.LEDGER


def test_a_rejected_event_of_a_new_tenant_opens_no_account() -> None:
    meter = driver()
    assert topics_of(meter.process(usage(call(callee="+99912345678")))) == [topics.DEAD_LETTERS]
    assert meter.account(TENANT) is None


def test_everything_published_about_a_leg_is_without_its_numbers() -> None:
    message = call()
    published = driver().process(usage(message))
    told = b"".join(output.value for output in published)
    assert message.data.callee[1:].encode() not in told
    assert message.data.caller[1:].encode() not in told
    assert published[0].json()["data"]["usage"]["prefix"] == "44"
    assert decode(topics.USAGE_CALL, encode(message)) == message


def reasons(meter: Driver) -> list[str]:
    return [dict(letter.headers)["credits.error.reason"].decode() for letter in meter.records(topics.DEAD_LETTERS)]


def balance(meter: Driver) -> int:
    account = meter.account(TENANT)
    assert account is not None
    return account.balance_micros
