"""Nothing that a sender can write stops the worker: bytes become a message or a reason, messages an outcome or one."""

from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

from hypothesis import event, given, settings
from hypothesis import strategies as st

from processor.contracts import inputs, topics
from processor.contracts.deck_columns import MAX_INCREMENT_S, MAX_RATE_MICROS
from processor.contracts.outputs import decode_account, encode
from processor.domain.account import check, credit
from processor.domain.bounds import MAX_BALANCE_MICROS, MAX_CREDITED_MICROS, MAX_DEBT_MICROS
from processor.domain.errors import REASONS, InputRejected
from processor.domain.messages import (
    Adjusted,
    AutopaySet,
    CallType,
    CallUsage,
    ConferenceUsage,
    Funded,
    LegKind,
    Message,
    RechargeDecided,
    RechargeReset,
    Tick,
)
from processor.domain.metering import apply
from processor.domain.money import MAX_MICROS, MAX_PAYMENT_MICROS
from tests.property.histories import Run, histories, rates, resolve
from tests.unit.builders import NOW, TENANT, Meter, adjusted, autopay, call, conference, decided, funded, reset, row
from tests.unit.test_corrections import shorter, void

NAMES = ("type", "specversion", "id", "source", "subject", "time", "data", "tenant_id", "amount_micros", "currency")
READ = (CallUsage, ConferenceUsage, Funded, AutopaySet, Adjusted, RechargeReset, RechargeDecided)
TYPES = [struct.__struct_config__.tag for struct in READ]

scalars = st.one_of(
    st.sampled_from(
        ["1.0", '"1.0"', '"\\ud800"', '"\\udc00\\ud800"', "1e999", "-1E-999", "NaN", "null", "true", '"\\u0000"']
    ),
    st.integers(-(10**400), 10**400).map(str),
    st.sampled_from(TYPES).map('"{}"'.format),
    st.sampled_from(['"2026-03-15T12:00:00Z"', '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59.999999999-23:59"']),
)
names = st.one_of(st.sampled_from(NAMES), st.sampled_from(["\\ud800", "x", ""]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(names, inner), max_size=6).map(
            lambda items: "{" + ",".join(f'"{name}":{value}' for name, value in items) + "}"
        ),
    ),
    max_leaves=12,
)
headers = st.lists(
    st.tuples(st.sampled_from([f"ce_{name}" for name in NAMES] + ["ce_", "content-type", "traceparent"]), st.one_of(
        st.none(), st.binary(max_size=8), st.sampled_from([b"1.0", b"{}", *(kind.encode() for kind in TYPES)])
    )),
    max_size=8,
)  # fmt: skip


def decoded(topic, value, given_headers=None):
    try:
        return inputs.decode(topic, value, given_headers)
    except InputRejected as rejected:
        known(rejected)
        return None


def known(rejected: InputRejected) -> None:
    assert rejected.reason in REASONS


@settings(max_examples=200)
@given(values, headers, st.sampled_from(topics.INPUTS))
def test_json_of_any_shape_in_either_mode_is_a_message_or_a_reason(text, given_headers, topic):
    decoded(topic, text.encode(), given_headers)


@given(st.integers(0, 33_000), st.sampled_from(["[]", "{}"]), st.booleans(), headers)
def test_any_depth_of_nesting_is_a_message_or_a_reason(depth, brackets, whole, given_headers):
    left, right = ("[", "]") if brackets == "[]" else ('{"data":', "}")
    value = left * depth + "1" + right * depth if whole else left * depth
    decoded(topics.USAGE_CALL, value.encode(), given_headers)
    decoded(topics.USAGE_CALL, f'{{"type":"telephony.call.v1","data":{value}}}'.encode(), given_headers)


def test_every_depth_around_the_recursion_limit_is_a_reason():
    marks = [(f"ce_{name}", b"1.0") for name in ("specversion", "id", "source")] + [("ce_type", TYPES[0].encode())]
    for depth in range(900, 1100):
        for value in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            assert decoded(topics.USAGE_CALL, value.encode(), marks) is None


