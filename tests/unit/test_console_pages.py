"""The pages: complete without a script, in two languages, and true to the read model."""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from starlette.requests import Request

from processor.console import changes, explain, pages, said
from processor.console.access import Principal, Role
from processor.console.amounts import NotAnAmountError, amount
from processor.console.chart import HEIGHT, bars
from processor.console.csv_export import csv_lines
from processor.console.queries import Consumption, Document, Filter, Queries
from processor.console.reader import Reader
from processor.console.scope import Scope
from processor.console.text import TEXTS, best_language
from tests.unit.builders import TENANT, UNIT, autopay, call, decided, funded
from tests.unit.console_world import Browser, Console

CONSOLE = Path(explain.__file__).parent
PAGE = f"/tenants/{TENANT}"


@pytest.fixture
def console(empty_console: Console) -> Console:
    made = empty_console
    made.world.tell(
        funded(50), autopay(50, 20), call(600), call(90, callee="+33140000000"), call(60, tenant_id="other")
    )
    return made


@pytest.fixture
def browser(console: Console) -> Browser:
    return console.browser()


def test_the_credits_page_shows_balance_expiry_and_consumption(browser: Browser) -> None:
    text = browser.get(PAGE).text
    assert "$48.75" in text
    assert "Mar 15, 2027" in text
    assert re.search(r"Mar 15, 2026: \$1\.25", text)
    assert all(name in text for name in ("United Kingdom", "France", "$1.00", "$0.25"))
    for name in ("Add additional funds", "Edit payment settings", "Auto-pay settings", "Payment amount"):
        assert name in text
    assert "When the balance falls to" in text
    assert "Save changes" in text


def test_adding_funds_from_the_page_happens_once_and_says_so(console: Console, browser: Browser) -> None:
    for _ in range(2):  # a double click
        answer = browser.submit(f"{PAGE}/funds", amount="60", key="same")
        assert answer.headers["location"] == f"{PAGE}?said=funded"
    assert len(console.sent) == 1
    assert "The funds were added." in browser.get(f"{PAGE}?said=funded").text
    assert console.world.accounts[TENANT].balance_micros == 108_750_000


@pytest.mark.parametrize(("typed", "said_"), [("1", "below_minimum"), ("fifty", "not_an_amount"), ("-60", "negative")])
def test_an_amount_that_is_refused_is_explained(browser: Browser, typed: str, said_: str) -> None:
    location = browser.submit(f"{PAGE}/funds", amount=typed).headers["location"]
    assert location == f"{PAGE}?said={said_}"
    assert said.SAID[said_].text in browser.get(location).text


def test_saving_auto_pay_keeps_the_limits_that_the_form_does_not_show(console: Console, browser: Browser) -> None:
    console.world.tell(autopay(50, 20, max_per_day=3, payment_method_ref="pm_1"))
    answer = browser.submit(f"{PAGE}/autopay", enabled="on", payment="75.50", trigger="١٠٫٥")
    assert answer.headers["location"] == f"{PAGE}?said=saved"
    settings = console.world.accounts[TENANT].autopay
    assert settings is not None
    assert (settings.payment_amount_micros, settings.trigger_micros) == (75_500_000, 10_500_000)
    assert (settings.enabled, settings.max_per_day, settings.payment_method_ref) == (True, 3, "pm_1")
    browser.submit(f"{PAGE}/autopay", payment="75.50", trigger="10")
    assert not console.world.accounts[TENANT].autopay.enabled  # type: ignore[union-attr]


def test_an_operator_adjusts_a_balance_with_a_reason(console: Console, browser: Browser) -> None:
    answer = browser.submit(f"{PAGE}/adjustments", amount="−8.75", reason=" goodwill  ")
    assert answer.headers["location"] == f"{PAGE}?said=adjusted"
    assert console.world.accounts[TENANT].balance_micros == 40 * UNIT
    entry = console.access.audit(frozenset({TENANT}), None, 1).items[0]
    assert (entry["actor"], entry["action"]) == ("somebody", "credits.adjusted.v1")
    assert '"reason": "goodwill"' in str(entry["details"])


@pytest.mark.parametrize(
    ("amount_", "reason", "said_"),
    [("x", "r", "not_an_amount"), ("5", " ", "no_reason"), ("0", "r", "zero"), ("9007199254", "r", "above_maximum")],
)
def test_an_adjustment_that_is_refused_is_explained(browser: Browser, amount_: str, reason: str, said_: str) -> None:
    location = browser.submit(f"{PAGE}/adjustments", amount=amount_, reason=reason).headers["location"]
    assert location == f"{PAGE}?said={said_}"
    assert said.SAID[said_].text in browser.get(location).text


