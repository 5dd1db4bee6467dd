"""The records of the job as msgspec reads and writes them, for the peers whose framework leaves that to them."""

import msgspec

USAGE, RESULTS = "usage.call.v1", "recharge.results.v1"
LEDGER, COMMANDS = "ledger.v1", "recharge.commands.v1"
TRIGGER_MICROS = 20_000_000
PAYMENT_MICROS = 50_000_000


class CallData(msgspec.Struct, gc=False):
    tenant_id: str
    callee: str
    connected_ms: int


class Call(msgspec.Struct, gc=False):
    """What the job needs of a usage record; the rest is skipped."""

    id: str
    source: str
    data: CallData


class ResultData(msgspec.Struct):
    recharge_id: str
    tenant_id: str
    amount_micros: int


class Result(msgspec.Struct):
    data: ResultData


class Entry(msgspec.Struct, gc=False):
    event_id: str
    tenant_id: str
    amount_micros: int
    balance_micros: int


class RechargeRequest(msgspec.Struct):
    recharge_id: str
    tenant_id: str
    amount_micros: int
    caused_by: str


class Account(msgspec.Struct, array_like=True, gc=False):
    """A tenant's balance, and whether a recharge is on its way."""

    balance_micros: int = 0
    sequence: int = 0
    in_flight: bool = False

    def debit(self, call: Call, cost: int) -> tuple[Entry, RechargeRequest | None]:
        """Takes the cost of a call; returns the ledger entry, and a request at the trigger."""
        tenant, request = call.data.tenant_id, None
        self.balance_micros -= cost
        if self.balance_micros <= TRIGGER_MICROS and not self.in_flight:
            self.sequence += 1
            self.in_flight = True
            request = RechargeRequest(f"{tenant}:{self.sequence}", tenant, PAYMENT_MICROS, call.id)
        return Entry(call.id, tenant, -cost, self.balance_micros), request

    def credit(self, result: ResultData) -> bool:
        """Adds a payment that was asked for; returns whether it was."""
        if not self.in_flight or result.recharge_id != f"{result.tenant_id}:{self.sequence}":
            return False
        self.balance_micros += result.amount_micros
        self.in_flight = False
        return True


decode_call = msgspec.json.Decoder(Call).decode
decode_result = msgspec.json.Decoder(Result).decode
encode = msgspec.json.Encoder().encode
load_account = msgspec.msgpack.Decoder(Account).decode
dump_account = msgspec.msgpack.Encoder().encode