amounts = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.sampled_from([0, 1, 50_000_000, 10**12, 2**53 - 1]))
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.one_of(
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]).flatmap(
        lambda end: zones.map(lambda zone: end.replace(tzinfo=zone))
    ),
    st.integers(-40, 1).map(lambda days: NOW + timedelta(days=days)),
)
numbers = st.one_of(st.text(max_size=20), st.sampled_from(["+442079460000", "+870123456789", "+18005550100"]))
currencies = st.sampled_from(["USD", "EUR"])
capabilities = st.sampled_from([None, "MCOPSTN2", "MCOMEETACPEA"])
legs = st.builds(
    lambda kind, callee, at, until, ms, country, more: call(
        call_type=kind, callee=callee, answered_at=at, ended_at=until, connected_ms=ms, user_country=country, **more
    ),
    st.sampled_from(get_args(CallType)),
    numbers,
    times,
    times,
    st.integers(0, 2**53 - 1),
    st.sampled_from([None, "US", "??"]),
    st.fixed_dictionaries({"capability": capabilities, "credits_licensed": st.booleans(), "emergency": st.booleans()}),
)
long_legs = st.builds(
    lambda seconds, number, kind: conference(seconds, remote_number=number, leg_kind=kind, bridge_number=number),
    st.integers(0, 35 * 86_400 - 1),
    numbers,
    st.sampled_from(get_args(LegKind)),
)
messages = st.one_of(
    legs,
    long_legs,
    st.builds(lambda amount, at, currency: funded(amount_micros=amount, purchased_at=at, currency=currency),
              amounts, times, currencies),
    st.builds(lambda amount, trigger, cap, units, currency: autopay(
        payment_amount_micros=amount, trigger_micros=trigger, max_per_month_micros=cap, max_units=units,
        currency=currency), amounts, amounts, st.one_of(st.none(), amounts), st.integers(1, 1_000_000), currencies),
    st.builds(lambda amount: adjusted(0, amount_micros=amount), amounts),
    st.builds(reset),
    st.just(Tick()),
    st.builds(lambda sequence, status, amount, at: decided(
        f"{TENANT}:{sequence}", status, amount_micros=amount, decided_at=at),
        st.integers(-1, 3), st.sampled_from(["succeeded", "declined", "failed"]), amounts, times),
)  # fmt: skip


def applied(account, message, now):
    try:
        return apply(account, message, rates(), now)
    except InputRejected as rejected:
        known(rejected)
        return None


@settings(max_examples=200)
@given(histories, st.lists(messages, min_size=1, max_size=5))
def test_any_message_to_any_account_is_an_outcome_or_a_reason_and_the_books_agree(history, extreme):
    steps = resolve(history)
    account = Run().take_all(steps).account
    now = steps[-1][1] if steps else NOW
    for message in extreme:
        before = encode(account)
        outcome = applied(account, message, now)
        assert outcome is not None or encode(account) == before
        encode(outcome)
        check(account)
        assert decode_account(encode(account)) == account


WINDOW = timedelta(days=35)
moves = st.one_of(
    st.sampled_from(["leg", "leg", "leg", "void", "shorter", "success", "save", "year", "fund", "fund old"]),
    st.sampled_from([1, -1, MAX_PAYMENT_MICROS, -MAX_PAYMENT_MICROS]),
)


def extreme_message(meter: Meter, move: str | int, legs: list[CallUsage]) -> Message | Tick:
    """The largest of its kind that anybody may send now."""
    if isinstance(move, int):
        return adjusted(0, amount_micros=move)
    match move:
        case "leg":
            leg = call((WINDOW - timedelta(seconds=1)).total_seconds(), meter.now - WINDOW + timedelta(seconds=1))
            legs.append(leg)
            return leg
        case "void" if legs:
            return void(legs[len(legs) // 2])
        case "shorter" if legs:
            return shorter(legs[-1], 60)
        case "success" if meter.in_flight:
            asked = meter.account.recharge.amount_micros
            return decided(meter.in_flight, amount_micros=asked, decided_at=meter.now)
        case "save":
            most = {"trigger_micros": MAX_PAYMENT_MICROS, "max_per_day": 1_000_000}
            return autopay(payment_amount_micros=MAX_PAYMENT_MICROS, **most)
        case "fund" | "fund old":
            purchased_at = meter.now - timedelta(days=0 if move == "fund" else 366)
            return funded(amount_micros=MAX_PAYMENT_MICROS, purchased_at=purchased_at)
        case "year":
            meter.now += timedelta(days=366)
    return Tick()


@settings(max_examples=150)
@given(
    st.sampled_from([-MAX_DEBT_MICROS, 0, MAX_BALANCE_MICROS - MAX_PAYMENT_MICROS, MAX_BALANCE_MICROS]),
    st.sampled_from([0, MAX_CREDITED_MICROS - MAX_BALANCE_MICROS]),
    st.lists(moves, min_size=20, max_size=60),
)
def test_no_sequence_of_the_largest_amounts_leaves_what_can_be_published(balance, turnover, sequence):
    """Month-long legs at the highest price, voids of them, and the largest payments, near every end of an account."""
    dearest = {"connect_fee_micros": MAX_RATE_MICROS, "initial_s": MAX_INCREMENT_S, "increment_s": MAX_INCREMENT_S}
    meter, legs = Meter(row("44", MAX_RATE_MICROS, **dearest)), []
    account = meter.account
    if balance > 0:
        credit(account, "lot-0", balance, NOW)
    account.overdraft_micros = max(-balance, 0)
    account.balance_micros = balance
    account.credited_micros, account.debited_micros = turnover + max(balance, 0), turnover + max(-balance, 0)
    for move in sequence:
        message, before = extreme_message(meter, move, legs), encode(account)
        try:
            outcome = meter.apply(message)
        except InputRejected as rejected:
            known(rejected)
            assert encode(account) == before
            event(rejected.reason)
            continue
        for entry in outcome.entries:
            assert abs(entry.balance_micros) <= MAX_MICROS
        assert decode_account(encode(account)) == account
        event(f"{len(outcome.entries)} entries of {type(message).__name__}")
