"""What the pages say of problems, payments, notices and charges: whole sentences, in the reader's language."""

import pytest
from httpx2 import Response
from markupsafe import escape

from processor.console.access import Role
from processor.console.commands import CommandNotStoredError
from processor.console.problems import CODES
from processor.console.said import PROBLEMS
from processor.console.text import TEXTS
from tests.unit.builders import TENANT, funded
from tests.unit.console_world import Console

PAGE = f"/tenants/{TENANT}"


@pytest.fixture
def console(empty_console: Console) -> Console:
    empty_console.world.tell(funded(50))
    return empty_console


def arabic(message: str) -> str:
    return TEXTS["ar"].translations.gettext(message)


def test_every_problem_has_a_sentence_for_people() -> None:
    assert set(PROBLEMS) == set(CODES) - {"signed_out"}


@pytest.mark.parametrize(
    ("method", "path", "fields", "code"),
    [
        ("GET", "/tenants/nobody", {}, "not_found"),
        ("GET", "/nowhere", {}, "not_found"),
        ("GET", f"{PAGE}/ledger/word", {}, "invalid_request"),
        ("GET", f"{PAGE}/ledger?since=word", {}, "invalid_request"),
        ("GET", f"{PAGE}/funds", {}, "method_not_allowed"),
        ("POST", f"{PAGE}/funds", {"csrf": "wrong", "key": "k"}, "csrf"),
        ("POST", f"{PAGE}/adjustments", {"key": "k", "amount": "1", "reason": "r"}, "forbidden"),
        ("POST", f"{PAGE}/funds", {"key": "used", "amount": "70"}, "key_reused"),
    ],
)
def test_a_problem_is_told_in_the_readers_language(
    console: Console, method: str, path: str, fields: dict[str, str], code: str
) -> None:
    finance = console.browser(Role.BILLING_ADMIN)
    finance.submit(f"{PAGE}/funds", amount="60", key="used")
    data = {"csrf": finance.csrf, **fields} if fields else None

    def ask(**headers: str) -> Response:
        return finance.request(method, path, data=data, headers=headers)

    assert ask(accept="application/problem+json").json()["type"].endswith(f":{code}")
    for language in ("ar", "en"):
        assert escape(TEXTS[language].translations.gettext(PROBLEMS[code])) in ask(**{"accept-language": language}).text


def test_a_change_that_kafka_did_not_take_is_told_in_the_readers_language(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise CommandNotStoredError("timed out")

    monkeypatch.setattr(console.state.commands, "ask", unreachable)
    page = console.browser().submit(f"{PAGE}/funds?lang=ar", amount="60")
    assert page.status_code == 503
    assert arabic(PROBLEMS["not_stored"]) in page.text
