"""`credits verify` on a real broker: an honest set of topics passes, a planted drift does not."""

import json
import time
from collections.abc import Iterable

import msgspec
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from processor.cli.auditing import Audit
from processor.cli.verify import verify
from processor.contracts import outputs
from processor.contracts import topics as names
from processor.domain.ledger import Entry
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


@pytest.mark.parametrize("as_json", [False, True])
def test_a_broker_out_of_reach_is_said_so(as_json):
    result = run("127.0.0.1:1", *(["--json"] if as_json else []))
    assert result.exit_code == 75
    assert "broker cannot be reached at 127.0.0.1:1" in result.output


def test_a_hundred_thousand_entries_cost_less_than_two_seconds_of_one_core(topics):
    """50,000 entries a second: a night's audit of a large operator ends before the morning."""
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
    began_s = time.process_time()
    report = Audit({"bootstrap.servers": topics}).round()
    spent_s = time.process_time() - began_s
    assert (report.entries, report.drifts) == (100_000, 0)
    assert spent_s < 2.0
