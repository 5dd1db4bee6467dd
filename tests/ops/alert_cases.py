"""What each alert must do: fire on its condition, stay silent without it, end with it, ignore a restart.

Series are in promtool's notation: `0+5x10` is 0, 5, … 50, one value a minute unless the case spaces them wider; `_` is
a missing one.
"""

from dataclasses import dataclass

WORKER = 'instance="w:9464",job="credits-worker"'


@dataclass(frozen=True)
class Case:
    """Series, and at which minutes the alert is firing."""

    alert: str
    why: str
    series: dict[str, str]
    firing: dict[int, bool]
    step: int = 1
    """Minutes between two values."""

    def __str__(self) -> str:
        return f"{self.alert}: {self.why}"


def delayed(late: str, all_of_them: str) -> dict[str, str]:
    """A histogram of commit delays: what was in time, and all."""
    name = "credits_commit_delay_seconds"
    return {f'{name}_bucket{{{WORKER},le="10.0"}}': late, f"{name}_count{{{WORKER}}}": all_of_them}


def counter(name: str, values: str, **labels: str) -> dict[str, str]:
    """One series of a worker."""
    text = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {f"{name}{{{WORKER}{text}}}": values}


FAST, SLOW = "CreditsFreshnessBudgetBurnFast", "CreditsFreshnessBudgetBurnSlow"
EVENTS, DEAD = "credits_events_total", "credits_dead_letters_total"
HELD, DUE = "credits_autopay_blocked_total", "credits_below_trigger_without_request"
RESULT, BEGUN = "CreditsRechargeResultParked", "process_start_time_seconds"
OLDEST = "credits_recharge_oldest_in_flight_timestamp_seconds"

