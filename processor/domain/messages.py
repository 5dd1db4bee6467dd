"""Everything that can happen to an account, as typed messages.

The classes are the records of the input topics: a CloudEvents envelope with its `data`. Types and bounds given here
are those of the published JSON Schemas (`schemas/`), which are generated from them.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from processor.domain.money import MAX_MICROS

Text = Annotated[str, Meta(min_length=1, max_length=256)]
TenantId = Annotated[str, Meta(min_length=1, max_length=128)]
PhoneNumber = Annotated[str, Meta(max_length=64, extra_json_schema={"x-pii": "direct"})]
UserId = Annotated[str, Meta(min_length=1, max_length=256, extra_json_schema={"x-pii": "indirect"})]
Country = Annotated[str, Meta(min_length=2, max_length=2)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)]  # in Python, $ alone lets a final newline pass
Time = Annotated[datetime, Meta(tz=True)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_MICROS)]
Amount = Annotated[int, Meta(ge=-MAX_MICROS, le=MAX_MICROS)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]

RecordKind = Literal["final", "correction", "void"]
NumberType = Literal["user", "service_toll", "service_toll_free"]
CallType = Literal[
    "user_in",
    "user_out",
    "user_out_conf",
    "user_out_transfer",
    "user_out_forwarding",
    "ucap_in",
    "ucap_out",
    "dr_in",
    "dr_out",
    "dr_in_ucap",
    "dr_out_ucap",
    "dr_out_user_conf",
    "dr_out_user_forwarding",
    "dr_out_user_transfer",
    "dr_emergency_out",
]
LegKind = Literal["dial_in_toll", "dial_in_toll_free", "dial_out", "call_me"]


class CallData(Struct, kw_only=True, gc=False):
    """One leg of a call, as the telephony platform saw it when the leg ended."""

    tenant_id: TenantId
    call_id: Text
    leg_id: Text
    record_kind: RecordKind
    call_type: CallType
    caller: PhoneNumber
    callee: PhoneNumber
    number_type: NumberType
    answered_at: Time
    ended_at: Time
    connected_ms: Milliseconds
    corrects: Text | None = None
    user_id: UserId | None = None
    user_country: Country | None = None
    capability: Text | None = None
    credits_licensed: bool = False
    emergency: bool = False
    correlation_id: Text | None = None
    end_reason: Text | None = None


class ConferenceData(Struct, kw_only=True, gc=False):
    """One PSTN leg of an audio conference."""

    tenant_id: TenantId
    conference_id: Text
    leg_id: Text
    record_kind: RecordKind
    leg_kind: LegKind
    remote_number: PhoneNumber
    joined_at: Time
    left_at: Time
    connected_ms: Milliseconds
    organizer_id: UserId
    organizer_country: Country
    capability: Text
    credits_licensed: bool
    corrects: Text | None = None
    bridge_number: PhoneNumber | None = None
    end_reason: Text | None = None


class FundedData(Struct, kw_only=True):
    """Money that somebody paid in by hand."""

    tenant_id: TenantId
    amount_micros: Amount
    currency: Currency
    purchased_at: Time
    payment_reference: Text


class AutopaySetData(Struct, kw_only=True):
    """The auto-pay form: payment amount, "when the balance falls to", Save changes."""

    tenant_id: TenantId
    enabled: bool
    payment_amount_micros: Amount
    trigger_micros: Amount
    currency: Currency
    payment_method_ref: Text
    max_per_day: Count | None = None
    max_per_month_micros: Amount | None = None
    max_units: Count | None = None


class AdjustedData(Struct, kw_only=True):
    """A correction of the balance by the operator, in the account's currency."""

    tenant_id: TenantId
    amount_micros: Amount
    reason: Text
    operator: Text


class RechargeResetData(Struct, kw_only=True):
    """The operator ends the pause or the suspension of auto-pay."""

    tenant_id: TenantId
    operator: Text


class Licence(Struct, kw_only=True, frozen=True):
    """How many licences of one plan a tenant has in one country."""

    capability: Text
    country: Country
    count: Annotated[int, Meta(ge=0, le=10_000_000)]


class LicencesSetData(Struct, kw_only=True):
    """All licences of a tenant from `effective_at` on; what is not named is gone."""

    tenant_id: TenantId
    licences: list[Licence]
    effective_at: Time


class RechargeDecidedData(Struct, kw_only=True):
    """What the payment provider said to one recharge command."""

    recharge_id: Text
    tenant_id: TenantId
    status: Literal["succeeded", "declined", "failed"]
    amount_micros: Amount
    currency: Currency
    provider: Text
    decided_at: Time
    provider_reference: Text | None = None
    reason_code: Text | None = None
    retryable: bool = False


class Envelope(Struct, kw_only=True, gc=False, tag_field="type"):
    """CloudEvents 1.0; `id` and `source` identify the event, a retry repeats both."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    subject: TenantId | None = None
    time: Time | None = None


class CallUsage(Envelope, tag="telephony.call.v1"):
    """Record of `usage.call.v1`."""

    data: CallData


class ConferenceUsage(Envelope, tag="telephony.conference.v1"):
    """Record of `usage.conference.v1`."""

    data: ConferenceData


class Funded(Envelope, tag="credits.funded.v1"):
    """Record of `account.commands.v1`."""

    data: FundedData


class AutopaySet(Envelope, tag="credits.autopay.set.v1"):
    """Record of `account.commands.v1`."""

    data: AutopaySetData


class Adjusted(Envelope, tag="credits.adjusted.v1"):
    """Record of `account.commands.v1`."""

    data: AdjustedData


class RechargeReset(Envelope, tag="credits.recharge.reset.v1"):
    """Record of `account.commands.v1`."""

    data: RechargeResetData


class LicencesSet(Envelope, tag="credits.licences.set.v1"):
    """Record of `account.commands.v1`."""

    data: LicencesSetData


class RechargeDecided(Envelope, tag="payments.recharge.decided.v1"):
    """Record of `recharge.results.v1`."""

    data: RechargeDecidedData


Usage = CallUsage | ConferenceUsage
Message = CallUsage | ConferenceUsage | Funded | AutopaySet | LicencesSet | Adjusted | RechargeReset | RechargeDecided


class Tick(Struct, frozen=True):
    """Time has passed: whatever of the account is due by now, is done. The clock's message; no topic carries it."""
