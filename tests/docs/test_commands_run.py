"""Every command that a person types from a page is run, in the page's order, on a real broker.

Here or in the test that `ELSEWHERE` names; what no test can run says why.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from processor.embedded import artifacts
from processor.embedded.broker import free_port
from tests.crash.platform import write_deck
from tests.crash.workers import wait_until
from tests.docs.pages import PAGES, ROOT, name_of, typed
from tests.docs.scenes import ELSEWHERE, SCENES, Scene
from tests.docs.terminal import Terminal
from tests.graph_stub import SECRET, GraphStub, running
from tests.kafka_tools import install
from tests.mail_server import Postbox, postbox
from tests.postgres import postgres, server
from tests.stripe_servers import FakeStripe, fake_stripe
from tests.unit.vendor_rows import FIXTURES

# What kafka-python does while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")

__all__ = ["fake_stripe", "postbox", "postgres", "server"]

CARD = """\
Destination Name,Destination Type,Country,Prefix,Price / min
United Kingdom,Landline,GB,44,0.015
United Kingdom - Mobile,Mobile,GB,447,0.32
France - Mobile,Mobile,FR,336,0.12
France - Mobile,Mobile,FR,3361,0.125
"""
PAGE_S = 900
"""How long a page may take on a busy machine; on an idle one the longest takes about a minute."""


def begins(line: str, start: str) -> bool:
    return line.removeprefix("$ ").removeprefix(".venv/bin/").startswith(start)


def starting(line: str, said: Mapping[str, Any], otherwise: Any = None) -> Any:
    """Returns what is said about lines that begin like this one."""
    return next((value for start, value in said.items() if begins(line, start)), otherwise)


LINES = {
    name_of(page): lines for page in PAGES if (lines := [line for line in typed(page) if not starting(line, ELSEWHERE)])
}
LOOKS = re.compile(r"credits (balance|ledger|verify)\b")
"""Commands that show what other processes do, which takes them a moment."""


@pytest.fixture
def files(tmp_path: Path, kafka_fetched: None) -> Path:
    """A directory with every file that a page names."""
    for name, fixture in {
        "calls.json": "graph-pstn-page-1.json",
        "Master.csv": "asterisk-master.csv",
        "Master-berlin.csv": "asterisk-master-uniqueid.csv",
        "calls-twilio.json": "twilio-calls.json",
    }.items():
        shutil.copy(FIXTURES / fixture, tmp_path / name)
    for name in ("carrier", "premium", "deck", "carrier-in-use", "carrier-2026-06", "carrier-2026-07"):
        write_deck(tmp_path / f"{name}.csv")
    (tmp_path / "pstn-rates.csv").write_text(CARD)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    install(tmp_path)
    return tmp_path


@pytest.fixture
def graph() -> Iterator[GraphStub]:
    with running(GraphStub()) as stub:
        yield stub


@pytest.fixture
def terminal(
    files: Path, graph: GraphStub, postbox: Postbox, fake_stripe: FakeStripe
) -> Iterator[Callable[..., Terminal]]:
    """Opens a terminal against a broker; what a page calls by other names is here what the fixtures made."""
    with ExitStack() as opened:

        def open_terminal(brokers: str | None, **places: str) -> Terminal:
            port, kafka_port = free_port(), free_port()
            brokers = brokers or f"127.0.0.1:{kafka_port}"
            common = {
                ".venv/bin/": "",
                "credits kafka up": f"credits kafka up --port {kafka_port}",
                "kafka-1:9092,kafka-2:9092": brokers,
                "kafka-test-1:9092": brokers,
                "kafka-1:9092": brokers,
                "--partitions 64 --replication 3": "--partitions 8 --replication 1",
                "--replication 3": "--replication 1",
                "/var/lib/credits": str(files / "var"),
                "/run/secrets/graph": str(files / "secret"),
                "11111111-2222-3333-4444-555555555555": "directory",
                "66666666-7777-8888-9999-000000000000": "application",
                "--port 8080": f"--port {port}",
                "127.0.0.1:8080": f"127.0.0.1:{port}",
                "--public-url": f"--port {port} --public-url",
                "--metrics-port 9465": "--metrics-port 0",
                "dead-letters replay 3-17 3-18": "dead-letters replay $LETTER",
                "dead-letters show 3-17": "dead-letters show $LETTER",
                "mail.internal:25": postbox.address,
                "curl -H": "curl --fail-with-body --silent --show-error -H",
                "--rate 500 --skew": "--rate 500 --skew --seconds 1",
                "--events 1000000": "--events 1000",
                "--rate 200 --seconds 10": "--rate 0 --events 2000",
                "--follow 60": "--follow 1",
                "verify --follow": "verify --follow --metrics-port 0",
            }
            environment = {
                "CREDITS_BROKERS": brokers,
                "CREDITS_SESSION_TIMEOUT_S": "3",  # pages start one worker after another, each under a new name
                "CREDITS_TRANSACTION_TIMEOUT_S": "3",
                "CREDITS_GRAPH_URL": f"{graph.url}/v1.0",
                "CREDITS_GRAPH_LOGIN_URL": graph.url,
                "CREDITS_STRIPE_API_BASE": fake_stripe.address,
                "HOME": str(files),
                "XDG_CACHE_HOME": str(artifacts.cache_dir().parents[1]),
                "PYTHONPATH": str(ROOT),
            }
            return opened.enter_context(Terminal(files, common | places, environment))

        yield open_terminal


def follow(terminal: Terminal, line: str, code: int, promised: re.Pattern[str]) -> None:
    """Types a line that must show what is promised; one that only looks is typed again until it does."""
    shown = ""

    def kept() -> bool:
        nonlocal shown
        shown = terminal.type(line, code)
        return promised.search(shown) is not None

    if LOOKS.match(line) and promised.pattern:
        wait_until(f"{line} shows {promised.pattern}", kept)
    else:
        assert kept(), f"{line}: {shown}"


def run(terminal: Terminal, page: str) -> None:
    """Types what the scene wants and the page, and looks at what it promises."""
    scene = SCENES.get(page, Scene())
    for line in scene.before:
        terminal.type(line)
    for line in [*LINES[page], *scene.after]:
        for earlier in starting(line, scene.first, []):
            terminal.type(earlier)
        follow(terminal, line, starting(line, scene.codes, 0), re.compile(starting(line, scene.shows, "")))


@pytest.mark.timeout(PAGE_S)
@pytest.mark.parametrize("page", LINES)
def test_every_command_of_a_page_runs(
    page: str, terminal: Callable[..., Terminal], request: pytest.FixtureRequest
) -> None:
    places = {}
    if "postgresql://" in "".join(LINES[page]):
        places["postgresql://credits@db.internal/payments"] = request.getfixturevalue("postgres")
    own = SCENES.get(page, Scene()).own_broker
    run(terminal(None if own else request.getfixturevalue("topics"), **places), page)


@pytest.mark.parametrize("page", SCENES)
def test_what_a_scene_says_about_a_line_is_about_a_line_of_its_page(page: str) -> None:
    scene = SCENES[page]
    lines = [*LINES[page], *scene.after]
    said = [*scene.first, *scene.codes, *scene.shows]
    assert [start for start in said if not any(begins(line, start) for line in lines)] == []


@pytest.mark.parametrize("start", ELSEWHERE)
def test_what_is_said_to_be_run_elsewhere_stands_on_a_page(start: str) -> None:
    assert any(begins(line, start) for page in PAGES for line in typed(page))
