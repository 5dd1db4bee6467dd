"""`make bench-console`: ledger entries per second into the console's read model on one core, and how fast it answers.

A real broker holds the entries, as the meter writes them, before `credits console` starts on its own core. The rate is
that of the whole process: fetch, decode, store, commit. `authorize` is asked over HTTP, one request after the other,
while the console is idle and while it catches up; how much of that is the machine and the way to it, a request for
`nothing` tells: an address that there is not.
"""

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import httpx
import runs
from harness import Program, fresh_broker
from load import producer

from processor.console.access import Principal, Role, open_access
from processor.console.server import database_urls
from processor.contracts import outputs, topics
from processor.domain.account import Account, credit
from processor.domain.ledger import Entry, LotChange, UsageDetail
from processor.embedded.broker import free_port

NOW = datetime.now(UTC)
COUNTRIES = ("GB", "US", "FR", "DE", "JP", "IN", "BR", "ZA")
QUESTION = {"call_type": "user_out", "number": "+442079460000", "credits_licensed": True}
PATIENCE_S = 600.0
ASKED_IDLE = 2000


def publish(brokers: str, entries: int, tenants: int) -> None:
    """Writes the ledger and the accounts that a meter would leave after so many charges."""
    out = producer(brokers, **{"queue.buffering.max.messages": entries + tenants})
    names = [f"tenant-{number:05}" for number in range(tenants)]
    for tenant in names:
        account = Account(tenant_id=tenant, currency="USD")
        credit(account, "lot-1", 10**10, NOW - timedelta(days=1))
        out.produce(topics.ACCOUNT_STATE, outputs.encode(account), tenant)
    for number in range(entries):
        tenant, revision = names[number % tenants], number // tenants + 1
        usage = UsageDetail(
            decision="credits",
            reason="pay_as_you_go",
            call_type="user_out",
            country=COUNTRIES[number % len(COUNTRIES)],
            destination="United Kingdom landline",
            prefix="44",
            connected_seconds=95,
            billed_seconds=120,
            credit_seconds=120,
            rate_micros_per_min=16_000,
            deck="synthetic_deck@0123456789ab",
        )
        entry = Entry(
            entry_id=f"{tenant}:{revision}",
            tenant_id=tenant,
            revision=revision,
            kind="charge",
            event_id=f"event-{number}",
            event_source="/telephony/sbc-1",
            occurred_at=NOW - timedelta(seconds=number % 86_400),
            recorded_at=NOW,
            amount_micros=-32_000,
            balance_micros=10**10 - 32_000 * revision,
            currency="USD",
            usage=usage,
            lots=[LotChange("lot-1", -32_000)],
        )
        out.produce(topics.LEDGER, outputs.entry_record(entry), tenant)
        if number % 10_000 == 0:
            out.poll(0)
    out.flush(60)


def percentiles(name: str, samples_ms: list[float]) -> runs.Figures:
    ranked = sorted(samples_ms)
    p50, p99 = ranked[len(ranked) // 2], ranked[int(len(ranked) * 0.99)]
    return {f"{name}_p50_ms": round(p50, 2), f"{name}_p99_ms": round(p99, 2), f"{name}_max_ms": round(ranked[-1], 2)}


def ask(client: httpx.Client) -> float:
    """Asks for one authorization; returns its milliseconds."""
    start = time.perf_counter()
    answer = client.post("/v1/accounts/tenant-00000/authorize", json=QUESTION)
    taken = (time.perf_counter() - start) * 1000
    assert answer.status_code == 200, answer.text
    return taken


def ask_for_nothing(client: httpx.Client) -> float:
    """Sends a request that needs no look-up; returns its milliseconds."""
    start = time.perf_counter()
    answer = client.get("/v1/nothing")
    taken = (time.perf_counter() - start) * 1000
    assert answer.status_code == 404, answer.text
    return taken


def wait_until_up(client: httpx.Client, console: Program) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        console.check()
        try:
            if client.get("/v1/status").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise TimeoutError("the console does not answer")


def measure(entries: int, tenants: int, *, disturb: bool) -> runs.Figures:
    """Lets a console catch up; with `disturb` it is asked for authorizations all the while."""
    with fresh_broker() as brokers, tempfile.TemporaryDirectory() as directory:
        publish(brokers, entries, tenants)
        home, port = Path(directory), free_port()
        token = open_access(database_urls(None, home / "console")[1]).add_token(Principal("b", Role.OPERATOR, None), 1)
        command = [sys.executable, "-m", "processor.cli", "console", "--port", str(port), "--brokers", brokers]
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"})
        with Program([*command, "--data-dir", str(home)], {}, home / "log") as console:
            wait_until_up(client, console)
            first, started, used = client.get("/v1/status").json()["stored_records"], time.monotonic(), console.cpu_s()
            busy, bare = [], []
            while (stored := client.get("/v1/status").json()["stored_records"]) < entries + tenants:
                console.check()
                assert time.monotonic() < started + PATIENCE_S, f"only {stored} records"
                if disturb and stored > tenants:
                    busy += [ask(client) for _ in range(5)]
                    bare.append(ask_for_nothing(client))
                else:
                    time.sleep(0.1)
            took, cpu = time.monotonic() - started, console.cpu_s() - used
            figures: runs.Figures = {
                "entries_per_s": round((stored - first) / took),
                "cpu_us_per_entry": round(cpu / (stored - first) * 1e6, 1),
                "peak_mib": console.peak_mib(),
                "database_bytes_per_entry": round((home / "console" / "console.sqlite").stat().st_size / entries),
            }
            if disturb:
                figures |= percentiles("authorize", busy) | percentiles("nothing", bare)
                return figures
            used = console.cpu_s()
            idle = [ask(client) for _ in range(ASKED_IDLE)]
            figures["authorize_cpu_ms"] = round((console.cpu_s() - used) / ASKED_IDLE * 1000, 2)
            return figures | percentiles("authorize_idle", idle)


@click.command()
@click.option("--entries", type=click.IntRange(1000), default=500_000, show_default=True)
@click.option("--tenants", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {runs.DIRECTORY.name}/.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(entries: int, tenants: int, record: bool, as_json: bool) -> None:
    """Measure the console on this machine and compare with its last recorded run."""
    cases = {
        "catching up": measure(entries, tenants, disturb=False),
        "catching up, asked": measure(entries, tenants, disturb=True),
    }
    run = runs.new_run(cases, {"entries": entries, "tenants": tenants}, "console")
    runs.finish(run, record=record, as_json=as_json)


if __name__ == "__main__":
    main()
