"""Nobody sees or changes what is not theirs, whatever they send."""

import re
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from alembic import command
from markupsafe import escape
from sqlalchemy import create_engine, func, select

from processor.console import access, signin
from processor.console.access import Principal, Role
from processor.console.access_tables import METADATA, TOKENS
from processor.console.database import alembic
from processor.console.guard import MAX_BODY_BYTES
from processor.console.oidc import Oidc, Provider
from processor.console.signin import RateLimit
from processor.console.tables import ACCOUNTS
from processor.console.web import create_app
from tests.unit.builders import TENANT, UNIT, autopay, call, decided, funded, licences, row, tariff
from tests.unit.console_world import Browser, Console

API = f"/v1/accounts/{TENANT}"
PAGE = f"/tenants/{TENANT}"
READS = ("", "/lots", "/pools", "/ledger", "/ledger.csv", "/recharges", "/notifications", "/commands/x")
CHANGES = (
    ("POST", "/funds", {"amount_micros": 60 * UNIT}),
    ("PUT", "/autopay", {"enabled": True, "payment_amount_micros": 50 * UNIT, "trigger_micros": UNIT}),
    ("PUT", "/licences", {"licences": []}),
    ("POST", "/adjustments", {"amount_micros": UNIT, "reason": "r"}),
    ("POST", "/recharge/reset", {}),
)
FORMS = {
    "/funds": {"amount": "60"},
    "/autopay": {"payment": "60", "trigger": "1"},
    "/licences": {"plan": "MCOPSTN1", "country": "GB", "count": "1"},
    "/adjustments": {"amount": "1", "reason": "r"},
    "/reset": {},
}
SCRIPT = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
SQL = "x' OR '1'='1'; DROP TABLE accounts; --%_\\"


@pytest.fixture
def console(empty_console: Console) -> Console:
    made = empty_console
    made.world.tell(funded(50), autopay(50, 20), call(600))
    return made


@pytest.mark.parametrize("path", READS)
def test_another_tenants_data_is_as_absent_as_none(console: Console, path: str) -> None:
    stranger = console.client(Role.OPERATOR, "other")
    foreign, absent = stranger.get(f"{API}{path}"), stranger.get(f"/v1/accounts/nobody{path}")
    assert (foreign.status_code, foreign.json()) == (404, absent.json())


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_another_tenants_account_cannot_be_changed(
    console: Console, method: str, path: str, body: dict[str, object]
) -> None:
    answer = console.client(Role.OPERATOR, "other").request(method, f"{API}{path}", json=body)
    assert (answer.status_code, console.sent) == (404, [])


