"""Microsoft Graph as its pages say it behaves: tokens, pages, throttling, refusals. A stub on the loopback answers."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest

from processor.adapters.graph_api import ATTEMPTS, Access, GraphApi, GraphError, Stopped
from tests.graph_stub import SECRET, Answer, GraphStub, running

START, END = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def stub() -> Iterator[GraphStub]:
    with running(GraphStub()) as served:
        served.rows["getPstnCalls"] = [
            {"id": f"row-{minute}", "startDateTime": f"2026-03-02T00:{minute:02}:00Z"} for minute in range(5)
        ]
        yield served


class Pauses:
    """Remembers how long it was to wait, and waits not at all; tells to stop after so many."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.seconds: list[float] = []
        self._stop_after = stop_after

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return self._stop_after is not None and len(self.seconds) >= self._stop_after


def access(stub: GraphStub, secret: str = SECRET) -> Access:
    return Access(
        directory_id="directory",
        client_id="application",
        client_secret=secret,
        graph_url=f"{stub.url}/v1.0",
        login_url=stub.url,
    )


def ids(api: GraphApi, log: str = "pstn", start: datetime = START, end: datetime = END) -> list[str]:
    return [msgspec.json.decode(row)["id"] for page in api.pages(log, start, end) for row in page]  # type: ignore[arg-type]


def test_all_pages_are_read_with_one_token(stub: GraphStub) -> None:
    assert ids(GraphApi(access(stub), Pauses())) == [f"row-{minute}" for minute in range(5)]
    assert len(stub.asked) == 3
    assert stub.tokens_given == 1


def test_the_direct_routing_log_is_another_function(stub: GraphStub) -> None:
    stub.rows["getDirectRoutingCalls"] = [{"id": "dr", "startDateTime": "2026-03-02T00:00:00Z"}]
    assert ids(GraphApi(access(stub), Pauses()), "direct-routing") == ["dr"]


def test_the_next_link_is_followed_in_its_other_spelling(stub: GraphStub) -> None:
    api = GraphApi(access(stub), Pauses())
    ids(api)
    page = {"value": [], "@odata.NextLink": f"{stub.url}{stub.asked[-1]}"}
    stub.answers.append(Answer(200, body=msgspec.json.encode(page)))
    assert ids(api) == ["row-4"]


def test_throttling_is_waited_for_as_long_as_it_says(stub: GraphStub) -> None:
    stub.answers += [Answer(429, {"Retry-After": "17"}), Answer(503), Answer(504)]
    pauses = Pauses()
    assert len(ids(GraphApi(access(stub), pauses))) == 5
    assert pauses.seconds == [17, 2, 4]


def test_a_date_to_retry_after_is_understood(stub: GraphStub) -> None:
    stub.answers += [
        Answer(429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)}),
        Answer(429, {"Retry-After": format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)}),
        Answer(429, {"Retry-After": "999999999999"}),
        Answer(429, {"Retry-After": "soon"}),
    ]
    pauses = Pauses()
    ids(GraphApi(access(stub), pauses))
    first, second, third, fourth = pauses.seconds
    assert 90 < first <= 100
    assert (second, third, fourth) == (0, 3600, 8)


def test_patience_ends_and_says_so(stub: GraphStub) -> None:
    stub.answers += [Answer(503)] * ATTEMPTS
    pauses = Pauses()
    with pytest.raises(GraphError, match="answers 503, after 8 attempts"):
        ids(GraphApi(access(stub), pauses))
    assert pauses.seconds == [1, 2, 4, 8, 16, 32, 60]


def test_a_silent_host_is_tried_again_and_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        stub = GraphStub()
        stub.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(GraphError, match="does not answer"):
            ids(GraphApi(access(stub), Pauses()))


def test_a_stop_ends_the_waiting(stub: GraphStub) -> None:
    stub.answers += [Answer(429)] * 3
    with pytest.raises(Stopped):
        ids(GraphApi(access(stub), Pauses(stop_after=2)))


def test_a_token_is_renewed_before_its_end(stub: GraphStub) -> None:
    now = 0.0
    api = GraphApi(access(stub), Pauses(), clock=lambda: now)
    ids(api)
    now = 3299.0
    ids(api)
    assert stub.tokens_given == 1
    now = 3301.0
    ids(api)
    assert stub.tokens_given == 2


def test_a_revoked_token_is_replaced_once(stub: GraphStub) -> None:
    api = GraphApi(access(stub), Pauses())
    ids(api)
    stub.tokens_given += 1  # what the application holds is not valid any more
    assert len(ids(api)) == 5
    stub.answers += [Answer(401), Answer(401)]
    with pytest.raises(GraphError, match=r"CallRecord-PstnCalls\.Read\.All"):
        ids(api)


def test_a_wrong_secret_is_told_without_showing_it(stub: GraphStub) -> None:
    with pytest.raises(GraphError, match="401 invalid_client") as caught:
        ids(GraphApi(access(stub, "wrong"), Pauses()))
    assert "wrong" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_is_told_by_its_code_with_a_remedy(stub: GraphStub, status: int) -> None:
    stub.answers.append(Answer(status, body=b'{"error": {"code": "Forbidden", "message": "private"}}'))
    with pytest.raises(GraphError, match=f"{status} Forbidden") as caught:
        ids(GraphApi(access(stub), Pauses()))
    assert "private" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"value": 1}', b"\xff"])
def test_an_answer_of_something_else_is_told(stub: GraphStub, body: bytes) -> None:
    stub.answers.append(Answer(200, body=body))
    with pytest.raises(GraphError, match="did not answer with a page"):
        ids(GraphApi(access(stub), Pauses()))


def test_the_token_goes_to_no_other_host(stub: GraphStub) -> None:
    stub.next_host = "http://localhost:1"
    with pytest.raises(GraphError, match="another host"):
        ids(GraphApi(access(stub), Pauses()))


def test_a_page_that_leads_to_itself_is_no_endless_loop(stub: GraphStub) -> None:
    api = GraphApi(access(stub), Pauses())
    ids(api)
    page = {"value": [], "@odata.nextLink": stub.url + stub.asked[0]}
    stub.answers.append(Answer(200, body=msgspec.json.encode(page)))
    with pytest.raises(GraphError, match="this one"):
        ids(api)


@pytest.mark.parametrize("field", ["graph_url", "login_url"])
def test_the_secret_does_not_travel_in_the_clear(field: str) -> None:
    addresses = {"graph_url": "https://graph.example/v1.0", "login_url": "https://login.example"}
    with pytest.raises(ValueError, match="not https"):
        Access(directory_id="d", client_id="c", client_secret=SECRET, **addresses | {field: "http://login.example"})
