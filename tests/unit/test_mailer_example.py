"""The mailer example: one mail per notification, in the reader's language and direction, whatever the server does."""

import smtplib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from threading import Event
from typing import Any, get_args

import msgspec
import pytest

from examples.mailer.letters import HERE, ISOLATE, Letters, money
from examples.mailer.mailer import Mailer, Memory
from processor.contracts.outputs import notice_record
from processor.domain.ledger import Notice, NoticeKind
from tests.mail_server import Postbox, postbox

__all__ = ["postbox"]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENDER = "Credits <credits@example.com>"
RECIPIENTS = {
    "default": {"to": ["operations@example.com"], "language": "en"},
    "tenants": {"acme": {"to": ["billing@acme.example", "it@acme.example"], "language": "ar"}},
}


def event(kind: str = "recharge.failed", tenant: str = "t1", cause: str = "t1:1", **details: Any) -> dict[str, Any]:
    notice = Notice(
        kind=kind,  # type: ignore[arg-type]
        tenant_id=tenant,
        cause=cause,
        balance_micros=-1_500_000,
        currency="USD",
        amount_micros=50_000_000,
        **details,
    )
    found: dict[str, Any] = msgspec.json.decode(notice_record(notice, NOW))
    return found


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


class World:
    """A mailer, its memory and its mail server."""

    def __init__(self, postbox: Postbox, memory: Path, recipients: dict[str, Any] = RECIPIENTS) -> None:
        host, port = postbox.address.split(":")
        self.memory, self.stop = Memory(memory), Event()
        self.mailer = Mailer(
            Letters(), recipients, self.memory, lambda: smtplib.SMTP(host, int(port)), SENDER, self.stop
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.mailer.mailer.FIRST_PAUSE_S", 0.01)


@pytest.fixture
def world(postbox: Postbox, tmp_path: Path) -> Iterator[World]:
    opened = World(postbox, tmp_path / "mailed.sqlite")
    yield opened
    opened.memory.close()


def test_a_notification_is_mailed_once_to_the_tenants_people_in_text_and_html(world: World, postbox: Postbox) -> None:
    failed = event(reason="insufficient_funds")
    assert world.mailer.handle(failed)
    assert world.mailer.handle(failed)
    assert world.mailer.handle(event(cause="t1:2"))
    assert len(postbox.mails) == 2
    mail = postbox.mails[0]
    assert postbox.recipients[0] == ["operations@example.com"]
    assert mail["Subject"] == "Your automatic payment failed"
    assert "payment of 50.00 USD did not succeed: the card has not enough funds." in body(mail, "plain")
    assert "-1.50 USD" in body(mail, "plain")
    assert '<html lang="en" dir="ltr">' in body(mail, "html")
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "en")


def test_arabic_mails_run_from_right_to_left_and_keep_amounts_together(world: World, postbox: Postbox) -> None:
    world.mailer.handle(event("recharge.succeeded", tenant="acme"))
    mail = postbox.mails[0]
    assert postbox.recipients[0] == ["billing@acme.example", "it@acme.example"]
    assert '<html lang="ar" dir="rtl">' in body(mail, "html")
    assert f"{ISOLATE}50.00 USD" in body(mail, "html")
    assert f"{ISOLATE}50.00 USD" in mail["Subject"]
    assert "رصيدكم" in body(mail, "plain")


def test_what_was_mailed_is_remembered_by_the_next_process(world: World, postbox: Postbox, tmp_path: Path) -> None:
    world.mailer.handle(event())
    again = World(postbox, tmp_path / "mailed.sqlite")
    again.mailer.handle(event())
    again.memory.close()
    assert len(postbox.mails) == 1


def test_a_mail_that_must_be_sent_twice_has_the_same_message_id(postbox: Postbox, tmp_path: Path) -> None:
    for name in ("before", "after a crash that lost the memory"):
        world = World(postbox, tmp_path / name)
        world.mailer.handle(event())
        world.memory.close()
    assert len({mail["Message-ID"] for mail in postbox.mails}) == 1
    assert len(postbox.mails) == 2
    assert str(postbox.mails[0]["Message-ID"]).endswith("@example.com>")


def test_a_busy_server_is_tried_again_until_it_takes_the_mail(world: World, postbox: Postbox) -> None:
    postbox.busy = 3
    assert world.mailer.handle(event())
    assert len(postbox.mails) == 1


def test_a_server_that_is_away_holds_the_notification_back_until_the_mailer_is_stopped(
    postbox: Postbox, tmp_path: Path
) -> None:
    postbox.address = "127.0.0.1:1"
    world = World(postbox, tmp_path / "memory")
    world.stop.set()
    assert not world.mailer.handle(event())
    assert identity_count(world) == 0
    world.memory.close()


def test_recipients_that_do_not_exist_do_not_hold_up_the_others(world: World, postbox: Postbox) -> None:
    postbox.refused = {"operations@example.com"}
    assert world.mailer.handle(event())
    assert world.mailer.handle(event(tenant="acme"))
    assert postbox.recipients == [["billing@acme.example", "it@acme.example"]]


def test_a_tenant_without_recipients_gets_no_mail(postbox: Postbox, tmp_path: Path) -> None:
    world = World(postbox, tmp_path / "memory", {"tenants": RECIPIENTS["tenants"]})
    assert world.mailer.handle(event())
    assert postbox.mails == []
    world.memory.close()


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("kind", [*get_args(NoticeKind), "news.from.tomorrow"])
def test_every_kind_of_notice_has_a_text_in_every_language(kind: str, language: str) -> None:
    details = {"reason": "card_declined", "percent": 80, "month": "2026-03", "pool": "MCOPSTN1:US"}
    mail = Letters().write({**event(**details), "type": f"credits.{kind}.v1"}, SENDER, ["a@b.example"], language)
    texts = tomllib.loads((HERE / "texts" / f"{language}.toml").read_text())
    assert (kind in texts) is (kind in get_args(NoticeKind))
    assert mail["Subject"]
    assert "{{" not in mail.as_string()
    assert texts["footer"] in body(mail, "plain")


def test_a_language_without_texts_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    recipients = tmp_path / "recipients.toml"
    recipients.write_text('[tenants.acme]\nto = ["a@example.com"]\nlanguage = "tlh"\n')
    line = [sys.executable, "-m", "examples.mailer", "--sender", SENDER, "--recipients", str(recipients)]
    done = subprocess.run(line, cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no texts in tlh" in done.stderr


def test_every_language_has_the_same_texts() -> None:
    languages = [tomllib.loads(path.read_text()) for path in (HERE / "texts").glob("*.toml")]
    assert len(languages) == 2
    for part in ("labels", "reasons"):
        assert languages[0][part].keys() == languages[1][part].keys()
    assert languages[0].keys() == languages[1].keys()


def test_what_a_tenant_is_called_cannot_become_html(world: World, postbox: Postbox) -> None:
    world.mailer.handle(event(tenant="<script>alert(1)</script>"))
    assert "<script>" not in body(postbox.mails[0], "html")


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (50_000_000, "50.00 USD"),
        (15_000, "0.015 USD"),
        (-1, "-0.000001 USD"),
        (1_234_500_000, "1,234.50 USD"),
        (0, "0.00 USD"),
    ],
)
def test_money_has_two_decimals_or_as_many_as_it_needs(micros: int, text: str) -> None:
    assert money(micros, "USD") == text


def identity_count(world: World) -> int:
    return int(world.memory._database.execute("SELECT count(*) FROM mailed").fetchone()[0])
