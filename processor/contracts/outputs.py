"""What the meter publishes: the CloudEvents of its output topics, and their codecs."""

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from processor.domain.account import Account
from processor.domain.ledger import Entry, Notice, RechargeRequest
from processor.domain.money import Micros

SOURCE: Final = "/communication-credits/meter"


class Published(Struct, kw_only=True, gc=False, tag_field="type"):
    """CloudEvents 1.0 envelope of everything the meter publishes; `subject` is the tenant."""

    id: str
    subject: str
    time: datetime
    specversion: str = "1.0"
    source: str = SOURCE
    datacontenttype: str = "application/json"


class LedgerEvent(Published, tag="credits.ledger.entry.v1"):
    """Record of `ledger.v1`."""

    data: Entry


class RechargeRequested(Published, tag="credits.recharge.requested.v1"):
    """Record of `recharge.commands.v1`."""

    data: RechargeRequest


class Notification(Struct, kw_only=True):
    """Record of `notifications.v1`; `type` is `credits.<kind>.v1`."""

    type: str
    id: str
    subject: str
    time: datetime
    data: Notice
    specversion: str = "1.0"
    source: str = SOURCE
    datacontenttype: str = "application/json"


class _LotGlimpse(Struct, gc=False):
    expires_at: datetime
    expiry_noticed: bool = False


class _AutopayGlimpse(Struct, gc=False):
    enabled: bool
    trigger_micros: Micros


class _RechargeGlimpse(Struct, gc=False):
    in_flight: str | None = None
    requested_at: datetime | None = None
    suspended: bool = False
    deadline_at: datetime | None = None
    not_before: datetime | None = None
    blocked_until: datetime | None = None


class AccountGlimpse(Struct, gc=False):
    """What must be known of every account of a partition before anything happens to it."""

    tenant_id: str
    balance_micros: Micros
    overdraft_micros: Micros
    lots: list[_LotGlimpse]
    recharge: _RechargeGlimpse
    autopay: _AutopayGlimpse | None = None


encode = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(LedgerEvent).decode
decode_request = msgspec.json.Decoder(RechargeRequested).decode
decode_notification = msgspec.json.Decoder(Notification).decode
decode_account = msgspec.json.Decoder(Account).decode
glimpse = msgspec.json.Decoder(AccountGlimpse).decode


def entry_record(entry: Entry) -> bytes:
    """Encodes a ledger entry; the event's id is the entry's."""
    return encode(LedgerEvent(id=entry.entry_id, subject=entry.tenant_id, time=entry.recorded_at, data=entry))


def request_record(request: RechargeRequest) -> bytes:
    """Encodes a recharge command; its id is the recharge id, with the attempt when asked again."""
    again = f"#{request.attempt}" if request.attempt > 1 else ""
    return encode(
        RechargeRequested(
            id=request.recharge_id + again, subject=request.tenant_id, time=request.requested_at, data=request
        )
    )


def notice_record(notice: Notice, now: datetime) -> bytes:
    """Encodes a notification under an id that is the same on every replay."""
    return encode(
        Notification(
            type=f"credits.{notice.kind}.v1",
            id=f"{notice.tenant_id}:{notice.kind}:{notice.cause}",
            subject=notice.tenant_id,
            time=now,
            data=notice,
        )
    )