def test_an_operator_sets_all_licences_in_one_form(console: Console, browser: Browser) -> None:
    """Lines without a number are left out, and the form shows what holds now."""
    lines = {"plan": ["MCOPSTN1", "MCOMEETADD", "MCOPSTN5", "MCOPSTN6"], "country": [" gb", "US", "FR", ""]}
    answer = browser.post(
        f"{PAGE}/licences", data={"csrf": browser.csrf, "key": "k", **lines, "count": ["٣", "10", "0", ""]}
    )
    assert answer.headers["location"] == f"{PAGE}?said=licences_set"
    held = [
        (each.capability, each.country, each.count) for each in console.world.accounts[TENANT].licences[-1].licences
    ]
    assert held == [("MCOPSTN1", "GB", 3), ("MCOMEETADD", "US", 10)]
    text = browser.get(PAGE).text
    assert "<option selected>MCOPSTN1</option>" in text
    assert 'value="GB"' in text
    assert console.access.audit(frozenset({TENANT}), None, 1).items[0]["action"] == "credits.licences.set.v1"


@pytest.mark.parametrize(
    "wrong",
    [{"count": "-1"}, {"count": "1.5"}, {"count": "99999999"}, {"country": "GBR"}, {"country": ""}, {"plan": ""}],
)
def test_a_line_that_is_no_licence_changes_nothing(console: Console, browser: Browser, wrong: dict[str, str]) -> None:
    line = {"plan": "MCOPSTN1", "country": "GB", "count": "1", **wrong}
    assert browser.submit(f"{PAGE}/licences", **line).headers["location"] == f"{PAGE}?said=not_a_licence"
    assert console.sent == []


def test_an_operator_resets_a_suspended_auto_pay(console: Console, browser: Browser) -> None:
    console.world.tell(autopay(50, 49))
    for _ in range(3):
        in_flight = console.world.accounts[TENANT].recharge.in_flight
        assert in_flight is not None
        console.world.tell(decided(in_flight, "declined"))
        console.world.now += timedelta(days=2)
        console.world.tell(call(60, console.world.now))
    assert console.world.accounts[TENANT].recharge.suspended
    assert "Auto-pay is suspended" in browser.get(PAGE).text
    assert browser.submit(f"{PAGE}/reset").headers["location"] == f"{PAGE}?said=reset"
    assert not console.world.accounts[TENANT].recharge.suspended
    assert console.access.audit(frozenset({TENANT}), None, 1).items[0]["action"] == "credits.recharge.reset.v1"


def test_two_forms_of_one_page_are_two_changes(console: Console, browser: Browser) -> None:
    """The key of a page is the form's own: going back and using another form is no repetition."""
    assert browser.submit(f"{PAGE}/funds", amount="60", key="page").headers["location"].endswith("funded")
    assert (
        browser.submit(f"{PAGE}/adjustments", amount="1", reason="r", key="page")
        .headers["location"]
        .endswith("adjusted")
    )


