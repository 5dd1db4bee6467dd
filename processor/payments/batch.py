"""One polled batch of recharge commands: decode them, judge what may be committed, encode the results."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from processor.contracts.outputs import decode_request, encode
from processor.domain.messages import RechargeDecided, RechargeDecidedData
from processor.payments.provider import Charge, Decision


class UndecodableCommand(Exception):  # noqa: N818
    """A record of the commands topic is no recharge command: our own output is broken, nothing may be skipped.

    Operator action: stop the meter, look at the record; no payment is lost, the worker goes on from there.
    """


Headers = Sequence[tuple[str, str | bytes | None]]
"""Of a Kafka record, as it came: here is the trace of the usage that made the recharge necessary."""


class Command(Struct, frozen=True):
    """One recharge command and where it came from."""

    partition: int
    offset: int
    charge: Charge
    headers: Headers = ()


IsKnown = Callable[[Command], bool]


def decode(partition: int, offset: int, value: bytes | None, headers: Headers = ()) -> Command:
    """Reads a record of `recharge.commands.v1`; raises `UndecodableCommand`."""
    try:
        request = decode_request(value or b"").data
    except msgspec.DecodeError as error:
        raise UndecodableCommand(f"partition {partition}, offset {offset}: {error}") from None
    charge = Charge(
        recharge_id=request.recharge_id,
        tenant_id=request.tenant_id,
        amount_micros=request.amount_micros,
        currency=request.currency,
        payment_method_ref=request.payment_method_ref,
        requested_at=request.requested_at,
        attempt=request.attempt,
    )
    return Command(partition, offset, charge, headers)


def result_record(charge: Charge, decision: Decision, provider: str) -> bytes:
    """Encodes a result; its id and source are the same whenever it is encoded, so a repetition is recognised."""
    return encode(
        RechargeDecided(
            specversion="1.0",
            id=f"{charge.recharge_id}#decided",
            source=f"/payment-worker/{provider}",
            subject=charge.tenant_id,
            time=decision.decided_at,
            data=RechargeDecidedData(
                recharge_id=charge.recharge_id,
                tenant_id=charge.tenant_id,
                status=decision.status,
                amount_micros=charge.amount_micros,
                currency=charge.currency,
                provider=provider,
                decided_at=decision.decided_at,
                provider_reference=decision.reference,
                reason_code=decision.reason_code,
                retryable=decision.retryable,
            ),
        )
    )


class Verdict(Struct):
    """What to commit about a batch: the results that are news, and the next offset to read per partition."""

    results: list[tuple[Command, Decision]] = []
    next_offsets: dict[int, int] = {}
    repeated: int = 0
    unanswered: dict[int, int] = {}
    """Partition to how many commands must be read again, because one before them has no answer."""


def judge(batch: Mapping[int, list[Command]], is_known: IsKnown, decisions: Mapping[str, Decision]) -> Verdict:
    """Takes each partition's commands up to the first without an answer; a recharge id has one result."""
    verdict = Verdict()
    for partition, commands in batch.items():
        published: set[str] = set()
        done = 0
        for command in commands:
            recharge_id = command.charge.recharge_id
            if recharge_id in published or is_known(command):
                verdict.repeated += 1
            elif recharge_id in decisions:
                published.add(recharge_id)
                verdict.results.append((command, decisions[recharge_id]))
            else:
                verdict.unanswered[partition] = len(commands) - done
                break
            done += 1
        verdict.next_offsets[partition] = commands[done - 1].offset + 1 if done else commands[0].offset
    return verdict
