"""What a producer can do wrong, found in the records that it wrote: key, partition, envelope, schema, times, identity.

Where the worker would park a record or forward it, a finding is a `fault`; where it would only be better done
otherwise, a `warning`. Findings carry no field values: usage holds phone numbers.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

import msgspec
from xxhash import xxh3_64_intdigest

from processor.cli.partitioners import Placement
from processor.contracts.inputs import decode, identity
from processor.domain.errors import InputRejected
from processor.domain.messages import CallUsage, ConferenceUsage, Message
from processor.domain.policy import Policy
from processor.domain.usage import TOLERANCE_MS

Severity = Literal["fault", "warning"]

STRUCTURED: Final = "application/cloudevents+json"
BINARY: Final = "application/json"
FRAMED: Final = b"\x00"
"""First byte of what a schema registry's serializers write: no JSON begins with it."""

_e164 = re.compile(r"\+[1-9][0-9]{1,14}").fullmatch


class Record(Protocol):
    """What is asked of a consumed record; confluent_kafka's `Message` has it."""

    def key(self) -> bytes | None: ...  # noqa: D102
    def value(self) -> bytes | None: ...  # noqa: D102
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...  # noqa: D102
    def partition(self) -> int: ...  # noqa: D102
    def offset(self) -> int: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102


class Kind(msgspec.Struct, frozen=True):
    """A way to do it wrong."""

    name: str
    severity: Severity
    remedy: str


KEY_MISSING = Kind("key_missing", "fault", "set the tenant id, in UTF-8, as the key of every record")
KEY_MISMATCH = Kind("key_mismatch", "fault", "the key is data.tenant_id as plain UTF-8 bytes: no quotes, no prefix")
SUBJECT_MISMATCH = Kind("subject_mismatch", "fault", "set subject to data.tenant_id, or leave it out")
PARTITION = Kind("partition", "fault", "")
NOT_JSON = Kind("not_json", "fault", "write UTF-8 JSON without framing: a plain string or byte serializer")
TOO_LARGE = Kind("too_large", "fault", "a usage event has some 600 bytes: is something embedded in it?")
UNKNOWN_TYPE = Kind("unknown_type", "fault", "compare type and topic with docs/reference/messages.md")
SCHEMA = Kind("schema", "fault", "compare with the schema of the topic: docs/reference/messages.md")
CONTENT_TYPE = Kind("content_type", "warning", f"set the header content-type: {STRUCTURED}, in binary mode {BINARY}")
ENDED_FIRST = Kind("ended_before_start", "fault", "check which of the two times is which, and their time zones")
DURATION = Kind("duration", "fault", "connected_ms is the end minus the start of talking, without ringing, within 1 s")
IN_FUTURE = Kind("in_future", "fault", "synchronise the clock (NTP) and check the time zone: times need their offset")
CLOCK_AHEAD = Kind("clock_ahead", "warning", "synchronise the clock (NTP): legs end after they arrive here")
TOO_OLD = Kind("too_old", "fault", "send within the window of CREDITS_DEDUPLICATION_DAYS, or widen it")
NUMBER = Kind("number", "warning", "write numbers in E.164 with the plus sign: parked wherever credits have to pay")
ID_REUSED = Kind("id_reused", "fault", "make the id of the platform's own record id: the second leg is never charged")
REPEATED = Kind("repeated", "warning", "harmless, charged once; if it is not a retry: enable.idempotence=true")


class Finding(msgspec.Struct):
    """One kind of wrong with one explanation, and where it was met first."""

    fault: str
    severity: Severity
    detail: str
    remedy: str
    records: int
    partition: int
    offset: int


