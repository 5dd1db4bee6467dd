"""The HTTP API: what it answers, what it sends to the meter, and how it says no."""

import asyncio
import csv
import io
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError

from processor.console.access import Principal, Role
from processor.console.queries import Document, Queries
from processor.console.web import create_app
from processor.contracts import topics
from processor.contracts.decks import load_decks
from processor.contracts.inputs import decode
from processor.domain.errors import InvariantViolated
from processor.domain.pools import CONFERENCING, PLANS
from processor.domain.tariff import Tariff
from processor.stream.rates import Rates, Unobserved
from tests.crash.workers import wait_until
from tests.unit.builders import NOW, TENANT, UNIT, autopay, call, conference, decided, funded, licences
from tests.unit.console_world import Console

ACCOUNT = f"/v1/accounts/{TENANT}"


@pytest.fixture
def console(empty_console: Console) -> Console:
    made = empty_console
    made.world.tell(
        funded(50), autopay(50, 20), call(600), call(60, callee="+33140000000"), call(60, tenant_id="other")
    )
    return made


def test_accounts_are_listed_in_pages_and_found_by_a_part_of_their_id(console: Console) -> None:
    client = console.client(Role.VIEWER)
    first = client.get("/v1/accounts?limit=1").json()
    assert [item["tenant_id"] for item in first["items"]] == [TENANT]
    second = client.get("/v1/accounts", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [item["tenant_id"] for item in second["items"]] == ["other"]
    assert second["next_cursor"] is None
    found = client.get("/v1/accounts?search=OTH").json()["items"]
    assert [(item["tenant_id"], item["balance_micros"]) for item in found] == [("other", -100_000)]


def test_an_account_is_answered_as_the_meter_published_it(console: Console) -> None:
    answer = console.client(Role.VIEWER).get(ACCOUNT).json()
    assert answer["balance_micros"] == console.world.accounts[TENANT].balance_micros
    assert answer["autopay"]["trigger_micros"] == 20 * UNIT
    assert answer["lots"] == console.client(Role.OPERATOR).get(f"{ACCOUNT}/lots").json()["items"]


def test_the_ledger_is_paged_newest_first_without_a_gap(console: Console) -> None:
    client, seen, cursor = console.client(Role.VIEWER), [], None
    while True:
        page = client.get(f"{ACCOUNT}/ledger", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [entry["revision"] for entry in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [3, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "revisions"),
    [
        ({"kind": "fund"}, [1]),
        ({"decision": "credits"}, [3, 2]),
        ({"country": "FR"}, [3]),
        ({"until": (NOW - timedelta(minutes=5)).isoformat()}, [2]),
        ({"since": (NOW - timedelta(minutes=5)).isoformat()}, [3, 1]),
        ({"kind": "expiry"}, []),
    ],
)
def test_the_ledger_is_filtered(console: Console, wanted: dict[str, str], revisions: list[int]) -> None:
    items = console.client(Role.VIEWER).get(f"{ACCOUNT}/ledger", params=wanted).json()["items"]
    assert [entry["revision"] for entry in items] == revisions


def test_the_export_has_every_entry_and_no_formula(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.console.queries.CSV_CHUNK", 2)
    answer = console.client(Role.VIEWER).get(f"{ACCOUNT}/ledger.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["entry_id"] for row in rows] == [f"{TENANT}:{revision}" for revision in (3, 2, 1)]
    assert [row["destination"] for row in rows] == ["to 33", "to 44", ""]
    assert [(row["event_id"], row["event_source"], row["prefix"]) for row in rows] == [
        (entry["event_id"], entry["event_source"], (entry["usage"] or {}).get("prefix", ""))
        for entry in console.client(Role.VIEWER).get(f"{ACCOUNT}/ledger").json()["items"]
    ]
    assert rows[0]["call_type"] == "user_out"
    assert [row["connected_seconds"] for row in rows] == ["60", "600", ""]
    console.world.tell(funded(50, tenant_id="=1+1"))
    assert "'=1+1:1," in console.client(Role.OPERATOR).get("/v1/accounts/=1+1/ledger.csv").text


def test_recharges_are_told_with_their_reasons(console: Console) -> None:
    console.world.tell(call(18_000))
    console.world.tell(
        decided(console.world.accounts[TENANT].recharge.in_flight or "", "declined", reason_code="expired")
    )
    answer = console.client(Role.VIEWER).get(f"{ACCOUNT}/recharges").json()
    assert [(item["kind"], item["reason"]) for item in answer["items"]] == [("recharge.failed", "expired")]
    assert answer["state"]["failures"] == 1
    kinds = [item["kind"] for item in console.client(Role.OPERATOR).get(f"{ACCOUNT}/notifications").json()["items"]]
    assert "recharge.failed" in kinds


def test_notices_of_one_moment_are_paged_without_a_gap(console: Console) -> None:
    console.world.tell(*(funded(1) for _ in range(5)))  # below the minimum: five refusals at once
    client, cursor, seen = console.client(Role.VIEWER), None, []
    while True:
        asked = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"{ACCOUNT}/notifications", params=asked).json()
        seen += [notice["notice_id"] for notice in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert len(seen) == len(set(seen)) >= 5
    assert seen == [notice["notice_id"] for notice in client.get(f"{ACCOUNT}/notifications").json()["items"]]
    assert client.get(f"{ACCOUNT}/notifications?cursor=7").status_code == 422


COMMANDS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "funds", {"amount_micros": 60 * UNIT, "payment_reference": "invoice-1"}),
    ("PUT", "autopay", {"enabled": True, "payment_amount_micros": 60 * UNIT, "trigger_micros": 10 * UNIT}),
    ("PUT", "licences", {"licences": [{"capability": "MCOMEETADD", "country": "US", "count": 10}]}),
    ("POST", "adjustments", {"amount_micros": -UNIT, "reason": "goodwill"}),
    ("POST", "recharge/reset", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS, ids=[path for _, path, _ in COMMANDS])
def test_a_command_is_a_message_that_the_meter_understands(
    console: Console, method: str, path: str, body: dict[str, Any]
) -> None:
    console.answering = False
    headers = {"Prefer": "respond-async"}
    answer = console.client(Role.OPERATOR).request(method, f"{ACCOUNT}/{path}", json=body, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["location"].startswith(f"{ACCOUNT}/commands/console-")
    message = decode(topics.ACCOUNT_COMMANDS, console.sent[0])
    assert message.data.tenant_id == TENANT
    assert message.id == answer.json()["command_id"]


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS, ids=[path for _, path, _ in COMMANDS])
def test_every_command_waits_until_the_meter_has_applied_it(
    console: Console, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = console.client(Role.OPERATOR).request(method, f"{ACCOUNT}/{path}", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "applied"), answer.text


def test_funding_waits_for_the_ledger_entry(console: Console) -> None:
    answer = console.client(Role.BILLING_ADMIN, TENANT).post(f"{ACCOUNT}/funds", json={"amount_micros": 60 * UNIT})
    assert (answer.status_code, answer.json()["status"], answer.json()["revision"]) == (200, "applied", 4)
    assert console.world.accounts[TENANT].balance_micros == (50 + 60) * UNIT - 1_150_000


def test_a_refusal_of_the_meter_names_its_reason(console: Console) -> None:
    answer = console.client(Role.OPERATOR).post(f"{ACCOUNT}/funds", json={"amount_micros": UNIT})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:communication-credits:problem:below_minimum"


def test_an_idempotency_key_makes_a_change_once(console: Console) -> None:
    client, headers, body = console.client(Role.OPERATOR), {"Idempotency-Key": "k1"}, {"amount_micros": 60 * UNIT}
    first, second = (client.post(f"{ACCOUNT}/funds", json=body, headers=headers).json() for _ in range(2))
    assert first == second
    assert len(console.sent) == 1
    other = client.post(f"{ACCOUNT}/funds", json={"amount_micros": 70 * UNIT}, headers=headers)
    assert (other.status_code, other.json()["type"].rpartition(":")[2]) == (422, "key_reused")
    elsewhere = client.post("/v1/accounts/other/funds", json=body, headers=headers).json()
    assert elsewhere["command_id"] != first["command_id"]


def test_a_retry_before_the_meter_answered_sends_the_same_event_again(console: Console) -> None:
    console.answering = False
    client, headers = console.client(Role.OPERATOR), {"Idempotency-Key": "k", "Prefer": "wait=0"}
    for _ in range(2):
        client.post(f"{ACCOUNT}/funds", json={"amount_micros": 60 * UNIT}, headers=headers)
    assert len({json.loads(value)["id"] for value in console.sent}) == 1
    where = client.post(f"{ACCOUNT}/funds", json={"amount_micros": 60 * UNIT}, headers=headers).headers["location"]
    assert client.get(where).json()["status"] == "pending"
    console.world.tell(decode(topics.ACCOUNT_COMMANDS, console.sent[0]))
    assert client.get(where).json()["status"] == "applied"


def test_every_change_leaves_an_audit_entry(console: Console) -> None:
    console.client(Role.BILLING_ADMIN).post(f"{ACCOUNT}/funds", json={"amount_micros": 60 * UNIT})
    (entry,) = console.client(Role.OPERATOR).get(f"{ACCOUNT}/audit").json()["items"]
    assert entry["actor"].startswith("billing-admin ")
    assert (entry["role"], entry["action"]) == ("billing-admin", "credits.funded.v1")
    assert json.loads(entry["details"])["amount_micros"] == 60 * UNIT


def ask(console: Console, tenant: str = TENANT, **question: Any) -> dict[str, Any]:
    asked = {"call_type": "user_out", "number": "+442079460000", "credits_licensed": True} | question
    answer = console.client(Role.VIEWER, tenant).post(f"/v1/accounts/{tenant}/authorize", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_a_call_is_authorized_for_as_long_as_the_balance_lasts(console: Console) -> None:
    answer = ask(console)
    assert (answer["allowed"], answer["paid_by"], answer["rate_micros_per_min"]) == (True, "credits", 100_000)
    minutes = console.world.accounts[TENANT].balance_micros // 100_000
    assert answer["longest_s"] == minutes * 60
    console.world.tell(call(minutes * 60))
    assert 0 <= console.world.accounts[TENANT].balance_micros < 100_000


@pytest.mark.parametrize(
    ("question", "reason", "code"),
    [
        ({"credits_licensed": False}, "user_not_licensed", 580464),
        ({"number": "+449123456789"}, "destination_not_allowed", None),
        ({"number": "+999123456789"}, "no_rate", None),
        ({"number": "0123"}, "number_invalid", None),
        ({"at": "0001-01-01T00:00:00+14:00"}, "too_old", None),
        ({"at": "9999-12-31T23:59:59Z"}, "in_future", None),
    ],
)
def test_a_call_is_refused_with_the_meters_own_reason(
    console: Console, question: dict[str, Any], reason: str, code: int | None
) -> None:
    answer = ask(console, **question)
    assert (answer["allowed"], answer["reason"], answer["vendor_code"]) == (False, reason, code)


@pytest.mark.parametrize(
    ("number", "country", "help_"),
    [("911", "US", True), ("112", "GB", True), ("999", "GB", True), ("911", "GB", False), ("1001", "US", False)],
)
def test_help_may_be_called_also_when_nobody_says_that_it_is_an_emergency(
    console: Console, number: str, country: str, help_: bool
) -> None:
    for tenant in (TENANT, "nobody"):
        answer = ask(console, tenant, number=number, payer_country=country, credits_licensed=False)
        assert (answer["allowed"], answer["reason"] == "emergency") == (help_, help_)
    inbound = ask(console, "nobody", number=number, payer_country=country, call_type="user_in")
    assert inbound["reason"] == "balance_not_found"


@pytest.mark.parametrize("kinds", [{}, {"call_type": "user_out", "leg_kind": "dial_out"}, {"call_type": None}])
def test_a_question_is_about_a_call_or_a_conference_leg_never_both(console: Console, kinds: dict[str, Any]) -> None:
    asked = {"number": "+442079460000", "credits_licensed": True} | kinds
    answer = console.client(Role.VIEWER).post(f"{ACCOUNT}/authorize", json=asked)
    assert (answer.status_code, answer.json()["errors"][0]["problem"]) == (
        422,
        "Value error, give one of call_type and leg_kind",
    )


@pytest.mark.parametrize("at", ["2026-03-15T12:00:00", "now", "0", 0, 1_750_000_000.5, True])
def test_a_time_that_is_not_written_out_with_its_zone_is_refused(console: Console, at: object) -> None:
    client = console.client(Role.OPERATOR)
    asked = {"call_type": "user_out", "number": "+442079460000", "credits_licensed": True, "at": at}
    assert client.post(f"{ACCOUNT}/authorize", json=asked).status_code == 422
    assert client.put(f"{ACCOUNT}/licences", json={"licences": [], "effective_at": at}).status_code == 422


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"])
def test_licences_hold_from_a_time_within_reason(console: Console, at: str) -> None:
    body = {"licences": [], "effective_at": at}
    assert console.client(Role.OPERATOR).put(f"{ACCOUNT}/licences", json=body).status_code == 422


def test_without_money_only_free_and_emergency_calls_are_allowed(console: Console) -> None:
    assert ask(console, "other")["reason"] == "balance_exhausted"
    toll_free = ask(console, "other", call_type="user_in", number="+18005550100", number_type="service_toll_free")
    assert (toll_free["allowed"], toll_free["reason"]) == (False, "balance_exhausted")
    assert ask(console, "other", call_type="user_in", number="+14255550100")["paid_by"] == "nobody"
    assert ask(console, "other", emergency=True)["allowed"]
    assert ask(console, "nobody")["vendor_code"] == 580406
    assert ask(console, "nobody", emergency=True)["allowed"]


def test_a_conference_leg_is_authorized_too(console: Console) -> None:
    answer = ask(console, call_type=None, leg_kind="dial_out", capability="MCOMEETACPEA")
    assert (answer["allowed"], answer["reason"]) == (True, "pay_per_minute_conferencing")
    console.world.tell(conference(60))


@pytest.mark.parametrize("capability", [*PLANS, CONFERENCING, "MCOMEETACPEA", "unknown", None])
def test_a_call_is_authorized_with_every_plan(console: Console, capability: str | None) -> None:
    console.world.tell(licences(*(f"{plan}:GB:1" for plan in (*PLANS, CONFERENCING))))
    answer = ask(console, capability=capability, payer_country="GB")
    assert (answer["allowed"], answer["reason"]) == (True, "calling_plan" if capability in PLANS else "pay_as_you_go")


def test_a_users_own_minutes_are_asked_for_as_they_are_used(console: Console) -> None:
    console.world.tell(licences("MCOPSTN8:GB:1"))
    own = {"capability": "MCOPSTN8", "user_country": "GB", "user_id": "alice"}
    console.world.tell(call(119 * 60, **own))
    asked = {"capability": "MCOPSTN8", "payer_country": "GB"}
    alice, bob = (ask(console, payer_id=user, **asked) for user in ("alice", "bob"))
    assert (alice["paid_by"], bob["paid_by"]) == ("pool_then_credits", "pool_then_credits")
    assert bob["longest_s"] - alice["longest_s"] == 119 * 60
    console.world.tell(call(60, **own))
    assert ask(console, payer_id="alice", **asked)["reason"] == "pool_used_up"
    page = console.client(Role.VIEWER).get(f"{ACCOUNT}/users?limit=1").json()
    assert [(user["user_id"], user["pools"][0]["used_minutes"]) for user in page["items"]] == [("alice", 120)]
    assert page["next_cursor"] is None
    text = console.browser().get(f"/tenants/{TENANT}").text
    assert "Domestic calls of alice, United Kingdom (MCOPSTN8)" in text
    assert "120 of 120 minutes" in text


def test_a_changed_rate_deck_is_taken_up_as_the_meter_does(console: Console, tmp_path: Path) -> None:
    deck = tmp_path / "deck.csv"

    def price(rate: str) -> None:
        fresh = deck.with_suffix(".new")
        fresh.write_text(f"prefix,destination,type,country,rate_per_min\n44,UK,landline,GB,{rate}\n")
        fresh.replace(deck)

    price("0.10")
    rates = Rates([deck], lambda: Tariff(load_decks([deck])), Unobserved(), 0.02)
    console.state = console.state._replace(rates=rates)
    console.app = create_app(console.state)
    with console.client() as running:  # with its tasks
        assert running.get("/login").status_code == 200
        assert ask(console)["rate_micros_per_min"] == 100_000
        price("0.20")
        wait_until("the new price is answered", lambda: ask(console)["rate_micros_per_min"] == 200_000)


class _Broken(Queries):
    """Questions that fail in a given way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def account(self, tenant: str) -> Document | None:
        del tenant
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("SELECT", {}, Exception("server closed the connection")), 503, "database_unavailable"),
        (DatabaseTimeoutError("QueuePool limit reached"), 503, "database_unavailable"),
        (InvariantViolated("two and two are five"), 500, "internal_error"),
    ],
)
def test_a_failure_of_ours_is_a_problem_too_and_tells_nothing_of_its_cause(
    console: Console, error: Exception, status: int, code: str
) -> None:
    app = create_app(console.state._replace(queries=_Broken(error)))
    asking = console.client(Role.OPERATOR).headers["Authorization"]
    client = TestClient(app, headers={"Authorization": asking}, raise_server_exceptions=False)
    answer = client.get(ACCOUNT)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:communication-credits:problem:{code}"
    assert str(error) not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    secret = console.access.open_session(Principal("somebody", Role.OPERATOR, None))
    client.cookies.set("credits_session", secret)
    page = client.get(f"/tenants/{TENANT}/ledger")
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")


async def _read_while_it_fills(console: Console, readers: int) -> tuple[list[int], int]:
    """Returns the newest revision that each reader saw, and how many batches were stored meanwhile."""
    token = console.client(Role.VIEWER).headers["Authorization"]
    transport = httpx2.ASGITransport(app=console.app)
    all_have_read = threading.Event()

    def fill() -> int:
        batches = 0
        while not all_have_read.is_set():
            console.world.tell(call(60), call(60))
            batches += 1
        return batches

    async with httpx2.AsyncClient(transport=transport, base_url="http://h", headers={"Authorization": token}) as client:

        async def read() -> int:
            entries = (await client.get(f"{ACCOUNT}/ledger?limit=100")).json()["items"]
            revisions = [entry["revision"] for entry in entries]
            assert revisions == list(range(revisions[0], revisions[0] - len(revisions), -1))
            return revisions[0]

        filling = asyncio.create_task(asyncio.to_thread(fill))
        seen = await asyncio.gather(*(read() for _ in range(readers)))
        all_have_read.set()
        return seen, await filling


def test_a_thousand_readers_at_once_see_whole_batches_while_the_read_model_fills(console: Console) -> None:
    seen, batches = asyncio.run(_read_while_it_fills(console, 1000))
    assert {(newest - 3) % 2 for newest in seen} == {0}
    assert len(set(seen)) > 2  # it did fill while they read
    newest = console.client(Role.VIEWER).get(f"{ACCOUNT}/ledger?limit=1").json()["items"][0]["revision"]
    assert newest == 3 + 2 * batches


def test_the_description_is_openapi_3_1_and_names_every_route(console: Console) -> None:
    described = console.client().get("/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1.")
    assert len(described["paths"]) == 19
    assert all("401" in operation["responses"] for path in described["paths"].values() for operation in path.values())


def test_the_status_tells_the_lag(console: Console) -> None:
    assert console.client(Role.VIEWER).get("/v1/status").json() == {"behind_records": 0, "stored_records": 0}
