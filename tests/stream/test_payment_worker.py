"""The payment worker on a real broker: one result and one charge per recharge id, whatever happens to the process."""

import os
import signal
import time
import urllib.request
from datetime import UTC, datetime

import msgspec
import pytest

from processor.cli.reading import read_committed
from processor.contracts import topics as names
from processor.domain.ledger import RechargeRequest
from processor.embedded.broker import free_port
from processor.payments.provider import Decision
from processor.payments.simulated import CRASHED
from tests.stream.payment_world import (
    AMOUNT,
    DEADLINE_S,
    Cashiers,
    Meter,
    cashiers,
    meter,
    request,
    stopped_cleanly,
    until,
)
from tests.stripe_servers import KEY, FakeStripe, fake_stripe

__all__ = ["cashiers", "fake_stripe", "meter"]


def test_each_command_has_one_result_that_repeats_its_amount_and_its_tenants_key(
    meter: Meter, cashiers: Cashiers
) -> None:
    wanted = [request(f"t{tenant}", sequence) for sequence in (1, 2) for tenant in range(30)]
    meter.abandon([request("t0", 99)])
    meter.ask(wanted)
    with stopped_cleanly(cashiers.start(), cashiers):
        until(lambda: len(meter.results()) >= len(wanted), cashiers.log)
    results = meter.results()
    commands = read_committed(meter.conf, names.RECHARGE_COMMANDS)
    assert meter.places == {record.key().decode(): record.partition() for record in commands}
    assert meter.ids() == {each.recharge_id: 1 for each in wanted}
    assert cashiers.charged() == dict.fromkeys((each.recharge_id for each in wanted), 1)
    first = next(result for result in results if result.data.recharge_id == "t3:1")
    assert (first.id, first.source, first.subject) == ("t3:1#decided", "/payment-worker/simulated", "t3")
    assert (first.data.status, first.data.amount_micros, first.data.currency) == ("succeeded", AMOUNT, "USD")
    by_tenant = [result.data.recharge_id for result in results if result.data.tenant_id == "t5"]
    assert by_tenant == ["t5:1", "t5:2"]


def test_a_command_that_is_sent_again_has_no_second_result_even_after_a_restart(
    meter: Meter, cashiers: Cashiers
) -> None:
    meter.ask([request("a", 1), request("a", 1), request("b", 1)])
    with stopped_cleanly(cashiers.start(), cashiers):
        until(lambda: len(meter.results()) >= 2, cashiers.log)
        meter.ask([request("a", 1, attempt=2)])
        meter.ask([request("a", 2)])
        until(lambda: meter.ids()["a:2"] == 1, cashiers.log)
    with stopped_cleanly(cashiers.start(name="two"), cashiers):
        meter.ask([request("b", 1, attempt=2), request("b", 2)])
        until(lambda: meter.ids()["b:2"] == 1, lambda: cashiers.log("two"))
    assert meter.ids() == {"a:1": 1, "a:2": 1, "b:1": 1, "b:2": 1}
    assert cashiers.charged()["a:1"] == 1


def test_declines_are_published_with_their_code_and_stay_declined(meter: Meter, cashiers: Cashiers) -> None:
    meter.ask([request(f"t{tenant}", 1) for tenant in range(10)])
    with stopped_cleanly(cashiers.start("--decline-rate", "1", "--decline-code", "expired_card"), cashiers):
        until(lambda: len(meter.results()) >= 10, cashiers.log)
    data = [result.data for result in meter.results()]
    assert {(each.status, each.reason_code, each.provider_reference) for each in data} == {
        ("declined", "expired_card", None)
    }


