"""The two forms of ledger entries and recharge commands: what the meter publishes, and what the peers write."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from confluent_kafka import Message
from exactness import Entry, Request

from processor.contracts import outputs


class Form(NamedTuple):
    """How to read the records of a program."""

    entry: Callable[[Message], Entry]
    request: Callable[[Message], Request]


def _meters_entry(message: Message) -> Entry:
    entry = outputs.decode_entry(message.value()).data
    event_id = entry.event_id if entry.kind == "charge" else None
    return Entry(entry.tenant_id, event_id, entry.amount_micros, entry.balance_micros)


def _meters_request(message: Message) -> Request:
    request = outputs.decode_request(message.value()).data
    return Request(request.tenant_id, request.recharge_id)


class _PeersEntry(msgspec.Struct):
    tenant_id: str
    event_id: str
    amount_micros: int
    balance_micros: int


class _PeersRequest(msgspec.Struct):
    tenant_id: str
    recharge_id: str


_decode_entry = msgspec.json.Decoder(_PeersEntry).decode
_decode_request = msgspec.json.Decoder(_PeersRequest).decode

METERS = Form(_meters_entry, _meters_request)
PEERS = Form(
    lambda message: Entry(*msgspec.structs.astuple(_decode_entry(message.value()))),
    lambda message: Request(*msgspec.structs.astuple(_decode_request(message.value()))),
)