CASES = [
    Case(
        FAST,
        "a tenth of the records is late for two hours, then none",
        delayed("0+90x120 10800+100x400", "0+100x520"),
        {30: True, 100: True, 500: False},
    ),
    Case(FAST, "one in ten thousand is late", delayed("0+9999x120", "0+10000x120"), {30: False, 120: False}),
    Case(
        FAST, "the counters start over", delayed("0+1000x60 0+1000x60", "0+1000x60 0+1000x60"), {62: False, 90: False}
    ),
    Case(
        SLOW,
        "half a percent is late for a day, then nothing for days",
        delayed("0+995x150 149250+1000x600", "0+1000x750"),
        {140: True, 740: False},
        step=10,
    ),
    Case(SLOW, "one in ten thousand is late", delayed("0+9999x300", "0+10000x300"), {290: False}, step=10),
    Case(
        SLOW,
        "the counters start over every day",
        delayed("0+1000x144 0+1000x144", "0+1000x144 0+1000x144"),
        {150: False, 280: False},
        step=10,
    ),
    Case(
        "CreditsInvariantViolated",
        "the restarted process tells of a violation, then an hour passes",
        counter("credits_invariant_violations_total", "0x10 _x3 1x100", invariant="account"),
        {9: False, 16: True, 90: False},
    ),
    Case(
        "CreditsInvariantViolated",
        "there never was one",
        counter("credits_invariant_violations_total", "0x10 _x3 0x20", invariant="account"),
        {25: False},
    ),
    Case(
        "CreditsInvariantViolated",
        "an old one is told again after a restart",
        counter("credits_invariant_violations_total", "1x100 _x3 1x20", invariant="account"),
        {90: False, 110: False},
    ),
    Case(
        "CreditsInvariantViolated",
        "the auditor finds a drift, which stays until it is started again",
        {"credits_audit_drifts": "0x10 2x20 _x3 0x10"},
        {9: False, 12: True, 30: True, 36: False},
    ),
    Case(
        "CreditsWorkerDown",
        "it does not answer for a while",
        {f"up{{{WORKER}}}": "1x5 0x10 1x10"},
        {4: False, 7: False, 10: True, 20: False},
    ),
    Case(
        "CreditsWorkerDown",
        "it is started again and again, then lives",
        {f"process_start_time_seconds{{{WORKER}}}": "1x2 2x2 3x2 4x40"},
        {2: False, 12: True, 40: False},
    ),
    Case(
        "CreditsWorkerDown",
        "it is restarted once",
        {f"process_start_time_seconds{{{WORKER}}}": "1x10 2x30", f"up{{{WORKER}}}": "1x10 0x1 1x29"},
        {12: False, 14: False},
    ),
    Case(
        "CreditsHeartbeatStalled",
        "the loop stands still, then goes on",
        counter("credits_heartbeat_timestamp_seconds", "0+60x5 300x5 660+60x10", stage="loop"),
        {4: False, 9: True, 15: False},
    ),
    Case(
        "CreditsHeartbeatStalled",
        "only the commits rest, without input",
        counter("credits_heartbeat_timestamp_seconds", "0+60x20", stage="loop")
        | counter("credits_heartbeat_timestamp_seconds", "0x20", stage="commit"),
        {18: False},
    ),
    Case(
        "CreditsHeartbeatStalled",
        "the process was away for a restart",
        counter("credits_heartbeat_timestamp_seconds", "0+60x5 _x3 540+60x10", stage="loop"),
        {7: False, 10: False},
    ),
    Case(
        "CreditsLagKeepsIncreasing",
        "it grows for an hour, then falls",
        counter("credits_input_lag_records", "0+500x60 30000-1000x30", topic="usage.call.v1"),
        {10: False, 50: True, 75: False},
    ),
    Case(
        "CreditsLagKeepsIncreasing",
        "a high one falls",
        counter("credits_input_lag_records", "100000-500x60", topic="usage.call.v1"),
        {50: False},
    ),
    Case(
        "CreditsLagKeepsIncreasing",
        "a small one comes and goes",
        counter(
            "credits_input_lag_records",
            "0 400 0 900 0 500 0 800 0 900 0 900 0 900 0 900 0 900 0 900 0 900 0 900",
            topic="usage.call.v1",
        ),
        {20: False},
    ),
    Case(
        "CreditsLagKeepsIncreasing",
        "it starts over with a restart",
        counter("credits_input_lag_records", "5000x20 _x2 0x20", topic="usage.call.v1"),
        {30: False},
    ),
    Case(
        "CreditsDeadLettersRising",
        "a bad producer is mended",
        counter(DEAD, "0+1x60 60x60", reason="no_rate"),
        {5: False, 30: True, 100: False},
    ),
    Case(
        "CreditsDeadLettersRising",
        "one now and then",
        counter(DEAD, "0 0 1 1 1 1 1 1 1 1 2 2 2 2 2 2 2 2 2 2 3", reason="no_rate"),
        {20: False},
    ),
    Case(
        "CreditsDeadLettersRising",
        "the counter starts over",
        counter(DEAD, "500x30 0x60", reason="no_rate"),
        {40: False, 60: False},
    ),
    Case(
        RESULT,
        "a declined payment succeeds later, and half an hour passes",
        counter(EVENTS, "0x10 1x60", outcome="parked", kind="result") | counter(BEGUN, "-6000x70"),
        {9: False, 12: True, 60: False},
    ),
    Case(
        RESULT,
        "one that came to another tenant's partition first is parked after it was rerouted",
        counter(DEAD, "0x10 1x60", reason="conflicting_result") | counter(BEGUN, "-6000x70"),
        {9: False, 12: True, 60: False},
    ),
    Case(
        RESULT,
        "a new process parks one before it is scraped for the first time",
        counter(EVENTS, "_x10 1x60", outcome="parked", kind="result") | counter(BEGUN, "_x10 600x60"),
        {12: True, 55: False},
    ),
    Case(
        RESULT,
        "so does one that was started again, and its predecessor had parked as many",
        counter(EVENTS, "1x80", outcome="parked", kind="result") | counter(BEGUN, "-6000x39 2400x40"),
        {38: False, 45: True, 75: False},
    ),
    Case(
        RESULT,
        "the counter starts over",
        counter(EVENTS, "3x39 0x40", outcome="parked", kind="result") | counter(BEGUN, "-6000x39 2400x40"),
        {38: False, 45: False, 75: False},
    ),
    Case(
        RESULT,
        "usage is parked, results are applied and repeated",
        counter(EVENTS, "0+5x60", outcome="parked", kind="call")
        | counter(EVENTS, "0+5x60", outcome="applied", kind="result")
        | counter(EVENTS, "0+5x60", outcome="duplicate", kind="result")
        | counter(BEGUN, "-6000x60"),
        {40: False},
    ),
    Case(
        "CreditsRechargeUnresolved",
        "the payment worker is away, then answers",
        counter(OLDEST, "0x5 300x30 0x10"),
        {4: False, 14: False, 25: True, 40: False},
    ),
    Case("CreditsRechargeUnresolved", "each is decided within minutes", counter(OLDEST, "60+60x60"), {50: False}),
    Case(
        "CreditsRechargeUnresolved",
        "nothing is in flight after a restart",
        counter(OLDEST, "0x10 _x3 0x30"),
        {30: False},
    ),
    Case(
        "CreditsRechargeBurst",
        "a tenant bursts, then stops",
        counter(HELD, "0x10 1x40", reason="burst"),
        {9: False, 12: True, 40: False},
    ),
    Case(
        "CreditsRechargeBurst",
        "limits hold others back",
        counter(HELD, "0+5x40", reason="daily_count_cap"),
        {30: False},
    ),
    Case("CreditsRechargeBurst", "the counter starts over", counter(HELD, "7x20 0x20", reason="burst"), {25: False}),
    Case(
        "CreditsBelowTriggerNotRequested",
        "somebody waits, then is asked for",
        counter(DUE, "0x5 2x15 0x10", age="over_60s"),
        {4: False, 15: True, 25: False},
    ),
    Case(
        "CreditsBelowTriggerNotRequested",
        "they are asked for at once",
        counter(DUE, "9x30", age="under_60s") | counter(DUE, "0x30", age="over_60s"),
        {25: False},
    ),
    Case(
        "CreditsBelowTriggerNotRequested",
        "a new owner counts anew",
        counter(DUE, "0x10 _x2 0x20", age="over_60s"),
        {25: False},
    ),
    Case(
        "CreditsAutopaySuspensionsRising",
        "many within the hour, then none",
        counter("credits_notifications_total", "0+1x20 20x120", type="autopay.suspended"),
        {3: False, 15: True, 120: False},
    ),
    Case(
        "CreditsAutopaySuspensionsRising",
        "one an hour",
        counter("credits_notifications_total", "0x59 1x59 2x59", type="autopay.suspended"),
        {70: False, 130: False},
    ),
    Case(
        "CreditsAutopaySuspensionsRising",
        "the counter starts over",
        counter("credits_notifications_total", "100x30 0x60", type="autopay.suspended"),
        {40: False},
    ),
    Case(
        "CreditsOverdraftRising",
        "it doubles within an hour, then stays",
        counter("credits_overdraft_micros", "200000000x60 200000000+10000000x60 800000000x200"),
        {60: False, 110: True, 300: False},
    ),
    Case(
        "CreditsOverdraftRising",
        "a little overdraft triples",
        counter("credits_overdraft_micros", "1000x60 3000x60"),
        {100: False},
    ),
    Case(
        "CreditsOverdraftRising",
        "it is the same after a restart",
        counter("credits_overdraft_micros", "200000000x60 _x3 200000000x60"),
        {64: False, 100: False},
    ),
    Case(
        "CreditsRecoverySlow",
        "a rebuild takes three minutes, and an hour passes",
        counter("credits_recovery_duration_seconds", "1x5 180x100") | counter("credits_rebalances_total", "1x5 2x100"),
        {4: False, 10: True, 90: False},
    ),
    Case(
        "CreditsRecoverySlow",
        "a rebuild takes a second",
        counter("credits_recovery_duration_seconds", "1x30") | counter("credits_rebalances_total", "1x5 2x25"),
        {10: False},
    ),
    Case(
        "CreditsRecoverySlow",
        "a restarted worker has not rebuilt anything yet",
        counter("credits_recovery_duration_seconds", "1x5 0x20") | counter("credits_rebalances_total", "5x5 0x20"),
        {10: False},
    ),
    Case(
        "CreditsDuplicateRatioHigh",
        "a producer repeats itself, then stops",
        counter(EVENTS, "0+10x90 900x90", outcome="duplicate", kind="call")
        | counter(EVENTS, "0+90x180", outcome="charged", kind="call"),
        {10: False, 60: True, 150: False},
    ),
    Case(
        "CreditsDuplicateRatioHigh",
        "one in a hundred",
        counter(EVENTS, "0+1x60", outcome="duplicate", kind="call")
        | counter(EVENTS, "0+99x60", outcome="charged", kind="call"),
        {50: False},
    ),
    Case(
        "CreditsDuplicateRatioHigh",
        "the counters start over",
        counter(EVENTS, "0+1x30 0+1x60", outcome="duplicate", kind="call")
        | counter(EVENTS, "0+99x30 0+99x60", outcome="charged", kind="call"),
        {60: False, 80: False},
    ),
    Case(
        "CreditsClockSkew",
        "the clock is ten seconds behind, then right",
        counter("credits_time_seconds", "-10+60x10 660+60x10"),
        {1: False, 8: True, 15: False},
    ),
    Case("CreditsClockSkew", "the clock is ahead", counter("credits_time_seconds", "10+60x10"), {8: True}),
    Case(
        "CreditsClockSkew",
        "the clock is right, before and after a restart",
        counter("credits_time_seconds", "0+60x10 _x2 780+60x10"),
        {8: False, 15: False},
    ),
]
