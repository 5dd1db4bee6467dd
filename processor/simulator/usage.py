"""Makes up usage events: calls and conference legs with weighted destinations, log-normal durations, repetitions.

Pure apart from the clock it is given: the same seed, run and clock give the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Final, Literal, NamedTuple, cast

import msgspec
from msgspec import Struct

from processor.contracts import topics
from processor.domain.messages import CallData, CallType, CallUsage, ConferenceData, ConferenceUsage, LegKind
from processor.domain.tariff import Row
from processor.simulator.population import Destinations, Population, Tenant, number_under, usable

Kind = Literal[
    "user_out",
    "user_out_forwarding",
    "user_out_transfer",
    "dr_out",
    "user_in",
    "ucap_in",
    "dial_out",
    "call_me",
    "dial_in_toll_free",
    "dial_in_toll",
]

MIX: Final[dict[Kind, int]] = {
    "user_out": 52,
    "user_out_forwarding": 3,
    "user_out_transfer": 2,
    "dr_out": 2,
    "user_in": 15,
    "ucap_in": 7,
    "dial_out": 7,
    "call_me": 3,
    "dial_in_toll_free": 5,
    "dial_in_toll": 4,
}
"""What a business telephone system carries, in per cent. Without toll-free rates the toll-free kinds are left out."""

CONFERENCE: Final = frozenset({"dial_out", "call_me", "dial_in_toll_free", "dial_in_toll"})
TOLL_FREE: Final = frozenset({"ucap_in", "dial_in_toll_free"})
INBOUND: Final = frozenset({"user_in", "ucap_in"})

PLANS: Final = (None, None, None, "MCOPSTN1", "MCOPSTN1", "MCOPSTN1", "MCOPSTN1", "MCOPSTN2", "MCOPSTN2", "MCOPSTN5")
EMERGENCY_SHARE: Final = 0.002
UNLICENSED_SHARE: Final = 0.005
CALL_MEDIAN_S: Final = 95.0
CONFERENCE_MEDIAN_S: Final = 1100.0
SPREAD: Final = 1.1
LONGEST_S: Final = 4 * 3600
REPORT_DELAY_S: Final = 2.0
"""A platform reports a leg within this time after its end."""

MOST_DUPLICATES: Final = 0.9
REMEMBERED: Final = 2048
"""Recent events that may be sent again: a retry comes soon after the original."""
CHUNK: Final = 512
DURATIONS: Final = 8192
USERS: Final = 400

_encode = msgspec.json.Encoder().encode


class Emitted(NamedTuple):
    """One record for the platform's producer; `unique` is False for an exact repetition of an earlier one."""

    topic: str
    key: bytes
    value: bytes
    unique: bool


class Plan(Struct, frozen=True, kw_only=True):
    """What to simulate. `run` is part of every event's source: another run is other usage, whatever the seed.

    `duplicates` is the share of repetitions in everything sent, below 0.9.
    """

    run: str
    tenants: int = 2000
    skew: bool = False
    duplicates: float = 0.01
    seed: int = 1
    currency: str = "USD"

    def __post_init__(self) -> None:
        if self.tenants < 1:
            raise ValueError("there must be at least one tenant")
        if not 0 <= self.duplicates < MOST_DUPLICATES:
            raise ValueError(f"the share of duplicates must be at least 0 and below {MOST_DUPLICATES}")


def utc_now() -> datetime:
    """Returns the present time."""
    return datetime.now(UTC)


def usage(plan: Plan, rows: Sequence[Row], clock: Callable[[], datetime] = utc_now) -> Iterator[Emitted]:
    """Yields events without end; `rows` are those of all decks. Raises `ValueError` when none prices a call now."""
    platform = _Platform(plan, rows, clock)
    rng = Random(f"{plan.seed}:repetitions")
    recent: list[Emitted] = []
    for number, event in enumerate(platform.events()):
        yield event
        if len(recent) < REMEMBERED:
            recent.append(event._replace(unique=False))
        else:
            recent[number % REMEMBERED] = event._replace(unique=False)
        # Repetitions are a share of everything sent, so one may follow another.
        while rng.random() < plan.duplicates:
            yield recent[int(rng.random() * len(recent))]