def test_without_an_answer_the_page_says_that_the_change_is_stored(
    console: Console, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.console.forms.DEFAULT_WAIT_S", 0.0)
    console.answering = False
    assert browser.submit(f"{PAGE}/funds", amount="60").headers["location"] == f"{PAGE}?said=pending"


def test_the_ledger_filters_and_explains_a_charge(browser: Browser) -> None:
    assert browser.get(f"{PAGE}/ledger").text.count("Explain this charge") == 2
    assert browser.get(f"{PAGE}/ledger?kind=fund&since=&until=").text.count("Explain this charge") == 0
    text = browser.get(f"{PAGE}/ledger/3").text
    assert "The user has no calling plan, so credits pay from the first minute." in text
    assert "It was connected for 90 seconds." in text
    assert "120 seconds were billed at $0.10 per minute." in text
    assert "A connection fee of $0.05 was added." in text
    assert browser.get(f"{PAGE}/ledger/99").status_code == 404


def test_every_page_says_how_far_it_is_behind_the_meter(console: Console, browser: Browser) -> None:
    pages_ = ("/", PAGE, f"{PAGE}/ledger", f"{PAGE}/ledger/3")
    assert all("Up to date with the meter." in browser.get(path).text for path in pages_)
    console.state.lag.look({("ledger.v1", 0): 7})
    assert all("7 records behind the meter." in browser.get(path).text for path in pages_)


def test_arabic_reads_from_right_to_left_with_money_and_dates_of_its_own(browser: Browser) -> None:
    text = browser.get(PAGE, headers={"Accept-Language": "ar-EG,en;q=0.5"}).text
    assert '<html lang="ar" dir="rtl">' in text
    assert "إضافة أموال أخرى" in text
    assert "المملكة المتحدة" in text
    assert "US$" in text
    assert "Save changes" not in text


def test_a_language_of_the_address_and_the_local_operator_are_in_the_readers_language(console: Console) -> None:
    client = console.client()
    client.post("/login", data={"token": console.links[-1]})
    arabic, english = client.get(f"{PAGE}?lang=ar").text, client.get(f"{PAGE}?lang=en").text
    assert "المشغّل المحلي" in arabic
    assert "local operator" in english
    assert "local operator" not in arabic
    assert 'data-news="The balance is now $48.75."' in english


def test_pools_show_what_is_used_of_what_the_licences_give(console: Console, browser: Browser) -> None:
    held = [("MCOPSTN1", "GB", 2), ("MCOPSTN2", "US", 1), ("MCOMEETADD", "US", 10)]
    licences = [{"capability": capability, "country": country, "count": count} for capability, country, count in held]
    answer = console.client(Role.OPERATOR).put(f"/v1/accounts/{TENANT}/licences", json={"licences": licences})
    assert answer.json()["status"] == "applied"
    console.world.now += timedelta(minutes=20)
    start = console.world.now - timedelta(minutes=10)
    console.world.tell(call(600, start, capability="MCOPSTN1", user_country="GB", user_id="u"))
    text = browser.get(PAGE).text
    for shown in ("10 of 2,400 minutes", "0 of 3,000 minutes", "0 of 600 minutes"):
        assert shown in text, shown
    assert 'aria-label="International calls, United States (MCOPSTN2)"' in text
    assert "The minutes of the calling plan cover this call." in browser.get(f"{PAGE}/ledger/4").text


def test_a_reader_with_one_tenant_goes_straight_to_it(console: Console) -> None:
    assert console.browser(Role.VIEWER, TENANT).get("/").headers["location"] == PAGE


def test_the_list_searches_and_shows_who_is_in_debt(browser: Browser) -> None:
    text = browser.get("/?search=oth").text
    assert "other" in text
    assert TENANT not in text
    assert 'class="number debt"' in text


def test_every_text_of_the_pages_is_translated_with_the_same_values() -> None:
    options = {"**/templates/**.html": {"extensions": "jinja2.ext.i18n", "newstyle_gettext": "true"}}
    methods = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
    keywords = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
    found = extract_from_dir(CONSOLE, methods, options, keywords)
    texts = {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}
    with (CONSOLE / "locale" / "ar" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale="ar")
    translated = {m.id if isinstance(m.id, str) else m.id[0]: m.string for m in catalogue if m.id}
    assert texts - {""} == set(translated)
    values = re.compile(r"%\(\w+\)s")
    for text, translation in translated.items():
        for form in [translation] if isinstance(translation, str) else translation:
            assert form, text
            assert set(values.findall(form)) == set(values.findall(text)), text


@pytest.mark.parametrize(
    ("typed", "micros"), [("50", 50 * UNIT), (" 50.25 ", 50_250_000), ("٥٠٫٢٥", 50_250_000), ("−5", -5 * UNIT)]
)
def test_amounts_are_read_in_any_digits(typed: str, micros: int) -> None:
    assert amount(typed) == micros


@pytest.mark.parametrize("typed", ["", "1e3", "1,000", "0x10", "½", "²", "nan", "9" * 30])
def test_what_is_no_amount_is_refused(typed: str) -> None:
    with pytest.raises(NotAnAmountError):
        amount(typed)


def test_money_shows_the_decimals_it_has(console: Console) -> None:
    english = TEXTS["en"]
    assert english.money(-157_583, "USD") == "-$0.157583"
    assert english.money(1_234_500_000, "USD") == "$1,234.50"
    assert english.money(5_000_000, "JPY") == "¥5"


@pytest.mark.parametrize(
    ("wanted", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "ar", "ar"),
        ("en", "ar", "en"),
        ("xx", "de, AR-EG;q=0.5", "ar"),
        (None, "*", "en"),
        (None, "en;q=0.3, ar;q=0.8", "ar"),
        (None, "ar;q=0, en;q=0.1", "en"),
        (None, "ar;q=much, en;q=0.1", "en"),
        (None, "ar, en", "ar"),
    ],
)
def test_the_language_is_the_readers_choice_or_the_browsers(
    wanted: str | None, accepted: str | None, language: str
) -> None:
    assert best_language(wanted, accepted) == language


