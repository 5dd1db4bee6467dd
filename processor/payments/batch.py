"""One polled batch of recharge commands: decode, charge concurrently, keep the order of each tenant."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final

import msgspec
from msgspec import Struct

from processor.contracts.outputs import decode_request, encode
from processor.domain.messages import RechargeDecided, RechargeDecidedData
from processor.payments.provider import Charge, Decision, PaymentProvider, ProviderTimeout

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0


class UndecodableCommand(Exception):  # noqa: N818
    """A record of the commands topic is no recharge command: our own output is broken, nothing may be skipped.

    Operator action: stop the meter, look at the record; no payment is lost, the worker goes on from there.
    """


class Command(Struct, frozen=True):
    """One recharge command and where it came from."""

    partition: int
    offset: int
    charge: Charge


IsKnown = Callable[[Command], bool]


def decode(partition: int, offset: int, value: bytes | None) -> Command:
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
    )
    return Command(partition, offset, charge)


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


class Cashier:
    """Asks the provider about many tenants at once, and about one tenant in the order of its commands."""

    def __init__(self, provider: PaymentProvider, stop: Event, *, concurrency: int, patience_s: float) -> None:
        self._provider, self._stop, self._patience_s = provider, stop, patience_s
        self._threads = ThreadPoolExecutor(concurrency, "charge")

    def charge(self, charges: Iterable[Charge]) -> dict[str, Decision]:
        """Returns the decisions by recharge id; what is missing was not answered in time.

        An exception other than a timeout is raised here once every thread has come back.
        """
        tenants: dict[str, dict[str, Charge]] = {}
        for charge in charges:
            tenants.setdefault(charge.tenant_id, {}).setdefault(charge.recharge_id, charge)
        running = [self._threads.submit(self._charge_tenant, list(asked.values())) for asked in tenants.values()]
        decisions: dict[str, Decision] = {}
        for future in running:
            decisions.update(future.result())
        return decisions

    def close(self) -> None:
        """Waits for the threads."""
        self._threads.shutdown()

    def _charge_tenant(self, charges: list[Charge]) -> dict[str, Decision]:
        decisions: dict[str, Decision] = {}
        for charge in charges:
            decision = self._ask(charge)
            if decision is None:
                break
            decisions[charge.recharge_id] = decision
        return decisions

    def _ask(self, charge: Charge) -> Decision | None:
        """Repeats the question under the same key until there is an answer; None when patience ends."""
        deadline, pause_s = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                return self._provider.charge(charge)
            except ProviderTimeout:
                if time.monotonic() + pause_s > deadline or self._stop.wait(pause_s):
                    return None
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


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
