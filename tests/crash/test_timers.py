"""Time passes on idle partitions of a real broker; whoever is killed or frozen meanwhile, nothing is asked twice."""

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import Producer

from tests.crash.platform import write_deck
from tests.crash.proof import documents
from tests.crash.workers import WorkerProcess, wait_until

TENANT = "tenant-0001"
DEADLINE_S = 8
LOT_S = 12


class Desk:
    """Sends an account command and payment results, and reads what the meter committed."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})

    def send(self, topic: str, kind: str, event_id: str, data: dict[str, object]) -> None:
        event = {"specversion": "1.0", "id": event_id, "source": "/test", "type": kind, "data": data}
        self._producer.produce(topic, json.dumps(event), TENANT)
        assert self._producer.flush(10) == 0

    def switch_on(self) -> None:
        """Below the trigger already, so the first payment is asked for at once."""
        settings = {"enabled": True, "payment_amount_micros": 50_000_000, "trigger_micros": 0, "currency": "USD"}
        data = {"tenant_id": TENANT, "payment_method_ref": "card", **settings}
        self.send("account.commands.v1", "credits.autopay.set.v1", "on", data)

    def pay(self, event_id: str) -> None:
        now = datetime.now(UTC).isoformat()
        data = {"recharge_id": f"{TENANT}:1", "tenant_id": TENANT, "status": "succeeded", "amount_micros": 50_000_000}
        more = {"currency": "USD", "provider": "test", "decided_at": now}
        self.send("recharge.results.v1", "payments.recharge.decided.v1", event_id, data | more)

    def fund_for(self, seconds: float) -> None:
        """A purchase of a year ago, less so many seconds; nothing ever expires on a 29 February."""
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        purchased_at = expires_at.replace(year=expires_at.year - 1).isoformat()
        data = {"tenant_id": TENANT, "amount_micros": 50_000_000, "currency": "USD", "payment_reference": "transfer"}
        self.send("account.commands.v1", "credits.funded.v1", "funds", data | {"purchased_at": purchased_at})

    def attempts(self) -> list[tuple[str, int]]:
        commands = [event["data"] for event in documents(self._bootstrap, "recharge.commands.v1")]
        return [(command["recharge_id"], command["attempt"]) for command in commands]

    def notices(self) -> list[str]:
        return [event["data"]["kind"] for event in documents(self._bootstrap, "notifications.v1")]

    def credited(self) -> list[int]:
        return [event["data"]["amount_micros"] for event in documents(self._bootstrap, "ledger.v1")]

    def entries(self) -> list[tuple[str, int]]:
        ledger = [event["data"] for event in documents(self._bootstrap, "ledger.v1")]
        return [(entry["kind"], entry["amount_micros"]) for entry in ledger]


def worker(bootstrap: str, directory: Path) -> WorkerProcess:
    deck = write_deck(directory.with_suffix(".csv"))
    return WorkerProcess(bootstrap, directory, deck, CREDITS_RECHARGE_DEADLINE_S=str(DEADLINE_S))


def test_a_deadline_on_an_idle_partition_is_kept_by_a_worker_that_was_killed_in_between(
    topics: str, tmp_path: Path
) -> None:
    desk, meter = Desk(topics), worker(topics, tmp_path / "a").start()
    desk.switch_on()
    wait_until("the payment is asked for", lambda: len(desk.attempts()) == 1)
    meter.kill()
    meter.start()
    wait_until("it is asked for again", lambda: len(desk.attempts()) == 2)
    meter.kill()
    desk.pay("late")
    desk.pay("late again")
    meter.start()
    wait_until("the late success is credited", lambda: desk.credited() != [])
    assert meter.terminate() == 0
    assert desk.attempts() == [(f"{TENANT}:1", 1), (f"{TENANT}:1", 2)]
    assert desk.notices() == ["recharge.unknown", "recharge.succeeded"]
    assert desk.credited() == [50_000_000]


def test_a_lot_on_an_idle_partition_is_forfeited_once_by_a_worker_that_was_killed_in_between(
    topics: str, tmp_path: Path
) -> None:
    desk, meter = Desk(topics), worker(topics, tmp_path / "a").start()
    wait_until("the worker has its partitions", lambda: bool(meter.adopted()))
    desk.fund_for(LOT_S)
    wait_until("the funds are there, to expire soon", lambda: desk.entries() == [("fund", 50_000_000)])
    meter.kill()
    meter.start()
    wait_until("they are forfeited", lambda: len(desk.entries()) > 1)
    meter.kill()
    meter.start()
    desk.send("usage.call.v1", "telephony.call.v1", "none", {"tenant_id": TENANT})
    wait_until("the successor works on", lambda: len(list(documents(topics, "dead.letters.v1"))) == 1)
    assert meter.terminate() == 0
    assert desk.entries() == [("fund", 50_000_000), ("expiry", -50_000_000)]
    told = desk.notices()
    assert told.count("lot.expiring") <= 1, "announced only if there was time before the kill"
    assert [kind for kind in told if kind != "lot.expiring"] == ["lot.expired", "balance.zero"]


def test_a_zombie_whose_timer_is_due_when_it_wakes_asks_for_nothing(topics: str, tmp_path: Path) -> None:
    """It has read nothing since, so only the position in its transaction tells the broker that it is a zombie."""
    desk, zombie = Desk(topics), worker(topics, tmp_path / "zombie").start()
    desk.switch_on()
    wait_until("the payment is asked for", lambda: len(desk.attempts()) == 1)
    zombie.signal(signal.SIGSTOP)
    successor = worker(topics, tmp_path / "successor").start()
    wait_until("the successor asks again", lambda: len(desk.attempts()) == 2)
    zombie.signal(signal.SIGCONT)
    assert zombie.ended() == 70
    assert successor.terminate() == 0
    assert desk.attempts() == [(f"{TENANT}:1", 1), (f"{TENANT}:1", 2)]
    assert desk.notices() == ["recharge.unknown"]
