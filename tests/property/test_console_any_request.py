"""Whatever is sent to any route of the API's own description, the console answers within that description."""

from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.console.access import Role
from tests.unit.builders import TENANT, autopay, call, funded
from tests.unit.console_world import Console

TEXT = st.text(max_size=40) | st.sampled_from(
    ["", "\0", "' OR 1=1 --", "<script>", "٥٠", "9" * 30, "2026-01-01", "0001-01-01T00:00:00+14:00"]
)
NUMBER = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(
    [
        "amount_micros",
        "currency",
        "reason",
        "enabled",
        "payment_amount_micros",
        "trigger_micros",
        "licences",
        "capability",
        "country",
        "count",
        "effective_at",
        "number",
        "call_type",
        "leg_kind",
        "credits_licensed",
        "at",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT | st.sampled_from([60_000_000, "USD", "user_out", "+442079460000"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=8),
    max_leaves=12,
)


class Route(NamedTuple):
    method: str
    path: str
    query: list[str]
    answers: set[str]


Described = tuple[TestClient, list[Route]]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Described:
    made = Console(tmp_path_factory.mktemp("console"))
    made.world.tell(funded(50), autopay(), call(60))
    made.answering = False
    client = made.client(Role.OPERATOR)
    client.headers["Prefer"] = "respond-async"
    described = client.get("/v1/openapi.json").json()["paths"]
    routes = [
        Route(
            method.upper(),
            path,
            [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"],
            set(operation["responses"]),
        )
        for path, operations in described.items()
        for method, operation in operations.items()
    ]
    return client, routes


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_makes_the_console_fail(console: Described, data: st.DataObject) -> None:
    client, routes = console
    method, path, names, answers = data.draw(st.sampled_from(routes))
    tenant, command = data.draw(st.just(TENANT) | TEXT), data.draw(TEXT)
    for name, value in (("{tenant}", tenant), ("{command_id}", command)):
        path = path.replace(name, quote(value, safe="", errors="replace") or "-")
    query = {name: data.draw(TEXT) for name in names if data.draw(st.booleans())}
    body: Any = data.draw(JSON) if method in ("POST", "PUT") else None
    answer = client.request(method, path, params=query, json=body)
    assert str(answer.status_code) in answers | {"404", "405"}, (method, path, query, body, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
