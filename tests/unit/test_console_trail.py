"""The page that says who asked the console for what, and what became of it."""

import re
from pathlib import Path

import pytest
from markupsafe import escape

from processor.console import access
from processor.console.access import Principal, Role
from processor.console.text import TEXTS
from processor.console.trail import ACTIONS
from tests.unit.builders import TENANT, autopay, call, funded
from tests.unit.console_world import Browser, Console

PAGE = f"/tenants/{TENANT}"


@pytest.fixture
def console(empty_console: Console) -> Console:
    empty_console.world.tell(funded(50), call(60, tenant_id="other"))
    return empty_console


def words(browser: Browser, path: str) -> list[list[str]]:
    """Reads the table: what the cells of each row say, but for its time."""
    body = browser.get(path).text.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL)[1:] for row in body.split("</tr>")[:-1]]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def test_an_operator_reads_who_changed_what_and_what_became_of_it(console: Console) -> None:
    finance, operator = console.browser(Role.BILLING_ADMIN), console.browser()
    finance.submit(f"{PAGE}/funds", amount="60")
    finance.submit(f"{PAGE}/funds", amount="1")
    finance.submit(f"{PAGE}/autopay", enabled="on", payment="75.50", trigger="10")
    finance.submit(f"{PAGE}/autopay", payment="75.50", trigger="10")
    operator.submit(f"{PAGE}/adjustments", amount="-7.5", reason="goodwill")
    operator.submit(f"{PAGE}/licences", plan="MCOPSTN1", country="GB", count="3")
    operator.submit(f"{PAGE}/reset")
    who, admin = "somebody operator", "somebody billing admin"
    assert words(operator, f"{PAGE}/changes") == [
        [who, "Reset auto-pay", "–", "Done"],
        [who, "Set licences", "3 of MCOPSTN1, United Kingdom.", "Done"],
        [who, "Adjust the balance", "-$7.50 Reason: goodwill", "Done"],
        [admin, "Auto-pay settings", "Auto-pay is off.", "Done"],
        [admin, "Auto-pay settings", "$75.50 when the balance falls to $10.00.", "Done"],
        [admin, "Add funds", "$1.00", "The amount is below the smallest payment. Nothing was changed."],
        [admin, "Add funds", "$60.00", "Done"],
    ]
    linked = re.findall(r'<a href="([^"]+/ledger/\d+)">Done</a>', operator.get(f"{PAGE}/changes").text)
    assert [re.findall(r"<h1>(.*?) <", operator.get(path).text) for path in linked] == [["Adjustment"], ["Funds added"]]


def test_what_the_meter_has_not_answered_is_not_called_done(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.console.forms.DEFAULT_WAIT_S", 0.0)
    console.answering = False
    operator = console.browser()
    operator.submit(f"{PAGE}/funds", amount="60")
    assert words(operator, f"{PAGE}/changes") == [["somebody operator", "Add funds", "$60.00", "Not known"]]


def test_who_sees_every_tenant_reads_sign_ins_tokens_and_refusals_too(console: Console) -> None:
    """All actions that there are have a name, and each is read here once at least."""
    console.client().post("/login", data={"token": "guess"})
    console.access.add_token(Principal("alice", Role.VIEWER, None), 1)
    console.access.revoke_token("alice")
    console.browser(Role.VIEWER).submit(f"{PAGE}/reset")
    leaving = console.browser()
    for form, fields in (
        ("funds", {"amount": "60"}),
        ("autopay", {"payment": "50", "trigger": "20"}),
        ("adjustments", {"amount": "1", "reason": "r"}),
        ("licences", {"plan": "MCOPSTN1", "country": "GB", "count": "1"}),
        ("reset", {}),
    ):
        leaving.submit(f"{PAGE}/{form}", **fields)
    leaving.submit("/logout")
    told = words(console.browser(), "/changes")
    assert {row[2] for row in told} == set(ACTIONS.values())
    for row in (
        ["unknown", "–", "Sign-in failed", "From the address testclient.", "–"],
        ["command line", "–", "Token added", "Name: alice", "–"],
        ["command line", "–", "Token revoked", "Name: alice", "–"],
        ["somebody viewer", TENANT, "Not allowed", "It needs the role operator.", "–"],
        ["somebody operator", TENANT, "Reset auto-pay", "–", "Done"],
    ):
        assert row in told, told
    noted = re.findall(r'_note\(\s*connection, [^)]*?"(\w+)"[,)]', Path(access.__file__).read_text())
    assert set(noted) == {action for action in ACTIONS if "." not in action}


def test_an_operator_of_one_tenant_reads_nothing_of_others(console: Console) -> None:
    console.browser().submit("/tenants/other/funds", amount="60")
    console.browser().submit(f"{PAGE}/funds", amount="70")
    bound = console.browser(Role.OPERATOR, TENANT)
    assert [row[1:4] for row in words(bound, "/changes")] == [[TENANT, "Add funds", "$70.00"]]
    assert bound.get("/tenants/other/changes").status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.BILLING_ADMIN])
def test_a_lesser_role_finds_no_link_and_no_page(console: Console, role: Role) -> None:
    reader = console.browser(role)
    assert all("/changes" not in reader.get(path).text for path in ("/", PAGE))
    assert [reader.get(path).status_code for path in ("/changes", f"{PAGE}/changes")] == [403, 403]


def test_the_page_goes_on_where_the_one_before_has_ended(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.console.pages.ROWS", 2)
    operator = console.browser()
    for amount in ("61", "62", "63"):
        operator.submit(f"{PAGE}/funds", amount=amount)
    text = operator.get(f"{PAGE}/changes").text
    [older] = re.findall(r'href="(\?cursor=\d+)">Older changes', text)
    assert [row[2] for row in words(operator, f"{PAGE}/changes")] == ["$63.00", "$62.00"]
    assert [row[2] for row in words(operator, f"{PAGE}/changes{older}")] == ["$61.00"]


def test_amounts_are_in_the_accounts_currency_and_words_in_the_readers_language(console: Console) -> None:
    console.world.tell(autopay(50, 20))
    operator = console.browser()
    operator.submit(f"{PAGE}/adjustments", amount="1", reason="goodwill")
    text = operator.get(f"{PAGE}/changes?lang=ar").text
    arabic = TEXTS["ar"]
    for shown in ("Who changed what", "Adjust the balance", "Done", "operator"):
        assert str(escape(arabic.translations.gettext(shown))) in text
        assert f">{shown}<" not in text
    assert arabic.money(1_000_000, "USD") in text
