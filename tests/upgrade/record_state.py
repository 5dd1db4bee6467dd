"""Records what this release leaves in topics and checkpoints, for the upgrade tests of all later ones.

    .venv/bin/python -m tests.upgrade.record_state

Run once per release. What is recorded is never overwritten: a later release must read what the earlier one wrote, not
what it would have written.
"""

import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from rocksdict import Options, Rdict

from processor import __version__
from processor.cli.reading import read_committed
from processor.contracts import topics
from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics
from processor.stream.checkpoint import CHANGELOGS
from processor.stream.frames import Stamp, frames
from tests.crash.platform import PARTITIONS, Payments, Platform, _call, _event, write_deck
from tests.crash.proof import documents, prove
from tests.crash.workers import WorkerProcess, drained
from tests.upgrade.golden import KEPT, STATE, Kept, Worth, write

TENANTS = 3
EVENTS = 300
USERS = ("ada", "grace")
TRIGGER_MICROS = 45_000_000
"""So high that a few hundred events lead to recharges."""
POOL_CALLS = 3
POOL_MINUTES = 10


def prepare(platform: Platform) -> None:
    """Gives one tenant licences whose minutes belong to users, and raises everybody's trigger."""
    for tenant in platform._tenants:
        platform.set_autopay(f"trigger-{tenant}", tenant, TRIGGER_MICROS, max_per_day=1000)
    tenant = platform._tenants[0]
    licences = {"tenant_id": tenant, "effective_at": "2026-01-01T00:00:00Z"}
    licences |= {"licences": [{"capability": "MCOPSTN8", "country": "ZZ", "count": len(USERS)}]}
    platform._send(topics.ACCOUNT_COMMANDS, tenant, _event("licences", "credits.licences.set.v1", tenant, licences))
    platform.producer.flush()


def call_on_pools(platform: Platform, ended_at: tuple[str, str]) -> dict[str, int]:
    """Has two users call within the minutes of their own, at no cost; returns the minutes, by tenant and user."""
    tenant = platform._tenants[0]
    for user in USERS:
        for number in range(POOL_CALLS):
            data = _call(tenant, "+442079460000", POOL_MINUTES * 60_000, ended_at)
            data |= {"user_id": user, "user_country": "ZZ", "capability": "MCOPSTN8"}
            event_id = f"pool-{user}-{number}"
            platform._send(topics.USAGE_CALL, tenant, _event(event_id, "telephony.call.v1", tenant, data))
            platform.expected.usage[event_id] = (tenant, 0)
    platform.producer.flush()
    return {f"{tenant} {user}": POOL_CALLS * POOL_MINUTES for user in USERS}


def live(bootstrap: str, directory: Path) -> Worth:
    """Lets the product work for a while; returns what is left, in the words of those who caused it."""
    worker = WorkerProcess(bootstrap, directory, write_deck(directory.with_suffix(".csv"))).start()
    platform = Platform(bootstrap, seed=1, tenants=TENANTS)
    platform.open_accounts()
    prepare(platform)
    with Payments(bootstrap, platform):
        drained(bootstrap, worker)
        ended = datetime.now(UTC)
        minutes = call_on_pools(platform, ((ended - timedelta(minutes=POOL_MINUTES)).isoformat(), ended.isoformat()))
        platform.emit(EVENTS)
        platform.producer.flush()
        drained(bootstrap, worker)
        drained(bootstrap, worker)  # the results of the last recharges
    assert worker.terminate() == 0
    prove(bootstrap, platform.expected)
    spent, paid = platform.expected.spent(), platform.expected.funded.copy()
    for event in documents(bootstrap, topics.LEDGER):
        if event["data"]["kind"] == "recharge":
            paid[event["data"]["tenant_id"]] += event["data"]["amount_micros"]
    balances = {tenant: paid[tenant] - spent[tenant] for tenant in platform._tenants}
    return Worth(platform.expected.usage, dict(platform.expected.funded), balances, minutes, {})


def record(target: Path) -> None:
    """Fills the directory of this release."""
    with tempfile.TemporaryDirectory() as temporary, EmbeddedBroker() as broker:
        directory = Path(temporary) / "worker"
        stream_topics.apply(broker.bootstrap, PARTITIONS, 1)
        worth = live(broker.bootstrap, directory)
        audit = [sys.executable, "-m", "processor.cli", "verify", "--brokers", broker.bootstrap]
        subprocess.run(audit, check=True)
        target.mkdir(parents=True)
        for topic in KEPT:
            found = read_committed({"bootstrap.servers": broker.bootstrap}, topic)
            write(target, topic, [kept(topic, message) for message in found])
        for partition in range(PARTITIONS):
            files = directory / "checkpoint" / str(partition)
            stamps = [stamp_of(path) for name in ("accounts.*", "users.*", "ids") for path in files.glob(name)]
            if len(stamps) == len(CHANGELOGS):
                shutil.copytree(files, target / "checkpoint" / str(partition))
                worth.stamps[str(partition)] = stamps
        (target / "expected.json").write_bytes(msgspec.json.format(msgspec.json.encode(worth)) + b"\n")


def kept(topic: str, message: object) -> Kept:
    """Returns a record as it is kept."""
    key, value, partition = message.key(), message.value(), message.partition()  # type: ignore[attr-defined]
    name = None if key is None else key.decode()
    if topic == topics.EVENT_IDS:
        return Kept(partition, name, packed=value)
    return Kept(partition, name, text=value.decode())


def stamp_of(path: Path) -> Stamp:
    """Reads the stamp of a table's copy, or of the manifest of the event ids."""
    if path.name != "ids":
        table = Rdict(str(path), Options(raw_mode=True))
        meta = table.get(b"")
        table.close()
    else:
        meta, _ = next(frames(memoryview(path.read_bytes())))
    return Stamp(**msgspec.msgpack.decode(meta)["stamp"])


def main() -> None:
    """Refuses to record a release twice."""
    target = STATE / __version__
    if target.exists():
        sys.exit(
            f"the state of {__version__} is recorded in {target} and stays as it is: raise the version in"
            " pyproject.toml before you record another"
        )
    record(target)


if __name__ == "__main__":
    main()