def test_a_worker_that_dies_between_charge_and_result_charges_once_and_publishes_once(
    meter: Meter, cashiers: Cashiers
) -> None:
    wanted = [request(f"t{tenant}", 1) for tenant in range(40)]
    meter.ask(wanted)
    deaths = 0
    deadline = time.monotonic() + DEADLINE_S
    while len(meter.results()) < len(wanted):
        process = cashiers.start("--crash-after-charge", "0.1", "--concurrency", "4")
        until(lambda p=process: p.poll() is not None or len(meter.results()) == 40, cashiers.log)  # type: ignore[misc]
        if process.poll() is not None:
            assert process.returncode == CRASHED, cashiers.log()
            deaths += 1
        assert time.monotonic() < deadline, cashiers.log()
    assert deaths > 0
    assert meter.ids() == {each.recharge_id: 1 for each in wanted}
    charged = cashiers.charged()
    assert charged.keys() == {each.recharge_id for each in wanted}
    assert max(charged.values()) > 1  # asked again under the same key, charged once


def test_killed_workers_and_a_second_one_together_publish_once(meter: Meter, cashiers: Cashiers) -> None:
    wanted: list[RechargeRequest] = []
    processes = {"one": cashiers.start(name="one"), "two": cashiers.start(name="two")}
    started_before = {"one": 0, "two": 0}
    for round_number, name in enumerate(("one", "two", "one")):
        meter.ask([request(f"t{tenant}", round_number + 1) for tenant in range(60)])
        wanted += [request(f"t{tenant}", round_number + 1) for tenant in range(60)]
        some = 60 * round_number + 10
        until(lambda some=some: len(cashiers.charged()) > some, cashiers.log)  # type: ignore[misc]
        os.kill(processes[name].pid, signal.SIGKILL)
        processes[name].wait()
        started_before[name] = cashiers.log(name).count("worker started")
        processes[name] = cashiers.start(name=name)
    until(lambda: len(meter.results()) >= len(wanted), lambda: cashiers.log("one") + cashiers.log("two"))
    for name, before in started_before.items():  # a process that still loads its modules cannot end in order
        until(lambda n=name, b=before: cashiers.log(n).count("worker started") > b, cashiers.log)  # type: ignore[misc]
    for name, process in processes.items():
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0, cashiers.log(name)
    assert meter.ids() == {each.recharge_id: 1 for each in wanted}
    assert cashiers.charged().keys() == {each.recharge_id for each in wanted}


def test_commands_are_read_as_the_meter_compresses_them(topics: str, cashiers: Cashiers) -> None:
    pytest.importorskip("lz4", reason="kafka-python reads lz4 only with the lz4 package")
    with Meter(topics, "lz4") as meter, stopped_cleanly(cashiers.start(), cashiers):
        meter.ask([request("t1", sequence) for sequence in range(1, 21)])
        until(lambda: len(meter.results()) == 20, cashiers.log)


def test_a_record_that_is_no_command_stops_the_worker_with_70_and_says_where_it_is(
    meter: Meter, cashiers: Cashiers
) -> None:
    meter.spoil("t1")
    process = cashiers.start()
    assert process.wait(DEADLINE_S) == 70
    assert "recharge.commands.v1 holds a record that is no recharge command: partition" in cashiers.log()
    assert not meter.results()


def test_the_metrics_count_what_is_committed_and_time_the_provider(meter: Meter, cashiers: Cashiers) -> None:
    port = free_port()
    meter.ask([request(f"t{tenant}", 1) for tenant in range(5)])
    with stopped_cleanly(cashiers.start("--metrics-port", str(port), "--timeout-rate", "1"), cashiers):
        until(lambda: len(meter.results()) == 5, cashiers.log)
        wanted = [
            'credits_payments_total{outcome="succeeded"} 5.0',
            "credits_payment_provider_timeouts_total 5.0",
            "credits_payment_provider_seconds_count 10.0",
            'credits_payment_inbox{state="decided"} 0.0',
        ]
        until(lambda: all(line in page(port) for line in wanted), lambda: page(port))


def page(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode()).splitlines()


def test_decisions_are_logged_as_json_without_payment_references(meter: Meter, cashiers: Cashiers) -> None:
    meter.ask([request("t1", 1)])
    with stopped_cleanly(cashiers.start("--debug"), cashiers):
        until(lambda: '"decided"' in cashiers.log(), cashiers.log)
    lines = [msgspec.json.decode(line) for line in cashiers.log().splitlines() if line.startswith("{")]
    assert {"event": "decided", "recharge_id": "t1:1", "status": "succeeded"}.items() <= lines[1].items()
    assert "card-1" not in cashiers.log()