def test_the_chart_is_mirrored_for_right_to_left() -> None:
    days = [Consumption("2026-03-14", 1, 0, 0, 1), Consumption("2026-03-15", 2, 0, 0, 1)]
    left, right = bars(days, rtl=False), bars(days, rtl=True)
    assert [bar.height for bar in left] == [HEIGHT / 2, HEIGHT]
    assert [bar.x for bar in left] == [bar.x for bar in reversed(right)]


async def _woken() -> int:
    signal = changes.ChangeSignal()
    signal.bind()
    with signal.watch("a") as watch:
        signal.stored(["b", "a"])
        await watch.wait(0, 30)
        signal.stored(["b"])
        await watch.wait(1, 0)
        signal.wake()
        await watch.wait(1, 30)
        return watch.count


def test_a_waiting_request_wakes_with_the_next_commit_about_its_tenant() -> None:
    assert asyncio.run(_woken()) == 2


def test_live_updates_end_when_the_token_is_revoked(console: Console) -> None:
    token = console.access.add_token(Principal("finance", Role.VIEWER, None), 1)
    secret = console.access.exchange(token) or ""
    session = console.access.session(secret)
    assert session is not None
    reader = Reader(Request({"type": "http"}), session, secret, "en")
    scope = Scope(TENANT, session.principal, console.state)

    async def events() -> list[str]:
        console.signal.bind()
        seen = []
        async for event in pages._changes(reader, scope, console.queries.version(TENANT)):
            seen.append(event)
            if len(seen) == 1:
                assert console.access.revoke_token("finance")
                console.world.tell(call(60))
            console.signal.stored([TENANT])
        return seen

    assert [event.partition(":")[0] for event in asyncio.run(events())] == ["retry", "data"]


def test_the_export_begins_before_the_last_entry_is_read(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.console.queries.CSV_CHUNK", 10)
    console.world.tell(*[call(60) for _ in range(300)])
    read: list[Document] = []

    def counted() -> Iterator[Document]:
        for entry in console.queries.every_entry(TENANT, Filter()):
            read.append(entry)
            yield entry

    lines = csv_lines(counted())
    assert next(lines).startswith("entry_id,")
    assert 0 < len(read) < 200
    assert list(lines)
    assert len(read) == 303


class _Counting(Queries):
    looks = 0

    def version(self, tenant: str) -> str:
        self.looks += 1
        return super().version(tenant)


def test_open_pages_look_once_when_their_tenant_changes_and_never_for_others(console: Console) -> None:
    queries = _Counting(console.world.engine)
    state = console.state._replace(queries=queries)
    secret = console.access.open_session(Principal("somebody", Role.VIEWER, None))
    session = console.access.session(secret)
    assert session is not None
    request = Request({"type": "http"})
    reader, scope = Reader(request, session, secret, "en"), Scope(TENANT, session.principal, state)

    async def news(shown: str, waiting: asyncio.Semaphore) -> str:
        events = pages._changes(reader, scope, shown)
        assert (await anext(events)).startswith("retry")
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)  # it has begun to watch
        waiting.release()
        while not (event := await following).startswith("data"):
            following = asyncio.ensure_future(anext(events))
        await events.aclose()
        return event

    async def scenario(readers: int) -> list[str]:
        console.signal.bind()
        shown, waiting = console.queries.version(TENANT), asyncio.Semaphore(0)
        streams = [asyncio.create_task(news(shown, waiting)) for _ in range(readers)]
        for _ in streams:
            await waiting.acquire()
        with console.signal.watch(TENANT) as watch:
            await watch.version(partial(queries.version, TENANT))
        for _ in range(20):
            console.world.tell(call(60, tenant_id="other"))
            console.signal.stored(["other"])
            await asyncio.sleep(0)
        console.world.tell(call(60))
        console.signal.stored([TENANT])
        return await asyncio.gather(*streams)

    assert len({*asyncio.run(scenario(30))}) == 1
    assert asyncio.run(pages.live(reader, scope)).headers["x-accel-buffering"] == "no"
    assert queries.looks == 2