class _Platform:
    """The state behind the generator: what is drawn in bulk, so that one event costs a few microseconds."""

    def __init__(self, plan: Plan, rows: Sequence[Row], clock: Callable[[], datetime]) -> None:
        now = clock()
        self._plan, self._clock, self._rng = plan, clock, Random(plan.seed)
        self._destinations = Destinations(usable(rows, "outbound", plan.currency, now))
        if not self._destinations:
            raise ValueError(f"no deck has an outbound row in {plan.currency} that is effective now")
        inbound = usable(rows, "inbound", plan.currency, now)
        toll_free = Destinations([row for row in inbound if "free" in row.type])
        toll = Destinations([row for row in inbound if "free" not in row.type])
        self._population = Population(plan.seed, plan.tenants, self._destinations, toll_free, toll, skew=plan.skew)
        self._kinds = [kind for kind in MIX if toll_free or kind not in TOLL_FREE]
        self._kind_weights = list(accumulate(MIX[kind] for kind in self._kinds))
        self._call_ms = [self._duration_ms(CALL_MEDIAN_S) for _ in range(DURATIONS)]
        self._conference_ms = [self._duration_ms(CONFERENCE_MEDIAN_S) for _ in range(DURATIONS)]
        self._source = f"/telephony-simulator/{plan.run}"

    def events(self) -> Iterator[Emitted]:
        rng, number = self._rng, 0
        while True:
            tenants = self._population.draw(rng, CHUNK)
            kinds = rng.choices(self._kinds, cum_weights=self._kind_weights, k=CHUNK)
            rows = self._destinations.draw_rows(rng, CHUNK)
            for tenant, kind, row in zip(tenants, kinds, rows, strict=True):
                number += 1
                if kind in CONFERENCE:
                    value = _encode(self._conference_leg(number, tenant, kind, row))
                    yield Emitted(topics.USAGE_CONFERENCE, tenant.key, value, True)
                else:
                    yield Emitted(topics.USAGE_CALL, tenant.key, _encode(self._call(number, tenant, kind, row)), True)

    def _call(self, number: int, tenant: Tenant, kind: Kind, row: Row) -> CallUsage:
        rng = self._rng
        started, ended, connected_ms = self._times(self._call_ms)
        dice, user = rng.random(), int(rng.random() * USERS)
        other = number_under(row, rng)
        if kind in INBOUND:
            own = tenant.toll_free_number or tenant.toll_number if kind == "ucap_in" else tenant.user_number
            caller, callee = other, own
        else:
            caller, callee = tenant.user_number, other
        data = CallData(
            tenant_id=tenant.tenant_id,
            call_id=f"call-{number}",
            leg_id=f"leg-{number}",
            record_kind="final",
            call_type=cast("CallType", kind),
            caller=caller,
            callee=callee,
            number_type="service_toll_free" if kind == "ucap_in" else "user",
            answered_at=started,
            ended_at=ended,
            connected_ms=connected_ms,
            user_id=f"user-{user}",
            user_country=tenant.country,
            capability=PLANS[user % len(PLANS)],
            credits_licensed=dice >= UNLICENSED_SHARE,
            emergency=kind == "user_out" and dice > 1 - EMERGENCY_SHARE,
            end_reason="normal",
        )
        return CallUsage(
            specversion="1.0", id=f"c{number}", source=self._source, subject=tenant.tenant_id, time=ended, data=data
        )

    def _conference_leg(self, number: int, tenant: Tenant, kind: Kind, row: Row) -> ConferenceUsage:
        rng = self._rng
        started, ended, connected_ms = self._times(self._conference_ms)
        data = ConferenceData(
            tenant_id=tenant.tenant_id,
            conference_id=f"conference-{number // 4}",
            leg_id=f"leg-{number}",
            record_kind="final",
            leg_kind=cast("LegKind", kind),
            remote_number=number_under(row, rng),
            bridge_number=tenant.toll_free_number if kind == "dial_in_toll_free" else tenant.toll_number,
            joined_at=started,
            left_at=ended,
            connected_ms=connected_ms,
            organizer_id=f"user-{int(rng.random() * USERS)}",
            organizer_country=tenant.country,
            capability="MCOMEETADD",
            credits_licensed=rng.random() >= UNLICENSED_SHARE,
            end_reason="normal",
        )
        return ConferenceUsage(
            specversion="1.0", id=f"m{number}", source=self._source, subject=tenant.tenant_id, time=ended, data=data
        )

    def _times(self, durations_ms: list[int]) -> tuple[datetime, datetime, int]:
        rng = self._rng
        connected_ms = durations_ms[int(rng.random() * DURATIONS)]
        ended = self._clock() - timedelta(0, rng.random() * REPORT_DELAY_S)
        return ended - timedelta(0, 0, 0, connected_ms), ended, connected_ms

    def _duration_ms(self, median_s: float) -> int:
        return int(1000 * min(median_s * self._rng.lognormvariate(0, SPREAD), LONGEST_S))
