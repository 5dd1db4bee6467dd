"""What an audit reads of ledger entries and states: only the fields that it needs are decoded."""

from datetime import datetime

from msgspec import Struct

from processor.domain.ledger import EntryKind, LotChange
from processor.domain.money import Micros


class AuditedEntry(Struct, gc=False):
    """What the audit reads of a ledger entry."""

    tenant_id: str
    revision: int
    kind: EntryKind
    event_id: str
    event_source: str
    occurred_at: datetime
    recorded_at: datetime
    amount_micros: Micros
    balance_micros: Micros
    currency: str
    lots: list[LotChange]


class AuditedLot(Struct, gc=False):
    """What the audit reads of a lot in the state."""

    lot_id: str
    remaining_micros: Micros


class AuditedDecision(Struct, gc=False):
    """A final result of a recharge that the state remembers."""

    recharge_id: str
    status: str


class AuditedRecharge(Struct, gc=False):
    """What the audit reads of the recharge state machine."""

    sequence: int = 0
    in_flight: str | None = None
    attempt: int = 1
    decided: list[AuditedDecision] = []


class AuditedState(Struct, gc=False):
    """What the audit reads of a record of `account.state.v1`."""

    tenant_id: str
    revision: int
    balance_micros: Micros
    overdraft_micros: Micros
    currency: str
    lots: list[AuditedLot]
    recharge: AuditedRecharge
