"""An administrator at work in a real browser: Debian's Chromium, the console's own server, the real billing rules."""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from processor.console.access import Principal, Role
from processor.console.oidc import Oidc
from processor.console.web import create_app
from processor.domain.messages import Licence, LicencesSet, LicencesSetData
from processor.embedded.broker import free_port
from tests import oidc_provider
from tests.unit.builders import NOW, TENANT, call, decided, funded, row, tariff
from tests.unit.console_world import Console

IMAGES = Path(__file__).parents[2] / "docs" / "images"
"""Where the pictures of the documentation are: `CREDITS_SCREENSHOTS=1 pytest tests/browser` takes them again."""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

WORDS = {
    "en": {
        "sign in": "Sign in",
        "fund": "Add additional funds",
        "add": "Add funds",
        "settings": "Edit payment settings",
        "enable": "Enable auto-pay",
        "payment": "Payment amount",
        "trigger": "When the balance falls to",
        "save": "Save changes",
        "adjust": "Adjust the balance",
        "reason": "Reason",
        "adjust now": "Save adjustment",
        "licences": "Set licences",
        "set": "Save licences",
        "reset": "Reset auto-pay",
        "reset now": "Reset",
        "changes": "Who changed what",
        "sso": "Sign in with Contoso",
    },
    "ar": {
        "sign in": "تسجيل الدخول",
        "fund": "إضافة أموال أخرى",
        "add": "إضافة الأموال",
        "settings": "تعديل إعدادات الدفع",
        "enable": "تفعيل الدفع التلقائي",
        "payment": "مبلغ الدفعة",
        "trigger": "عندما ينخفض الرصيد إلى",
        "save": "حفظ التغييرات",
        "adjust": "تعديل الرصيد",
        "reason": "السبب",
        "adjust now": "حفظ التعديل",
        "licences": "ضبط الرخص",
        "set": "حفظ الرخص",
        "reset": "إعادة ضبط الدفع التلقائي",
        "reset now": "إعادة ضبط",
        "changes": "من غيّر ماذا",
        "sso": "تسجيل الدخول عبر Contoso",
    },
}

