"""May this call be made, who pays, and for how long? Asked before a call and during it.

The answer is the meter's own: the rules of `processor.domain` are run on a copy of the account with the leg as it would
be reported at its end. Nothing here decides about money, so the answer and the later charge cannot disagree.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, Literal, Self

import msgspec
from phonenumbers.shortnumberinfo import is_emergency_number
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from processor.console.asked import EARLIEST, LATEST, Moment
from processor.domain.account import Account
from processor.domain.corrections import Allocation, Memory
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.ledger import Entry
from processor.domain.messages import (
    CallData,
    CallType,
    CallUsage,
    ConferenceData,
    ConferenceUsage,
    LegKind,
    NumberType,
)
from processor.domain.metering import apply
from processor.domain.pools import PLANS, PoolUse, UserPools
from processor.domain.tariff import Tariff
from processor.domain.usage import INBOUND_CALLS, INBOUND_CONFERENCE_LEGS

LONGEST_S: Final = 86_400
"""No call is authorized for more than a day at once; it is asked about again while it lasts."""

VENDOR_CODES: Final = {"balance_not_found": 580406, "user_not_licensed": 580464}
"""What the vendor's telephony platform calls these refusals."""


_ONE_OF: Final[list[Any]] = [
    {"required": [given], "properties": {given: {"type": "string"}, other: {"type": "null"}}}
    for given, other in (("call_type", "leg_kind"), ("leg_kind", "call_type"))
]


class Question(BaseModel):
    """A leg that is about to begin. Either `call_type` or `leg_kind` (a conference's) says what it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": _ONE_OF})

    call_type: CallType | None = Field(default=None, description="Direction of a call and how it came about.")
    leg_kind: LegKind | None = Field(default=None, description="How a participant is connected to a conference.")
    number: str = Field(max_length=64, description="E.164: the called number; inbound, the tenant's own number.")
    number_type: NumberType = Field(default="user", description="Whose number the tenant's own end is.")
    payer_id: str = Field(
        default="anybody", min_length=1, max_length=256, description="User, or the conference's organizer."
    )
    payer_country: str = Field(default="US", pattern="^[A-Z]{2}$", description="Usage location of the payer's licence.")
    capability: str | None = Field(
        default=None, min_length=1, max_length=256, description="The payer's plan (SKU).", examples=list(PLANS)
    )
    credits_licensed: StrictBool = Field(description="Whether the payer has the communications credits licence.")
    emergency: StrictBool = False
    at: Moment | None = Field(default=None, description="Start of the call; now unless given.")

    @model_validator(mode="after")
    def _is_a_call_or_a_conference(self) -> Self:
        if (self.call_type is None) == (self.leg_kind is None):
            raise ValueError("give one of call_type and leg_kind")
        return self


class Answer(BaseModel):
    """The verdict. Amounts are micros of the account's currency."""

    allowed: bool
    reason: str = Field(description="Why: the reason that the ledger entry would have.")
    vendor_code: int | None = None
    paid_by: Literal["nobody", "pool", "credits", "pool_then_credits"]
    rate_micros_per_min: int = 0
    connect_fee_micros: int = 0
    longest_s: int = Field(default=0, description="How long pool and balance last; a day at most, then ask again.")


def authorize(
    document: str | None,
    question: Question,
    tariff: Tariff,
    now: datetime,
    own: Callable[[str], str | None] = lambda _user_id: None,
) -> Answer:
    """Answers for one tenant; `document` is its account's JSON, None when it has none.

    `own` finds the JSON about the minutes of a user who shares no pool; it is asked only when the answer depends on it.
    """
    if _is_emergency(question):
        return Answer(allowed=True, reason="emergency", paid_by="nobody", longest_s=LONGEST_S)
    if document is None:
        return _refused("balance_not_found")
    if question.at is not None and not EARLIEST <= question.at < LATEST:
        return _refused("too_old" if question.at < EARLIEST else "in_future")
    case = _Case(document, question, tariff, now, _Users(own))
    try:
        first = case.charge(1)
    except InputRejected as rejected:
        return _refused(rejected.reason)
    usage = first.usage
    assert usage is not None  # noqa: S101 - an entry about usage has it
    if usage.decision == "refused":
        return _refused(usage.reason)
    longest = LONGEST_S if case.affordable(LONGEST_S) else _last(case.affordable, LONGEST_S)
    if not longest:
        return _refused("balance_exhausted", usage.rate_micros_per_min, usage.connect_fee_micros)
    last = case.charge(longest).usage
    assert last is not None  # noqa: S101
    by_pool, by_credits = bool(last.pool_minutes), bool(last.credit_seconds)
    paid_by: Literal["nobody", "pool", "credits", "pool_then_credits"] = (
        "pool_then_credits" if by_pool and by_credits else "pool" if by_pool else "credits" if by_credits else "nobody"
    )
    return Answer(
        allowed=True,
        reason=usage.reason,
        paid_by=paid_by,
        rate_micros_per_min=last.rate_micros_per_min,
        connect_fee_micros=last.connect_fee_micros,
        longest_s=longest,
    )


