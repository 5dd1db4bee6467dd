"""The inbox keeps the first command and the first answer of every recharge, in SQLite and in PostgreSQL alike."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from processor.payments.inbox import CARD_CHANGED, Inbox, InboxUnusable
from processor.payments.provider import Charge, Decision
from tests.postgres import postgres, server

__all__ = ["postgres", "server"]

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
YES = Decision(status="succeeded", decided_at=NOW, reference="pi_1", card_fingerprint="f1")
NO = Decision(status="declined", decided_at=NOW, reason_code="insufficient_funds", retryable=True)


def charge(recharge_id: str, amount_micros: int = 50_000_000, method: str = "cus_1/pm_1") -> Charge:
    return Charge(
        recharge_id=recharge_id,
        tenant_id=recharge_id.partition(":")[0],
        amount_micros=amount_micros,
        currency="USD",
        payment_method_ref=method,
        requested_at=NOW,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'inbox.sqlite'}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def inbox(url: str) -> Iterator[Inbox]:
    opened = Inbox(url)
    yield opened
    opened.close()


def test_the_first_command_under_an_id_counts_and_the_order_is_kept(inbox: Inbox) -> None:
    inbox.receive([charge("a:1")])
    found = inbox.receive([charge("b:1"), charge("a:1", amount_micros=1, method="cus_2/pm_2")])
    assert list(found) == ["b:1", "a:1"]
    assert found["a:1"].charge == charge("a:1")
    assert found["a:1"].decision is None


def test_a_repetition_tells_how_old_the_recharge_may_be(inbox: Inbox) -> None:
    inbox.receive([charge("a:1")])
    again = structs.replace(charge("a:1"), attempt=2, requested_at=NOW + timedelta(days=1))
    assert inbox.receive([again])["a:1"].charge == again


def test_what_is_being_asked_is_remembered_with_its_time_by_whoever_opens_the_database_next(url: str) -> None:
    before = Inbox(url)
    before.receive([charge("a:1")])
    before.charging("a:1")
    asked_at = before.receive([charge("a:1")])["a:1"].charge.asked_at
    assert asked_at is not None
    assert datetime.now(UTC) - asked_at < timedelta(minutes=1)
    before.charging("a:1")
    before.close()
    after = Inbox(url)
    assert after.receive([charge("a:1")])["a:1"].charge.asked_at == asked_at
    after.close()


def test_workers_that_start_together_make_one_table(url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        inboxes = list(threads.map(Inbox, [url] * 8))
    inboxes[0].receive([charge("a:1")])
    assert all(inbox.open()["received"] == 1 for inbox in inboxes)
    for inbox in inboxes:
        inbox.close()


def test_the_first_answer_stays(inbox: Inbox) -> None:
    inbox.receive([charge("a:1")])
    assert inbox.decide("a:1", NO) == NO
    assert inbox.decide("a:1", YES) == NO
    assert inbox.receive([charge("a:1")])["a:1"].decision == NO


def test_rows_move_on_and_never_back(inbox: Inbox) -> None:
    inbox.receive([charge("a:1"), charge("b:1"), charge("c:1")])
    assert inbox.open() == {"received": 3, "charging": 0, "decided": 0}
    inbox.charging("a:1")
    inbox.decide("b:1", YES)
    assert inbox.open() == {"received": 1, "charging": 1, "decided": 1}
    assert sorted(inbox.unpublished()) == ["a:1", "b:1", "c:1"]
    inbox.published(["b:1"])
    inbox.charging("b:1")
    assert inbox.open() == {"received": 1, "charging": 1, "decided": 0}
    assert inbox.receive([charge("b:1")])["b:1"].decision == YES
    inbox.published(["a:1"])  # settled by a person, while the provider was being asked
    assert inbox.open() == {"received": 1, "charging": 0, "decided": 0}
    assert inbox.decide("a:1", NO) == NO
    assert inbox.open() == {"received": 1, "charging": 0, "decided": 0}


def test_another_card_under_the_same_payment_method_is_noticed_once(inbox: Inbox) -> None:
    inbox.receive([charge("a:1"), charge("a:2"), charge("a:3"), charge("b:1", method="cus_2/pm_9")])
    other = structs.replace(YES, card_fingerprint="f2", decided_at=NOW + timedelta(hours=1))
    assert inbox.decide("a:1", YES).reason_code is None
    assert inbox.decide("b:1", other).reason_code is None
    assert inbox.decide("a:2", other).reason_code == CARD_CHANGED
    later = structs.replace(other, decided_at=NOW + timedelta(hours=2))
    assert inbox.decide("a:3", later).reason_code is None


def test_large_amounts_are_exact(inbox: Inbox) -> None:
    huge = charge("a:1", amount_micros=9_007_199_254_740_993)
    assert inbox.receive([huge])["a:1"].charge == huge


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("mysql://somewhere/x", "SQLite or PostgreSQL"),
        ("nonsense", "cannot be opened"),
        ("sqlite:////nonexistent/inbox.sqlite", "cannot be opened: unable to open database file"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "cannot be opened: connection failed"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_without_showing_its_password(bad: str, says: str) -> None:
    with pytest.raises(InboxUnusable, match=says) as caught:
        Inbox(bad)
    assert "secret" not in str(caught.value)