class Examination:
    """Judges record after record as the worker would. Memory grows with the distinct keys and event ids."""

    def __init__(self, topic: str, partitions: int, policy: Policy) -> None:
        self.topic = topic
        self.policy = policy
        self.records = 0
        self.placement = Placement(partitions)
        self._found: dict[tuple[str, str], Finding] = {}
        self._contents: dict[bytes, int] = {}

    def add(self, record: Record) -> None:
        """Judges one record; a record may have several faults, but of a broken one only the first is known."""
        self.records += 1
        key = record.key()
        if key is None:
            self._note(record, KEY_MISSING, "the record has no key, so any worker may get it")
        elif not self.placement.add(key, record.partition()):
            self._note(record, PARTITION, "")
        try:
            message = decode(self.topic, record.value(), record.headers)
        except InputRejected as rejected:
            self._note(record, *_undecodable(rejected, record.value()))
            return
        self._addressed(record, message)
        self._headers(record)
        if isinstance(message, CallUsage):
            data = message.data
            self._times(record, data.answered_at, data.ended_at, data.connected_ms)
            self._number(record, data.callee)
        elif isinstance(message, ConferenceUsage):
            leg = message.data
            self._times(record, leg.joined_at, leg.left_at, leg.connected_ms)
            inbound = leg.leg_kind in ("dial_in_toll", "dial_in_toll_free")
            self._number(record, (leg.bridge_number or "") if inbound else leg.remote_number)
        self._identity(record, message)

    def findings(self) -> list[Finding]:
        """Returns what was found, faults first, the most frequent first."""
        misplaced = self._found.get((PARTITION.name, ""))
        if misplaced is not None:
            guess = self.placement.guess()
            misplaced.detail, misplaced.remedy = f"the partitioner looks like {guess.name}", guess.remedy
        return sorted(self._found.values(), key=lambda finding: (finding.severity, -finding.records, finding.fault))

    def _note(self, record: Record, kind: Kind, detail: str) -> None:
        known = self._found.get((kind.name, detail))
        if known is None:
            where = record.partition(), record.offset()
            self._found[kind.name, detail] = Finding(kind.name, kind.severity, detail, kind.remedy, 1, *where)
        else:
            known.records += 1

    def _addressed(self, record: Record, message: Message) -> None:
        tenant, key = message.data.tenant_id, record.key()
        if key is not None and key != tenant.encode():
            self._note(record, KEY_MISMATCH, _difference(key, tenant))
        if message.subject not in (None, tenant):
            self._note(record, SUBJECT_MISMATCH, "subject names another tenant than data.tenant_id")

    def _headers(self, record: Record) -> None:
        headers = {name.lower(): value or b"" for name, value in record.headers() or ()}
        stated = headers.get("content-type", b"").decode("utf-8", "replace").partition(";")[0].strip().lower()
        expected = BINARY if "ce_type" in headers else STRUCTURED
        if stated != expected:
            self._note(record, CONTENT_TYPE, f"content-type is {'not set' if not stated else f'not {expected}'}")

    def _times(self, record: Record, started: datetime, ended: datetime, connected_ms: int) -> None:
        arrived = datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC)
        lasted_ms = (ended - started) // timedelta(milliseconds=1)
        if lasted_ms < 0:
            self._note(record, ENDED_FIRST, "the leg ended before it began")
        elif abs(lasted_ms - connected_ms) > TOLERANCE_MS:
            longer = "longer" if connected_ms > lasted_ms else "shorter"
            self._note(record, DURATION, f"connected_ms is {longer} than end minus start")
        if ended > arrived + self.policy.max_future:
            ahead_s = self.policy.max_future.total_seconds()
            self._note(record, IN_FUTURE, f"the leg ended more than {ahead_s:.0f} s after it arrived")
        elif ended > arrived + timedelta(milliseconds=TOLERANCE_MS):
            self._note(record, CLOCK_AHEAD, "the leg ended after it arrived")
        if started < arrived - self.policy.deduplication:
            days = self.policy.deduplication.days
            self._note(record, TOO_OLD, f"the leg began more than {days} days before it arrived")

    def _number(self, record: Record, number: str) -> None:
        if _e164(number) is None:
            self._note(record, NUMBER, "the number to be priced is not E.164")

    def _identity(self, record: Record, message: Message) -> None:
        event, content = identity(message.source, message.id), xxh3_64_intdigest(msgspec.json.encode(message.data))
        known = self._contents.get(event)
        if known is None:
            self._contents[event] = content
        elif known == content:
            self._note(record, REPEATED, "the event is there more than once")
        else:
            self._note(record, ID_REUSED, "source and id are those of an earlier event with other data")


def _undecodable(rejected: InputRejected, value: bytes | None) -> tuple[Kind, str]:
    """Names what the decoder refused; the message ends with the JSON path."""
    kind = {"too_large": TOO_LARGE, "not_json": NOT_JSON, "unknown_type": UNKNOWN_TYPE}.get(rejected.reason, SCHEMA)
    if value is not None and value.startswith(FRAMED):
        return NOT_JSON, "the value begins with the framing of a schema registry's serializer"
    if kind is SCHEMA and value is not None and value.lstrip().startswith(b'"'):
        return SCHEMA, "the value is a JSON string: the event was encoded twice"
    return kind, rejected.message


def _difference(key: bytes, tenant: str) -> str:
    """Tells how a key misses the tenant, where the slip is a common one."""
    expected = tenant.encode()
    if key == b'"' + expected + b'"':
        return "the key is the tenant in quotes, as a JSON serializer writes it"
    if key.startswith(FRAMED) and key.endswith(expected):
        return "the key begins with the framing of a schema registry's serializer"
    if key.strip().lower() == expected.strip().lower():
        return "the key differs from data.tenant_id in case or spaces"
    return "the key is not data.tenant_id"