def test_a_list_holds_only_what_is_in_scope(console: Console) -> None:
    assert console.client(Role.OPERATOR, "other").get("/v1/accounts").json()["items"] == []
    assert TENANT not in console.browser(Role.OPERATOR, "other", "third").get("/").text
    assert console.browser(Role.OPERATOR, "other").get(PAGE).status_code == 404


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp4"}, {"Authorization": "Bearer "}]
)
def test_without_a_valid_token_the_api_says_nothing(console: Console, headers: dict[str, str]) -> None:
    for path in (API, "/v1/accounts", "/v1/status"):
        answer = console.client().get(path, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_token_ends_when_it_expires_or_is_revoked_and_its_sessions_with_it(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = Principal("finance", Role.VIEWER, None)
    token = console.access.add_token(who, 1)
    session = console.access.exchange(token) or ""
    assert console.access.holder(token) == who
    assert console.access.session(session) is not None
    tomorrow = access.now_ms() + 86_400_001
    monkeypatch.setattr(access, "now_ms", lambda: tomorrow)
    assert console.access.holder(token) is None
    assert console.access.session(session) is None
    monkeypatch.undo()
    assert console.access.session(session) is not None
    assert console.access.revoke_token("finance")
    assert console.access.holder(token) is None
    assert console.access.session(session) is None


def test_a_session_opened_just_before_its_token_expires_ends_with_it(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = console.access.add_token(Principal("finance", Role.VIEWER, None), 1)
    expires = access.now_ms() + 86_400_000
    monkeypatch.setattr(access, "now_ms", lambda: expires - 1000)
    client = console.client()
    assert client.post("/login", data={"token": token}).status_code == 303
    assert client.get("/").status_code == 200
    monkeypatch.setattr(access, "now_ms", lambda: expires + 1000)
    assert client.get("/").headers["location"] == "/login"


@pytest.mark.parametrize("named", ["*", "a\nb", "null", '["a"]', '"'])
def test_whoever_is_given_a_tenant_of_an_odd_name_sees_that_one_only(console: Console, named: str) -> None:
    who = Principal("odd", Role.VIEWER, frozenset({named}))
    token = console.access.add_token(who, 1)
    session = console.access.session(console.access.exchange(token) or "")
    assert console.access.holder(token) == who
    assert session is not None
    assert session.principal == who


def test_the_scopes_of_an_earlier_version_are_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'access.sqlite'}"
    store = access.open_access(url)
    scopes = {"*": None, "a": frozenset({"a"}), "a\nb": frozenset({"a", "b"})}
    for name, tenants in scopes.items():
        store.add_token(Principal(name, Role.VIEWER, tenants), 1)
    with create_engine(url).begin() as connection:
        command.downgrade(alembic(connection, "access", METADATA), "0001")
        assert all(row.tenants == row.name for row in connection.execute(select(TOKENS)))  # as they were kept then
    assert {who.name: who.tenants for who, _ in access.open_access(url).tokens()} == scopes


def actions(console: Console, role: Role, *tenants: str) -> list[tuple[str, str]]:
    """What `GET /v1/audit` shows, oldest first, read in small pages."""
    client, found, cursor = console.client(role, *tenants), [], None
    while True:
        asked = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/audit", params=asked).json()
        found += [(entry["actor"], entry["action"]) for entry in page["items"] if entry["action"] != "token_added"]
        if (cursor := page["next_cursor"]) is None:
            return found[::-1]


def test_sign_ins_and_refusals_are_in_the_audit_trail_for_who_may_see_every_tenant(console: Console) -> None:
    client, token = console.client(), console.access.add_token(Principal("finance", Role.VIEWER, None), 1)
    assert client.post("/login", data={"token": "guess"}).status_code == 401
    client.post("/login", data={"token": token})
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get(PAGE).text)
    assert csrf is not None
    client.post(f"{PAGE}/funds", data={"csrf": csrf[1], "key": "k", "amount": "60"})
    client.post("/logout", data={"csrf": csrf[1]})
    console.access.revoke_token("finance")
    happened = [
        ("", "sign_in_failed"),
        ("finance", "signed_in"),
        ("finance", "refused"),
        ("finance", "signed_out"),
        (access.COMMAND_LINE, "token_revoked"),
    ]
    assert actions(console, Role.OPERATOR) == happened
    assert actions(console, Role.OPERATOR, TENANT) == [("finance", "refused")]
    assert console.client(Role.BILLING_ADMIN).get("/v1/audit").status_code == 403


def test_what_is_older_than_the_retention_is_forgotten(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    who = Principal("finance", Role.OPERATOR, None)
    token = console.access.add_token(who, 1)
    assert console.access.request(who, TENANT, "credits.funded.v1", "old", "{}")
    now = access.now_ms()
    monkeypatch.setattr(access, "now_ms", lambda: now + 100_000_000)
    assert console.access.request(who, TENANT, "credits.funded.v1", "new", "{}")
    console.access.prune(now + 1)
    assert [entry["command_id"] for entry in console.access.audit(None, None, 10).items] == ["new"]
    assert [console.access.requested(TENANT, command_id) for command_id in ("old", "new")] == [False, True]
    monkeypatch.undo()
    assert console.access.holder(token) is None  # it had expired
    assert console.access.tokens() == []


def test_secrets_are_stored_as_hashes_only(console: Console) -> None:
    who = Principal("finance", Role.VIEWER, None)
    token, session = console.access.add_token(who, 1), console.access.open_session(who)
    with console.access._engine.connect() as connection:
        stored = str([list(connection.execute(select(table))) for table in METADATA.sorted_tables])
    assert "finance" in stored
    assert token not in stored
    assert session not in stored


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, set()),
        (Role.BILLING_ADMIN, {"/funds", "/autopay"}),
        (Role.OPERATOR, {path for _, path, _ in CHANGES}),
    ],
)
def test_each_role_may_change_what_it_is_for(console: Console, role: Role, allowed: set[str]) -> None:
    console.answering = False
    client, done = console.client(role, TENANT), set()
    for method, path, body in CHANGES:
        answer = client.request(method, f"{API}{path}", json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code in (202, 403)
        if answer.status_code == 202:
            done.add(path)
    assert done == allowed
    assert len(console.sent) == len(allowed)


def test_a_viewer_sees_no_forms_and_can_send_none(console: Console) -> None:
    browser = console.browser(Role.VIEWER, TENANT)
    assert "Add additional funds" not in browser.get(PAGE).text
    assert browser.submit(f"{PAGE}/funds", amount="60").status_code == 403
    assert console.sent == []


def test_a_billing_admin_sees_no_forms_of_an_operator_and_can_send_none(console: Console) -> None:
    browser = console.browser(Role.BILLING_ADMIN, TENANT)
    page = browser.get(PAGE).text
    assert "Add additional funds" in page
    for path in ("/licences", "/adjustments", "/reset"):
        assert f'action="{PAGE}{path}"' not in page
        assert browser.submit(f"{PAGE}{path}", **FORMS[path]).status_code == 403
    assert console.sent == []


def test_the_api_does_not_take_a_browsers_cookie(console: Console) -> None:
    browser = console.browser()
    assert browser.get(PAGE).status_code == 200
    assert browser.get(API).status_code == 401


@pytest.mark.parametrize("csrf", ["", "wrong", "é"])
@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_the_sessions_secret_changes_nothing(console: Console, path: str, csrf: str) -> None:
    browser = console.browser()
    assert browser.submit(f"{PAGE}{path}", csrf=csrf, **FORMS[path]).status_code == 403
    assert browser.submit("/logout", csrf=csrf).status_code == 403
    assert console.sent == []


def test_a_form_from_another_site_changes_nothing_even_with_the_secret(console: Console) -> None:
    browser = console.browser()
    browser.headers["Sec-Fetch-Site"] = "cross-site"
    assert browser.submit(f"{PAGE}/funds", amount="60").status_code == 403
    assert browser.post("/login", data={"token": "x"}).status_code == 403


def test_another_sessions_secret_does_not_fit(console: Console) -> None:
    first, second = console.browser(), console.browser()
    assert first.submit(f"{PAGE}/funds", csrf=second.csrf, amount="60").status_code == 403


def test_the_printed_link_signs_in_once_and_only_by_a_click(console: Console) -> None:
    client, token = console.client(), console.links[-1]
    for _ in range(2):  # a preview of the link, then the person
        assert client.get(f"/login?token={token}").status_code == 200
    answer = client.post("/login", data={"token": token})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax"))
    assert client.get(PAGE).status_code == 200
    assert console.client().post("/login", data={"token": token}).status_code == 401
    assert console.links[-1] != token
    assert console.client().post("/login", data={"token": console.links[-1]}).status_code == 303


def test_behind_tls_the_cookie_is_secure(console: Console) -> None:
    console.app = create_app(console.state._replace(secure_cookies=True))
    answer = console.client().post("/login", data={"token": console.links[-1]})
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_signing_out_ends_the_session(console: Console) -> None:
    browser = console.browser()
    cookie = browser.cookies["credits_session"]
    assert browser.submit("/logout").headers["location"] == "/login"
    assert console.access.session(cookie) is None


def test_without_a_session_a_page_leads_to_the_sign_in(console: Console) -> None:
    for path in ("/", PAGE, f"{PAGE}/ledger", f"{PAGE}/ledger.csv", f"{PAGE}/live", f"{PAGE}/changes", "/changes"):
        answer = console.client().get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_guessing_tokens_is_slowed_down(console: Console) -> None:
    client = console.client()
    answers = [client.post("/login", data={"token": f"guess-{number}"}).status_code for number in range(12)]
    assert answers == [401] * signin.TRIES + [429] * (12 - signin.TRIES)
    assert client.post("/login", data={"token": console.links[-1]}).status_code == 429


def test_good_sign_ins_never_use_the_limit_up(console: Console) -> None:
    token = console.access.add_token(Principal("finance", Role.VIEWER, None), 1)
    client = console.client()
    good = [client.post("/login", data={"token": token}).status_code for _ in range(2 * signin.TRIES)]
    assert good == [303] * 2 * signin.TRIES
    assert client.post("/login", data={"token": "guess"}).status_code == 401


@pytest.mark.parametrize(("trusted", "last"), [("127.0.0.1", 303), ("10.0.0.0/8", 429), ("", 429)])
def test_guesses_of_one_person_behind_a_trusted_proxy_do_not_lock_the_others_out(
    console: Console, trusted: str, last: int
) -> None:
    token = console.access.add_token(Principal("finance", Role.VIEWER, None), 1)
    with console.serving(trusted_proxies=trusted), httpx2.Client(base_url=console.address) as client:
        for number in range(signin.TRIES + 1):
            guess = client.post("/login", data={"token": "guess"}, headers={"X-Forwarded-For": "203.0.113.1"})
            assert guess.status_code == (401 if number < signin.TRIES else 429)
        good = client.post("/login", data={"token": token}, headers={"X-Forwarded-For": "203.0.113.2"})
        assert good.status_code == last


def test_the_limit_of_tries_slides_and_forgets_the_oldest_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signin, "ADDRESSES", 2)
    now = [0.0]
    limit = RateLimit(lambda: now[0])
    assert [limit.allows("a") for _ in range(11)] == [True] * 10 + [False]
    now[0] = signin.WINDOW_S + 1
    assert limit.allows("a")
    assert [limit.allows(address) for address in ("b", "c", "a")] == [True] * 3
    assert len(limit._failures) == 2


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000])
@pytest.mark.parametrize("announced", [True, False])
def test_an_oversize_body_is_refused_before_it_is_read(console: Console, size: int, announced: bool) -> None:
    body = b"x" * size if announced else (b"x" * 65_536 for _ in range(size // 65_536 + 1))
    client = console.client(Role.OPERATOR)
    answer = client.post(f"{API}/funds", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


def test_every_answer_forbids_inline_scripts_frames_and_sniffing(console: Console) -> None:
    for path in ("/login", PAGE, f"{PAGE}/ledger", API, "/static/live.js", "/nowhere"):
        headers = console.browser().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")


def is_only_text(page: str) -> bool:
    tags = re.sub(r"\"[^\"]*\"|>[^<]*<", "", page)
    return "<script>alert" not in page and "<img" not in page and not re.search(r"\son\w+=", tags)


def test_no_text_becomes_markup(console: Console) -> None:
    """Not the tenant's id, destination, deck, provider's or operator's reason, user's id nor the name of who looks."""
    world = console.world
    world.tariff = tariff(row("44", destination=SCRIPT, deck=SCRIPT))
    world.tell(funded(50, tenant_id=SCRIPT), autopay(50, 45, tenant_id=SCRIPT), call(6000, tenant_id=SCRIPT))
    in_flight = world.accounts[SCRIPT].recharge.in_flight or ""
    world.tell(decided(in_flight, "declined", tenant_id=SCRIPT, reason_code=SCRIPT))
    world.tell(licences("MCOPSTN8:GB:1", tenant_id=SCRIPT))
    world.tell(call(60, tenant_id=SCRIPT, capability="MCOPSTN8", user_country="GB", user_id=SCRIPT))
    browser = Browser(console, Principal(SCRIPT, Role.OPERATOR, None))
    page = "/tenants/" + SCRIPT.replace("/", "%2F").replace(" ", "%20")
    browser.submit(f"{page}/adjustments", amount="1", reason=SCRIPT)
    escaped = str(escape(SCRIPT))
    shown = {  # how often the text is on the page at least: once it is the name of who looks
        "/": 2,
        f"/?search={SCRIPT}": 3,
        page: 4,
        f"{page}/ledger": 3,
        f"{page}/ledger/2": 4,
        f"{page}/ledger/3": 4,
        f"{page}?said={SCRIPT}": 4,
        f"{page}/changes": 5,
        "/changes": 4,
    }
    for path, times in shown.items():
        for language in ("en", "ar"):
            answer = browser.get(path, headers={"Accept-Language": language})
            assert answer.status_code == 200, path
            assert answer.text.count(escaped) >= times, path
            assert is_only_text(answer.text), path


def test_the_name_of_the_identity_provider_is_only_text(console: Console) -> None:
    provider = Provider("https://login.example.org", "console", "", SCRIPT, "openid", "name", "groups", {}, "tenants")
    console.app = create_app(console.state._replace(oidc=Oidc(provider, "https://credits.example.org")))
    for path in ("/login", "/login?left=oidc", f"/login?token={SCRIPT}"):
        page = console.client().get(path).text
        assert str(escape(SCRIPT)) in page
        assert is_only_text(page)


def test_pages_have_no_inline_script_or_style(console: Console) -> None:
    for path in ("/", PAGE, f"{PAGE}/ledger", "/changes", "/login"):
        text = console.browser().get(path).text
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|javascript:", text)


@pytest.mark.parametrize("text", [SQL, SCRIPT, "%", "_", "\\", "é" * 128, "a/b", "..", "\N{RIGHT-TO-LEFT OVERRIDE}x"])
def test_metacharacters_are_only_text(console: Console, text: str) -> None:
    client = console.client(Role.OPERATOR)
    with console.world.engine.connect() as connection:
        before = connection.scalar(select(func.count()).select_from(ACCOUNTS))
    assert client.get("/v1/accounts", params={"search": text}).json()["items"] == []
    assert client.get("/v1/accounts", params={"cursor": text}).status_code == 200
    assert client.get(f"{API}/ledger", params={"country": text}).status_code == 422
    client.post(f"{API}/adjustments", json={"amount_micros": 1, "reason": text}, headers={"Idempotency-Key": "k"})
    with console.world.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(ACCOUNTS)) == before


@pytest.mark.parametrize("tenant", ["a/b", "?", "#", "100%", "%2F", "؟ك", " "])
def test_a_tenant_id_may_hold_any_character(console: Console, tenant: str) -> None:
    console.world.tell(funded(50, tenant_id=tenant))
    from processor.console.tenants import segment_of

    found = console.client(Role.VIEWER, tenant).get(f"/v1/accounts/{segment_of(tenant)}")
    assert found.json()["tenant_id"] == tenant
    assert console.browser().get(f"/tenants/{segment_of(tenant)}").status_code == 200


@pytest.mark.parametrize("tenant", ["%00", "%FF", "a" * 129, "x%00y"])
def test_what_cannot_be_a_tenant_id_is_not_found(console: Console, tenant: str) -> None:
    assert console.client(Role.OPERATOR).get(f"/v1/accounts/{tenant}").status_code == 404
    assert console.browser().get(f"/tenants/{tenant}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"amount_micros": 1.5}',
        b'{"amount_micros": "60000000"}',
        b'{"amount_micros": true}',
        b'{"amount_micros": 9007199254740992}',
        b'{"amount_micros": 60000000, "extra": 1}',
        b'{"amount_micros": 60000000, "currency": "usd"}',
        b'{"amount_micros": 60000000, "payment_reference": "\\ud800"}',
        b'{"amount_micros": NaN}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_a_malformed_body_is_explained_and_nothing_is_sent(console: Console, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = console.client(Role.OPERATOR).post(f"{API}/funds", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert console.sent == []


@pytest.mark.parametrize(
    ("back", "to"),
    [
        ("http://127.0.0.1/tenants/x", "/tenants/x"),
        ("https://evil.example/x", "/"),
        ("http://127.0.0.1//evil.example", "/evil.example"),
        ("", "/"),
    ],
)
def test_a_redirect_after_choosing_the_language_stays_on_this_console(console: Console, back: str, to: str) -> None:
    assert console.browser().get("/language/ar", headers={"Referer": back}).headers["location"] == to


def test_an_expired_session_is_asked_to_sign_in(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = console.browser()
    later = access.now_ms() + access.SESSION_MS + timedelta(seconds=1) // timedelta(milliseconds=1)
    monkeypatch.setattr(access, "now_ms", lambda: later)
    assert browser.get(PAGE).headers["location"] == "/login"