expect.set_options(timeout=30_000)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console behind its own web server, with a month of usage."""
    made = Console(tmp_path)
    deck = "standard@2026-03"
    made.world.tariff = tariff(
        row("44", destination="United Kingdom", deck=deck),
        row("33", destination="France", country="FR", connect_fee_micros=50_000, deck=deck),
    )
    story = [(day, 60 + day * 70 % 110) for day in range(1, 20)]
    made.world.tell(funded(50 + sum(minutes for _, minutes in story) / 10))
    for day, minutes in story:
        made.world.tell(call(minutes * 60, NOW - timedelta(days=day)))
    licences = [
        Licence(capability="MCOPSTN1", country="GB", count=1),
        Licence(capability="MCOMEETADD", country="US", count=5),
    ]
    data = LicencesSetData(tenant_id=TENANT, licences=licences, effective_at=NOW - timedelta(days=1))
    made.world.tell(LicencesSet(specversion="1.0", id="licences", source="test", data=data))
    made.world.tell(call(53_940, capability="MCOPSTN1", user_country="GB", user_id="u"))
    with made.serving():
        yield made


def use(console: Console, minutes: int) -> None:
    """Telephony usage arrives and the read model takes it over."""
    console.world.tell(call(minutes * 60))
    console.signal.stored([TENANT])


def accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def nothing_is_clipped(page: Page) -> None:
    """No part of the page is wider than the window, and no text is wider than its box."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    clipped = """[...document.querySelectorAll('button, a, h1, h2, p, td, label')].filter(
        e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map(e => e.outerHTML)"""
    assert page.evaluate(clipped) == []


@pytest.mark.parametrize("language", ["en", "ar"])
def test_an_administrator_funds_sets_auto_pay_and_watches_it_work(
    chromium: Browser, console: Console, language: str, tmp_path: Path
) -> None:
    """The whole story of the product: funds, auto-pay, usage drains the balance live, the recharge arrives."""
    words, images = WORDS[language], IMAGES if "CREDITS_SCREENSHOTS" in os.environ else tmp_path
    with chromium.new_context(locale=language, viewport=WIDE, color_scheme="light") as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)

        page.goto(f"{console.address}/login?token={console.links[-1]}")
        accessible(page)
        page.get_by_role("main").get_by_role("button", name=words["sign in"]).click()
        accessible(page)
        page.get_by_role("link", name=TENANT).click()
        balance = page.get_by_test_id("balance")
        expect(balance).to_contain_text("50.00")

        page.get_by_role("button", name=words["fund"]).click()
        page.locator("#amount").fill("60")
        accessible(page)
        page.screenshot(path=images / f"console-funds-{language}.png")
        page.get_by_role("button", name=words["add"], exact=True).click()
        expect(page.get_by_role("status")).to_be_visible()
        expect(balance).to_contain_text("110.00")

        page.get_by_role("button", name=words["settings"]).click()
        page.get_by_label(words["enable"]).check()
        page.get_by_label(words["payment"]).fill("50")
        page.get_by_label(words["trigger"]).fill("100")
        page.screenshot(path=images / f"console-autopay-{language}.png")
        page.get_by_role("button", name=words["save"]).click()
        expect(page.locator("#billing")).to_contain_text("100.00")

        use(console, 50)
        expect(balance).to_contain_text("105.00")  # live, without a click
        use(console, 60)
        expect(balance).to_contain_text("99.00")
        in_flight = console.world.accounts[TENANT].recharge.in_flight
        assert in_flight is not None
        console.world.tell(call(90 * 60, callee="+33140000000"), decided(in_flight))
        console.signal.stored([TENANT])
        expect(balance).to_contain_text("139.95")
        expect(page.locator("#recharges li")).to_have_count(1)
        expect(page.locator("#news")).to_contain_text("139.95")  # what a screen reader says

        accessible(page)
        page.emulate_media(color_scheme="dark")
        accessible(page)
        page.emulate_media(color_scheme="light")
        nothing_is_clipped(page)
        page.mouse.move(0, 0)
        page.screenshot(path=images / f"console-credits-{language}.png", full_page=True)
        page.set_viewport_size(PHONE)
        accessible(page)
        nothing_is_clipped(page)
        page.screenshot(path=images / f"console-phone-{language}.png", full_page=True)
        page.set_viewport_size(WIDE)
        page.goto(f"{console.address}/tenants/{TENANT}/ledger")
        accessible(page)
        page.screenshot(path=images / f"console-ledger-{language}.png")
        page.goto(f"{console.address}/tenants/{TENANT}/ledger/3")
        accessible(page)
        page.screenshot(path=images / f"console-entry-{language}.png")
        assert problems == []


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_page_that_is_not_there_is_accessible_and_in_the_readers_language(
    chromium: Browser, console: Console, colours: Literal["light", "dark"]
) -> None:
    secret = console.access.open_session(Principal("somebody", Role.VIEWER, None))
    with chromium.new_context(locale="ar", viewport=PHONE, color_scheme=colours) as context:
        context.add_cookies([{"name": "credits_session", "value": secret, "url": console.address}])
        page = context.new_page()
        page.goto(f"{console.address}/tenants/nobody")
        expect(page.get_by_role("main")).to_contain_text("لا يوجد هنا ما يمكنك رؤيته")
        accessible(page)
        nothing_is_clipped(page)


def test_live_updates_keep_the_language_that_the_address_asks_for(chromium: Browser, console: Console) -> None:
    secret = console.access.open_session(Principal("somebody", Role.VIEWER, None))
    with chromium.new_context(locale="en", viewport=WIDE) as context:
        context.add_cookies([{"name": "credits_session", "value": secret, "url": console.address}])
        page = context.new_page()
        with page.expect_request("**/live?seen=*"):
            page.goto(f"{console.address}/tenants/{TENANT}?lang=ar")
        use(console, 50)
        expect(page.get_by_test_id("balance")).to_have_text(re.compile(r"45\.00.*US\$"))


@pytest.mark.parametrize("language", ["en", "ar"])
def test_an_operator_adjusts_sets_licences_and_resets(
    chromium: Browser, console: Console, language: str, tmp_path: Path
) -> None:
    words, images = WORDS[language], IMAGES if "CREDITS_SCREENSHOTS" in os.environ else tmp_path
    secret = console.access.open_session(Principal("somebody", Role.OPERATOR, None))
    with chromium.new_context(locale=language, viewport=PHONE, color_scheme="light") as context:
        context.add_cookies([{"name": "credits_session", "value": secret, "url": console.address}])
        page = context.new_page()
        page.goto(f"{console.address}/tenants/{TENANT}")
        done = page.get_by_role("status")

        page.get_by_role("button", name=words["adjust"]).click()
        page.locator("#adjustment").fill("-7.5")
        page.get_by_label(words["reason"]).fill("goodwill")
        accessible(page)
        page.screenshot(path=images / f"console-adjust-{language}.png")
        page.get_by_role("button", name=words["adjust now"]).click()
        expect(done).to_be_visible()
        expect(page.get_by_test_id("balance")).to_contain_text("42.50")

        page.get_by_role("button", name=words["licences"]).click()
        line = page.locator("#licences-form tbody tr").nth(2)
        line.locator("select").select_option("MCOPSTN5")
        line.locator("[name=country]").fill("us")
        line.locator("[name=count]").fill("4")
        accessible(page)
        nothing_is_clipped(page)
        page.screenshot(path=images / f"console-licences-{language}.png")
        page.get_by_role("button", name=words["set"]).click()
        expect(page.locator("#pools")).to_contain_text("MCOPSTN5")

        page.get_by_role("button", name=words["reset"]).click()
        accessible(page)
        page.locator("#reset-form").get_by_role("button", name=words["reset now"], exact=True).click()
        expect(done).to_be_visible()

        page.get_by_role("link", name=words["changes"]).click()
        expect(page.locator("tbody tr")).to_have_count(3)
        accessible(page)
        nothing_is_clipped(page)
        page.set_viewport_size(WIDE)
        accessible(page)
        page.screenshot(path=images / f"console-changes-{language}.png")
    actions = [entry["action"] for entry in console.access.audit(frozenset({TENANT}), None, 10).items]
    assert actions == ["credits.recharge.reset.v1", "credits.licences.set.v1", "credits.adjusted.v1"]


@pytest.mark.parametrize("language", ["en", "ar"])
def test_somebody_signs_in_and_out_with_the_identity_provider(
    chromium: Browser, console: Console, language: str, tmp_path: Path
) -> None:
    """Across sites, with the browser's own rules for cookies, forms and redirects."""
    words, images = WORDS[language], IMAGES if "CREDITS_SCREENSHOTS" in os.environ else tmp_path
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with oidc_provider.running(base) as issuer:
        console.state = console.state._replace(oidc=Oidc(oidc_provider.provider(issuer), base))
        console.app = create_app(console.state)
        with console.serving(port), chromium.new_context(locale=language, viewport=PHONE) as context:
            page = context.new_page()
            page.goto(f"{base}/login")
            accessible(page)
            nothing_is_clipped(page)
            page.screenshot(path=images / f"console-login-{language}.png")
            page.get_by_role("link", name=words["sso"]).click()
            page.locator("[name=login]").fill("olga")
            page.locator("[name=password]").fill("any")
            page.locator("[type=submit]").click()
            page.locator("[type=submit]").click()  # consents
            expect(page.locator(".who")).to_have_text("oidc:olga")
            page.locator("header form button").click()
            page.locator("a[href='/login/oidc/logout']").click()
            page.locator("[name=logout]").click()
            expect(page.get_by_role("link", name=words["sso"])).to_be_visible()
            assert page.url.startswith(f"{base}/login")


def test_without_a_script_everything_works_on_reload(chromium: Browser, console: Console) -> None:
    secret = console.access.open_session(Principal("somebody", Role.OPERATOR, None))
    with chromium.new_context(java_script_enabled=False) as context:
        context.add_cookies([{"name": "credits_session", "value": secret, "url": console.address}])
        page = context.new_page()
        page.goto(f"{console.address}/tenants/{TENANT}")
        page.get_by_role("button", name="Add additional funds").click()
        page.locator("#amount").fill("60")
        page.get_by_role("button", name="Add funds", exact=True).click()
        expect(page.get_by_test_id("balance")).to_contain_text("110.00")


def test_the_keyboard_alone_adds_funds(chromium: Browser, console: Console) -> None:
    secret = console.access.open_session(Principal("somebody", Role.OPERATOR, None))
    with chromium.new_context() as context:
        context.add_cookies([{"name": "credits_session", "value": secret, "url": console.address}])
        page = context.new_page()
        page.goto(f"{console.address}/tenants/{TENANT}")
        page.get_by_role("button", name="Add additional funds").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#amount")).to_be_focused()
        page.keyboard.type("60")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("balance")).to_contain_text("110.00")