def test_a_provider_that_hangs_cannot_keep_a_worker_that_was_told_to_stop(
    meter: Meter, cashiers: Cashiers, fake_stripe: FakeStripe
) -> None:
    meter.ask([request("t1", 1, method="cus_1/pm_hang")])
    stripe = {"CREDITS_STRIPE_API_KEY": KEY, "CREDITS_STRIPE_API_BASE": fake_stripe.address}
    process = cashiers.start("--provider", "stripe", CREDITS_SHUTDOWN_TIMEOUT_S="12", **stripe)
    until(fake_stripe.hanging.is_set, cashiers.log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0, cashiers.log()
    assert not meter.results()
    fake_stripe.go_on.set()
    with stopped_cleanly(cashiers.start("--provider", "stripe", **stripe), cashiers):
        until(lambda: meter.ids() == {"t1:1": 1}, cashiers.log)
    assert fake_stripe.paid() == ["t1:1"]


def test_cards_are_charged_through_stripe_once_each_and_declines_are_published(
    meter: Meter, cashiers: Cashiers, fake_stripe: FakeStripe
) -> None:
    methods = {"a": "pm_ok", "b": "pm_lost", "c": "pm_declined_insufficient_funds", "d": "pm_missing"}
    meter.ask([request(tenant, 1, method=f"cus_{tenant}/{method}") for tenant, method in methods.items()])
    stripe = {"CREDITS_STRIPE_API_KEY": KEY, "CREDITS_STRIPE_API_BASE": fake_stripe.address}
    with stopped_cleanly(cashiers.start("--provider", "stripe", **stripe), cashiers):
        until(lambda: len(meter.results()) == 4, cashiers.log)
    found = {each.data.tenant_id: (each.data.status, each.data.reason_code) for each in meter.results()}
    assert found == {
        "a": ("succeeded", None),
        "b": ("succeeded", None),
        "c": ("declined", "insufficient_funds"),
        "d": ("failed", "resource_missing"),
    }
    assert {each.source for each in meter.results()} == {"/payment-worker/stripe"}
    assert sorted(fake_stripe.paid()) == ["a:1", "b:1"]
    assert KEY not in cashiers.log()


def test_what_a_person_has_settled_is_asked_about_no_more_and_holds_nothing_up(
    meter: Meter, cashiers: Cashiers, fake_stripe: FakeStripe
) -> None:
    first = request("a", 1, method="cus_a/pm_down")
    meter.ask([first])
    stripe = {"CREDITS_STRIPE_API_KEY": KEY, "CREDITS_STRIPE_API_BASE": fake_stripe.address}
    with stopped_cleanly(cashiers.start("--provider", "stripe", **stripe), cashiers):
        until(lambda: len(fake_stripe.requests) > 0, cashiers.log)
        meter.settle(first, Decision(status="failed", decided_at=datetime.now(UTC), reason_code="settled_by_hand"))
        meter.ask([request("a", 2, method="cus_a/pm_ok")])
        until(lambda: meter.ids()["a:2"] == 1, cashiers.log)
    assert meter.ids() == {"a:1": 1, "a:2": 1}
    assert fake_stripe.paid() == ["a:2"]


def test_a_stripe_key_that_is_refused_ends_the_worker_with_1_and_says_what_to_do(
    meter: Meter, cashiers: Cashiers, fake_stripe: FakeStripe
) -> None:
    meter.ask([request("a", 1, method="cus_a/pm_ok")])
    stripe = {"CREDITS_STRIPE_API_KEY": "sk_wrong", "CREDITS_STRIPE_API_BASE": fake_stripe.address}
    process = cashiers.start("--provider", "stripe", **stripe)
    assert process.wait(DEADLINE_S) == 1, cashiers.log()
    assert "Stripe refuses the API key (Invalid API Key provided)" in cashiers.log()
    assert not meter.results()