def _is_emergency(question: Question) -> bool:
    """Tells whether help is called, also where the caller does not say so: then nothing else is asked."""
    if question.emergency or question.call_type == "dr_emergency_out":
        return True
    inbound = question.call_type in INBOUND_CALLS or question.leg_kind in INBOUND_CONFERENCE_LEGS
    return not inbound and is_emergency_number(question.number, question.payer_country)


def _refused(reason: str, rate: int = 0, fee: int = 0) -> Answer:
    return Answer(
        allowed=False,
        reason=reason,
        vendor_code=VENDOR_CODES.get(reason),
        paid_by="nobody",
        rate_micros_per_min=rate,
        connect_fee_micros=fee,
    )


def _last(holds: Any, beyond: int) -> int:
    """Finds the largest number below `beyond` for which `holds` is true; it is true up to there, and 0 if never."""
    low, high = 0, beyond
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


class _Users:
    """What the meter remembers beside the account, as a copy: the counters of the one user who is about to call."""

    def __init__(self, own: Callable[[str], str | None]) -> None:
        self._own = cache(own)

    def original(self, source: str, event_id: str) -> Allocation | None:
        """Raises `InvariantViolated`: a question corrects nothing."""
        raise InvariantViolated(f"a question looks for the charge of {event_id!r} from {source!r}")

    def own_pools(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        """Returns the user's counters, each time anew: every length that is tried begins with the same minutes."""
        del tenant_id
        found = self._own(user_id)
        return [] if found is None else msgspec.json.decode(found, type=UserPools).pools


class _Case:
    """One question: what would the meter do if the leg lasted so long?"""

    def __init__(self, document: str, question: Question, tariff: Tariff, now: datetime, memory: Memory) -> None:
        self._memory = memory
        self._document = document.encode()
        self._question = question
        self._tariff = tariff
        self._started_at = (question.at or now).astimezone(UTC)
        self._decode = msgspec.json.Decoder(Account).decode

    def affordable(self, seconds: int) -> bool:
        """Tells whether nothing is charged, or a positive balance covers it."""
        entry = self.charge(seconds)
        charged, left = -entry.amount_micros, entry.balance_micros
        return (charged == 0 and not self._needs_credits(entry)) or (left + charged > 0 and left >= 0)

    def charge(self, seconds: int) -> Entry:
        """Returns the ledger entry that a leg of this length would have. Raises `InputRejected`."""
        ended_at = self._started_at + timedelta(seconds=seconds)
        account, message = self._decode(self._document), self._message(seconds, ended_at)
        outcome = apply(account, message, self._tariff, ended_at, self._memory)
        return next(entry for entry in outcome.entries if entry.kind == "charge")

    @staticmethod
    def _needs_credits(entry: Entry) -> bool:
        return entry.usage is not None and entry.usage.decision in ("credits", "split")

    def _message(self, seconds: int, ended_at: datetime) -> CallUsage | ConferenceUsage:
        asked = self._question
        if asked.leg_kind is not None:
            inbound = asked.leg_kind.startswith("dial_in")
            conference = ConferenceData(
                tenant_id="?",
                conference_id="?",
                leg_id="?",
                record_kind="final",
                leg_kind=asked.leg_kind,
                remote_number="" if inbound else asked.number,
                bridge_number=asked.number if inbound else None,
                joined_at=self._started_at,
                left_at=ended_at,
                connected_ms=seconds * 1000,
                organizer_id=asked.payer_id,
                organizer_country=asked.payer_country,
                capability=asked.capability or "",
                credits_licensed=asked.credits_licensed,
            )
            return ConferenceUsage(specversion="1.0", id="?", source="?", data=conference)
        assert asked.call_type is not None  # noqa: S101 - the question has one of the two
        call = CallData(
            tenant_id="?",
            call_id="?",
            leg_id="?",
            record_kind="final",
            call_type=asked.call_type,
            caller="",
            callee=asked.number,
            number_type=asked.number_type,
            answered_at=self._started_at,
            ended_at=ended_at,
            connected_ms=seconds * 1000,
            user_id=asked.payer_id,
            user_country=asked.payer_country,
            capability=asked.capability,
            credits_licensed=asked.credits_licensed,
        )
        return CallUsage(specversion="1.0", id="?", source="?", data=call)
