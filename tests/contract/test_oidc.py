"""Signing in with a certified OpenID Connect provider, and every way in which that must not work."""

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from processor.console.access import Principal, Role
from processor.console.oidc import Oidc, Provider, principal_of
from processor.console.problems import ProblemError
from processor.console.said import PROBLEMS
from processor.console.web import create_app
from processor.settings import Settings
from tests.oidc_provider import provider, running
from tests.unit.builders import TENANT, funded
from tests.unit.console_world import Console

BASE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with running(BASE) as found:
        yield found


def console_of(path: Path, given: Provider) -> Console:
    made = Console(path)
    made.world.tell(funded(50))
    made.state = made.state._replace(oidc=Oidc(given, BASE))
    made.app = create_app(made.state)
    return made


@pytest.fixture
def console(issuer: str, tmp_path: Path) -> Console:
    return console_of(tmp_path, provider(issuer))


class Person:
    """A browser that follows the provider's own pages."""

    def __init__(self, console: Console) -> None:
        self.console = console.client()
        self.provider = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))  # nothing to close

    def begin(self) -> str:
        """Opens the sign-in; returns the address of the provider's page."""
        answer = self.console.get("/login/oidc")
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def consent(self, address: str, login: str) -> str:
        """Signs in at the provider and consents; returns the address that it sends the browser back to."""
        answer = self.provider.get(address)
        while not answer.headers.get("location", "").startswith(BASE + "/"):
            if answer.is_redirect:
                answer = self.provider.get(answer.next_request.url)  # type: ignore[union-attr]
            else:
                form = re.search(r'action="([^"]+)" method="post"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert form is not None, answer.text
                assert prompt is not None, answer.text
                answer = self.provider.post(form[1], data={"prompt": prompt[1], "login": login, "password": "any"})
        return answer.headers["location"]

    def sign_in(self, login: str) -> Response:
        return self.console.get(self.consent(self.begin(), login))


def test_a_person_signs_in_with_a_role_and_tenants_from_claims(console: Console) -> None:
    person = Person(console)
    assert "Sign in with Contoso" in person.console.get("/login").text
    address = person.begin()
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{BASE}/login/oidc/callback"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    answer = person.console.get(person.consent(address, "olga"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert all(word in answer.headers["set-cookie"] for word in ("credits_session=", "HttpOnly", "SameSite=lax"))
    page = person.console.get(f"/tenants/{TENANT}")
    assert "oidc:olga" in page.text
    assert "Adjust the balance" in page.text


@pytest.mark.parametrize(
    ("login", "who"),
    [
        ("olga", Principal("oidc:olga", Role.OPERATOR, None)),
        ("bill", Principal("oidc:bill", Role.BILLING_ADMIN, frozenset({"acme"}))),
        ("vera", Principal("oidc:vera", Role.BILLING_ADMIN, frozenset({"acme", "other"}))),
    ],
)
@pytest.mark.parametrize("in_id_token", [False, True])
def test_claims_come_from_the_token_or_from_userinfo(
    tmp_path: Path, issuer: str, login: str, who: Principal, *, in_id_token: bool
) -> None:
    """A text counts like a list, the highest role wins, and a public client needs no secret."""
    with running(BASE, "in the token") if in_id_token else nullcontext(issuer) as other:
        given = provider(other, client_id="public", client_secret="") if in_id_token else provider(other)
        console = console_of(tmp_path, given)
        person = Person(console)
        assert person.sign_in(login).status_code == 303
        session = console.access.session(person.console.cookies["credits_session"])
    assert session is not None
    assert session.principal == who


def test_an_operator_ends_the_sessions_of_somebody_at_once(console: Console) -> None:
    person = Person(console)
    person.sign_in("olga")
    assert console.access.revoke_token("oidc:olga")
    assert person.console.get("/").headers["location"] == "/login"
    assert not console.access.revoke_token("oidc:olga")


def refused(answer: Response, status: int, code: str) -> None:
    """It is a page that says what to do, and nobody is signed in."""
    assert answer.status_code == status, answer.text
    assert PROBLEMS[code] in answer.text
    assert "credits_session" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(("login", "code"), [("norma", "oidc_no_role"), ("tess", "oidc_no_tenant")])
def test_somebody_without_a_role_or_a_tenant_does_not_get_in(console: Console, login: str, code: str) -> None:
    refused(Person(console).sign_in(login), 403, code)


@pytest.mark.parametrize(
    ("login", "claim"),
    [
        ("other-audience", "aud"),
        ("two-audiences", "azp"),
        ("other-issuer", "iss"),
        ("expired", "expired"),
        ("other-nonce", "nonce"),
    ],
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    console: Console, login: str, claim: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The signature is the provider's own each time; the operator reads which claim was wrong."""
    refused(Person(console).sign_in(login), 502, "oidc_token")
    assert claim in caplog.messages[-1]


@pytest.mark.parametrize(
    "change", [lambda back: back.replace("state=", "state=x"), lambda back: back.split("&state")[0]]
)
def test_a_tampered_state_is_refused(console: Console, change: Callable[[str], str]) -> None:
    person = Person(console)
    refused(person.console.get(change(person.consent(person.begin(), "olga"))), 400, "oidc_state")


def test_an_answer_works_once_and_only_in_the_browser_that_asked(console: Console) -> None:
    person, other = Person(console), Person(console)
    back = person.consent(person.begin(), "olga")
    other.begin()
    refused(other.console.get(back), 400, "oidc_state")
    assert person.console.get(back).status_code == 303
    refused(person.console.get(back), 400, "oidc_state")


def test_a_code_of_somebody_else_is_refused(console: Console) -> None:
    """A stolen code does not fit the PKCE verifier of another sign-in."""
    victim, thief = Person(console), Person(console)
    stolen = parse_qs(urlsplit(victim.consent(victim.begin(), "olga")).query)["code"][0]
    own = thief.consent(thief.begin(), "bill")
    refused(thief.console.get(re.sub(r"code=[^&]+", f"code={stolen}", own)), 403, "oidc_refused")


def test_who_cancels_at_the_provider_can_begin_again(console: Console) -> None:
    person = Person(console)
    state = parse_qs(urlsplit(person.begin()).query)["state"][0]
    answer = person.console.get(f"/login/oidc/callback?error=access_denied&error_description=x&state={state}")
    refused(answer, 403, "oidc_refused")


def test_a_provider_of_another_name_is_refused(issuer: str, tmp_path: Path) -> None:
    other_name = issuer.replace("localhost", "127.0.0.1")
    answer = console_of(tmp_path, provider(other_name)).client().get("/login/oidc")
    refused(answer, 502, "oidc_wrong_issuer")


def test_a_wrong_client_secret_lets_nobody_in(issuer: str, tmp_path: Path) -> None:
    console = console_of(tmp_path, provider(issuer, client_secret="wrong"))  # noqa: S106
    refused(Person(console).sign_in("olga"), 403, "oidc_refused")


def test_while_the_provider_is_down_people_are_told_and_tokens_still_work(tmp_path: Path) -> None:
    with running(BASE) as issuer:
        console = console_of(tmp_path, provider(issuer))
        person = Person(console)
        back = person.consent(person.begin(), "olga")
    refused(person.console.get(back), 503, "oidc_unreachable")  # down after the page was left
    answer = person.console.get("/login/oidc")
    refused(answer, 503, "oidc_unreachable")
    assert answer.headers["retry-after"] == "30"
    assert person.console.post("/login", data={"token": console.links[-1]}).status_code == 303


def test_a_program_gets_the_problem_as_json_and_an_arab_reader_in_arabic(issuer: str, tmp_path: Path) -> None:
    client = console_of(tmp_path, provider(issuer.replace("localhost", "127.0.0.1"))).client()
    answer = client.get("/login/oidc", headers={"Accept": "application/problem+json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(":oidc_wrong_issuer")
    assert "خدمة تسجيل الدخول" in client.get("/login/oidc", headers={"Accept-Language": "ar"}).text


def test_signing_out_ends_the_session_here_and_on_request_at_the_provider(console: Console) -> None:
    person = Person(console)
    person.sign_in("olga")
    secret = person.console.cookies["credits_session"]
    session = console.access.session(secret)
    assert session is not None
    left = person.console.post("/logout", data={"csrf": session.csrf})
    assert console.access.session(secret) is None
    page = person.console.get(left.headers["location"]).text
    assert 'href="/login/oidc/logout"' in page
    asked = person.provider.get(person.console.get("/login/oidc/logout").headers["location"])
    form, secret_field = re.search(r'action="([^"]+)"', asked.text), re.search(r'name="xsrf" value="(\w+)"', asked.text)
    assert form is not None
    assert secret_field is not None
    back = person.provider.post(form[1], data={"xsrf": secret_field[1], "logout": "yes"})
    assert back.headers["location"].startswith(f"{BASE}/login?")
    again = person.provider.get(person.begin())
    assert "interaction" in again.headers["location"]  # it asks for the password again


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({}, "oidc_no_name"),
        ({"preferred_username": ["olga"]}, "oidc_no_name"),
        ({"preferred_username": "o" * 200}, "oidc_no_name"),
        ({"preferred_username": "olga", "groups": {"meter-admins": True}, "tenants": "*"}, "oidc_no_role"),
        ({"preferred_username": "olga", "groups": "meter-admins", "tenants": [1, None, ""]}, "oidc_no_tenant"),
    ],
)
def test_claims_of_another_shape_give_nothing(claims: dict[str, Any], code: str) -> None:
    with pytest.raises(ProblemError) as raised:
        principal_of(claims, provider("https://issuer.example"))
    assert raised.value.code == code


@pytest.mark.parametrize(
    "wrong",
    [
        {
            "console_oidc_issuer": "http://issuer.example",
            "console_oidc_client_id": "c",
            "console_oidc_roles": "a=viewer",
        },
        {"console_oidc_issuer": "https://issuer.example"},
        {"console_oidc_roles": "a=emperor"},
        {"console_oidc_roles": "a"},
        {"console_oidc_scopes": "profile"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="console_oidc"):
        Settings(**wrong)


def test_roles_are_given_as_pairs() -> None:
    found = Settings(console_oidc_roles="cn=admins=operator, finance=billing-admin").console_oidc_roles  # type: ignore[arg-type]
    assert found == {"cn=admins": "operator", "finance": "billing-admin"}


def test_without_a_provider_there_is_no_such_page(tmp_path: Path) -> None:
    client: TestClient = Console(tmp_path).client()
    assert "/login/oidc" not in client.get("/login").text
    for path in ("", "/callback", "/logout"):
        assert client.get(f"/login/oidc{path}").status_code == 404
