"""What a card goes through in the worst month and on the worst day; `pytest -s` prints the course."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

from tests.unit.builders import NOW, TENANT, UNIT, Meter, autopay, decided, funded

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = NOW.replace(hour=0)


def minutes(start: datetime, end: datetime):
    at = start
    while at < end:
        yield at
        at += timedelta(minutes=1)


def test_a_card_that_declines_for_30_days_is_tried_three_times_and_then_left_alone():
    """An organisation keeps calling for 1.00 an hour; its card declines every time it is asked, after ten seconds."""
    meter, attempts, told = Meter(now=START), [], []
    meter.apply(funded(50, START))
    meter.apply(autopay(50, 20))
    answers_at: datetime | None = None
    for now in minutes(START, START + 30 * DAY):
        outcomes = meter.wait(now)
        if now.minute == 0:
            outcomes.append(meter.debit(UNIT))
        if answers_at is not None and answers_at <= now:
            outcomes.append(meter.apply(decided(meter.in_flight or "", "declined", decided_at=now)))
            answers_at = None
        for outcome in outcomes:
            told += [(now, notice.kind) for notice in outcome.notices]
            for request in outcome.requests:
                attempts.append(request)
                answers_at = now + timedelta(seconds=10)
    for request in attempts:
        print(f"{request.requested_at:%d %b %H:%M} {request.recharge_id} attempt {request.attempt}")
    print(Counter(kind for _, kind in told), f"balance {meter.balance / UNIT:.2f}", meter.account.recharge)
    assert [(request.sequence, request.attempt) for request in attempts] == [(1, 1), (2, 1), (3, 1)]
    pauses = [later.requested_at - earlier.requested_at for earlier, later in pairwise(attempts)]
    assert pauses == [HOUR + timedelta(minutes=1), 2 * HOUR + timedelta(minutes=1)]
    assert Counter(kind for _, kind in told) == {"recharge.failed": 3, "autopay.suspended": 1, "balance.zero": 1}
    state = meter.account.recharge
    assert (state.suspended, state.failures, state.in_flight, state.not_before) == (True, 3, None, None)
    assert meter.balance == 50 * UNIT - 30 * 24 * UNIT


def test_a_runaway_spender_is_alarmed_within_minutes_and_stopped_by_the_daily_cap():
    """Hacked: 25.00 a minute for a whole day, and a card that always pays."""
    meter, charged, told = Meter(now=START), [], []
    meter.apply(funded(50, START))
    meter.apply(autopay(50, 20))
    for now in minutes(START, START + DAY):
        outcomes = [*meter.wait(now), meter.debit(25 * UNIT)]
        while (recharge_id := meter.in_flight) is not None:
            outcomes.append(meter.apply(decided(recharge_id, decided_at=now)))
            charged.append((now, recharge_id))
        told += [(now, n.kind, n.reason) for outcome in outcomes for n in outcome.notices]
    alarms = [(at, reason) for at, kind, reason in told if kind == "autopay.blocked"]
    for at, reason in alarms:
        print(f"{at:%H:%M} {reason} after {sum(paid <= at for paid, _ in charged)} payments")
    print(Counter(kind for _, kind, _ in told), f"balance {meter.balance / UNIT:.2f}")
    assert [recharge_id for _, recharge_id in charged] == [f"{TENANT}:{number}" for number in range(1, 11)]
    (burst_at, burst), (stopped_at, stopped) = alarms
    assert (burst, stopped) == ("burst", "daily_count_cap")
    assert burst_at - START < timedelta(minutes=10)
    assert stopped_at - START < timedelta(minutes=30)
    [opened] = [outcome for outcome in meter.wait(START + DAY) if outcome.requests]
    assert opened.requests[0].requested_at == START + DAY
