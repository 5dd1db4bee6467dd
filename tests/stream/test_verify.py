"""`credits verify` on a real broker: an honest set of topics passes, a planted drift does not."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterable

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from processor.cli.auditing import Audit
from processor.cli.verify import verify
from processor.contracts import outputs
from processor.contracts import topics as names
from processor.domain.ledger import Entry
from processor.embedded.broker import free_port
from tests.crash.workers import wait_until
from tests.worlds import World, lived

Record = tuple[str, str, bytes]


def records(world: World) -> list[Record]:
    """Everything a meter and a payment worker leave in the topics of such a world."""
    written: list[Record] = [
        (names.ACCOUNT_STATE, tenant, outputs.encode(account)) for tenant, account in world.accounts.items()
    ]
    written += [(names.LEDGER, entry.tenant_id, outputs.entry_record(entry)) for entry in world.entries]
    written += [(names.RECHARGE_COMMANDS, asked.tenant_id, outputs.request_record(asked)) for asked in world.commands]
    written += [
        (names.RECHARGE_RESULTS, result.data.tenant_id, msgspec.json.encode(result)) for result in world.results
    ]
    return written


def producer(brokers: str, **conf: str) -> Producer:
    return Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "linger.ms": 0, **conf})


def write(brokers: str, written: Iterable[Record]) -> None:
    client = producer(brokers)
    for topic, tenant, value in written:
        client.produce(topic, value, tenant)
    assert client.flush(20) == 0


def run(brokers: str, *arguments: str) -> Result:
    return CliRunner().invoke(verify, ["--brokers", brokers, *arguments])


def found(result: Result) -> set[str]:
    assert result.exit_code == 1, result.output
    return {finding["kind"] for finding in json.loads(result.output)["findings"]}


def test_topics_without_records_have_no_drift(topics):
    result = run(topics)
    assert (result.exit_code, result.output.splitlines()[-1][:40]) == (0, "0 tenants, 0 entries, 0 recharges: no dr")


def test_an_honest_world_passes_and_is_counted(topics):
    world = lived()
    write(topics, records(world))
    result = run(topics)
    assert result.exit_code == 0, result.output
    assert f"2 tenants, {len(world.entries)} entries, 4 recharges: no drift" in result.output
    counted = json.loads(run(topics, "--json").output)
    assert (counted["drifts"], counted["findings"], counted["partial_tenants"]) == (0, [], 0)


def test_entries_beyond_the_state_are_those_of_a_running_system(topics):
    world = lived()
    write(topics, records(world))
    world.call("a", 1)
    write(topics, [(names.LEDGER, "a", outputs.entry_record(world.entries[-1]))])
    assert run(topics).exit_code == 0


def test_one_micro_more_in_a_state_is_found(topics):
    world = lived()
    world.accounts["a"].balance_micros += 1
    write(topics, records(world))
    assert found(run(topics, "--json")) == {"balance_differs"}
    told = run(topics)
    assert told.exit_code == 1
    assert "1 drifts" in told.output


def test_a_missing_ledger_entry_is_found(topics):
    world = lived()
    del world.entries[2]
    write(topics, records(world))
    assert "revision_hole" in found(run(topics, "--json"))


def test_a_doubled_recharge_command_is_found(topics):
    world = lived()
    write(topics, [*records(world), (names.RECHARGE_COMMANDS, "a", outputs.request_record(world.commands[0]))])
    assert found(run(topics, "--json")) == {"command_repeated"}


def test_a_tenant_without_a_state_is_found(topics):
    written = [record for record in records(lived()) if record[:2] != (names.ACCOUNT_STATE, "b")]
    write(topics, written)
    assert found(run(topics, "--json")) == {"state_missing"}


def test_a_state_that_was_deleted_is_missing(topics):
    client = producer(topics)
    write(topics, records(lived()))
    client.produce(names.ACCOUNT_STATE, None, "b")
    assert client.flush(20) == 0
    assert found(run(topics, "--json")) == {"state_missing"}


def test_what_a_meter_took_back_does_not_count(topics):
    world = lived()
    write(topics, records(world))
    client = producer(topics, **{"transactional.id": "test-verify"})
    client.init_transactions(20)
    client.begin_transaction()
    client.produce(names.LEDGER, outputs.entry_record(world.entries[0]), "a")
    client.flush(20)
    client.abort_transaction(20)
    assert run(topics).exit_code == 0


def test_results_that_the_meter_parks_decide_nothing(topics):
    write(topics, [*records(lived()), (names.RECHARGE_RESULTS, "a", b"{}"), (names.RECHARGE_RESULTS, "a", b"\xff")])
    assert run(topics).exit_code == 0


def test_the_table_is_bounded_and_the_rest_counted(topics):
    world = lived()
    again = [(names.LEDGER, "a", outputs.entry_record(world.entries[0]))] * 50
    write(topics, [*records(world), *again])
    result = run(topics)
    assert result.exit_code == 1
    assert result.output.count("revision_repeated") == 20
    assert "… and 30 more" in result.output


def test_an_auditor_goes_on_in_rounds_and_tells_of_a_drift(topics, tmp_path):
    world = lived()
    write(topics, records(world))
    port = free_port()
    command = [sys.executable, "-m", "processor.cli", "verify", "--follow", "--every", "1", "--brokers", topics]
    with (tmp_path / "log").open("w") as log:
        auditor = subprocess.Popen([*command, "--metrics-port", str(port)], stdout=log, stderr=log)
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def answers(path: str, expected: str) -> bool:
        assert auditor.poll() is None, (tmp_path / "log").read_text()
        try:
            return expected in http.get(path).text
        except httpx.TransportError:
            return False

    def go_on(known: int) -> None:
        states = [(names.ACCOUNT_STATE, tenant, outputs.encode(account)) for tenant, account in world.accounts.items()]
        entries = [(names.LEDGER, entry.tenant_id, outputs.entry_record(entry)) for entry in world.entries[known:]]
        write(topics, [*entries, *states])

    try:
        wait_until("the first round is over", lambda: answers("/ready", "ok"), 120)
        assert answers("/live", "ok")
        assert answers("/metrics", f"credits_audit_entries_total {float(len(world.entries))}")
        assert answers("/metrics", "credits_audit_drifts 0.0")
        known = len(world.entries)
        world.call("a", 1)
        world.fund("c", 50)
        go_on(known)
        wait_until(
            "what came since is read", lambda: answers("/metrics", f"entries_total {float(len(world.entries))}"), 120
        )
        assert answers("/metrics", "credits_audit_drifts 0.0")
        known = len(world.entries)
        world.call("c", 1)
        world.accounts["c"].balance_micros += 1
        go_on(known)
        wait_until("the drift is told", lambda: answers("/metrics", "credits_audit_drifts 1.0"), 120)
        auditor.send_signal(signal.SIGTERM)
        assert auditor.wait(60) == 1
    finally:
        auditor.kill()
        auditor.wait()
        http.close()
    [drift] = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if '"event": "drift"' in line]
    assert (drift["kind"], drift["tenant_id"], drift["level"]) == ("balance_differs", "c", "error")


def test_a_repetition_under_its_own_revision_is_found_by_reading_again(topics):
    world = lived()
    world.call("b", 1)
    world.entries[-1].event_id = next(each for each in world.entries if each.tenant_id == "b").event_id
    world.entries[-1].kind = "fund"
    world.publish()
    write(topics, records(world))
    assert "applied_twice" in found(run(topics, "--json"))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_broker_out_of_reach_is_said_so(as_json):
    result = run("127.0.0.1:1", *(["--json"] if as_json else []))
    assert result.exit_code == 75
    assert "broker cannot be reached at 127.0.0.1:1" in result.output


def test_an_audit_reads_every_one_of_a_hundred_thousand_entries(topics):
    """More than the reader fetches ahead, from several partitions at once; what it costs: benchmarks/verify.py."""
    entry = next(entry for entry in lived().entries if entry.kind == "charge")
    entry.lots = []

    def charges(tenant: str, count: int) -> Iterable[Record]:
        for revision in range(1, count + 1):
            balance = revision * entry.amount_micros
            changed: Entry = msgspec.structs.replace(
                entry,
                entry_id=f"{tenant}:{revision}",
                tenant_id=tenant,
                revision=revision,
                event_id=f"evt-{revision}",
                balance_micros=balance,
            )
            yield names.LEDGER, tenant, outputs.entry_record(changed)
        account = {"tenant_id": tenant, "currency": "USD", "revision": count, "balance_micros": balance}
        account |= {"overdraft_micros": -balance, "lots": [], "recharge": {}}
        yield names.ACCOUNT_STATE, tenant, msgspec.json.encode(account)

    for number in range(10):
        write(topics, charges(f"t{number}", 10_000))
    report = Audit({"bootstrap.servers": topics}).round()
    assert (report.entries, report.drifts) == (100_000, 0)
