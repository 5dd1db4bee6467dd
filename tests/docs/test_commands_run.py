"""Every command that a person types from a page is run, in the page's order, on a real broker.

Here or in the test that `ELSEWHERE` names; what no test can run says why, and `PARSED_ONLY` says which pages are left.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from processor.embedded import artifacts
from processor.embedded.broker import free_port
from tests.crash.platform import write_deck
from tests.docs.pages import PAGES, ROOT, name_of, typed
from tests.docs.terminal import Terminal
from tests.graph_stub import SECRET, GraphStub, running
from tests.mail_server import Postbox, postbox
from tests.postgres import postgres, server
from tests.stripe_servers import FakeStripe, fake_stripe
from tests.unit.vendor_rows import FIXTURES

# What kafka-python does while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")

__all__ = ["fake_stripe", "postbox", "postgres", "server"]

ELSEWHERE = {
    "make ": "names of targets only (test_links_and_commands.py): they contain these tests, or take minutes",
    "git clone ": "whoever runs this has done it",
    "source .venv/bin/activate": "the terminal of these tests has that path",
    "pytest ": "these tests themselves",
    "ruff ": "`make lint`, before these tests",
    "pip install ": "needs the package's index; the wheel and its extras: tests/ops/test_wheel.py",
    "docker compose ": "needs a container engine; the commands of its services: tests/ops/test_compose_commands.py",
    "python -m drills": "tests/ops/test_drills.py, two of them; all take twenty minutes",
    "credits demo": "tests/stream/test_demo.py",
    "credits kafka fetch": "tests/conftest.py, before any broker starts",
    "python -m tests.upgrade.record_state": "writes into the checkout, once per release; tested beside it",
    'credits payment-conformance --cmd "java': "your worker; with ours: the next line of that page",
    'credits payment-conformance --cmd "./worker': "your worker; with ours: tests/stream/test_payment_conformance.py",
    'credits payment-conformance --cmd "credits': "tests/stream/test_payment_conformance.py, with fewer tenants",
    "credits topics acls --role worker --principal User:meter --create": "tests/ops/test_rights.py",
}
"""Lines that are not run here, by how they begin, with what runs them or why nothing can."""

PARSED_ONLY = [
    "CHANGELOG.md",
    "README.md",
    "docs/how-to/console.md",
    "docs/how-to/mail-notifications.md",
    "docs/how-to/operate.md",
    "docs/how-to/producers.md",
    "docs/how-to/restore.md",
    "docs/how-to/rotate-credentials.md",
    "docs/how-to/write-a-payment-worker.md",
    "docs/reference/command-line.md",
    "docs/reference/metrics.md",
    "docs/runbooks/CreditsInvariantViolated.md",
    "docs/tutorial.md",
]
"""Pages whose commands test_links_and_commands.py holds against the command line, and no test types yet."""

CARD = """\
Destination Name,Destination Type,Country,Prefix,Price / min
United Kingdom,Landline,GB,44,0.015
United Kingdom - Mobile,Mobile,GB,447,0.32
France - Mobile,Mobile,FR,336,0.12
France - Mobile,Mobile,FR,3361,0.125
"""
ACCOUNT = "credits autopay tenant-00001 --amount 50 --trigger 20"
METER = ["credits worker --processes 1 --rates deck.csv", "credits payment-worker", ACCOUNT]
PARKED = [  # the deck has few prefixes
    "credits simulate --open --tenants 3 --rate 50 --seconds 1",
    "until credits dead-letters list --json | grep --quiet no_rate; do sleep 1; done",
    "export LETTER=$(credits dead-letters list --json | jq --raw-output '.letters[0].letter')",
]


@dataclass
class Scene:
    """What a page takes for granted: lines typed before it, exit codes other than 0, by how a line begins."""

    before: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)


SCENES = {
    "CHANGELOG.md": Scene(["export CREDITS_STRIPE_API_KEY=rk_test"]),
    "docs/how-to/console.md": Scene(
        [*METER, "export TOKEN=$(credits console token add tester --role operator --all-tenants)"]
    ),
    "docs/how-to/convert-vendor-records.md": Scene(codes={"credits convert asterisk": 1}),
    "docs/how-to/emit-usage.md": Scene(["credits simulate --open --tenants 3 --rate 50 --seconds 1"]),
    "docs/how-to/producers.md": Scene(["credits simulate --open --tenants 3 --rate 50 --seconds 1"]),
    "docs/how-to/rate-decks.md": Scene(codes={"credits rates lint": 1, "credits rates diff": 1}),
    "docs/how-to/replay-dead-letters.md": Scene(["credits worker --processes 1 --rates deck.csv", *PARKED]),
    "docs/how-to/shell-completion.md": Scene(
        ["mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions"]
    ),
    "docs/reference/command-line.md": Scene([*METER, *PARKED]),
}

PAGE_S = 900
"""How long a page may take on a busy machine; on an idle one the longest takes about a minute."""


def elsewhere(line: str) -> str | None:
    """Returns what `ELSEWHERE` says about a line."""
    return next((why for start, why in ELSEWHERE.items() if line.removeprefix(".venv/bin/").startswith(start)), None)


LINES = {
    name_of(page): lines
    for page in PAGES
    if name_of(page) not in PARSED_ONLY and (lines := [line for line in typed(page) if elsewhere(line) is None])
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
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

        def open_terminal(brokers: str, **places: str) -> Terminal:
            port = str(free_port())
            common = {
                ".venv/bin/": "",
                "credits kafka up": f"credits kafka up --port {free_port()}",
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
                "--follow 60": "--follow 1",
                "verify --follow": "verify --follow --metrics-port 0",
            }
            environment = {
                "CREDITS_BROKERS": brokers,
                "CREDITS_GRAPH_URL": f"{graph.url}/v1.0",
                "CREDITS_GRAPH_LOGIN_URL": graph.url,
                "CREDITS_STRIPE_API_BASE": fake_stripe.address,
                "HOME": str(files),
                "XDG_CACHE_HOME": str(artifacts.cache_dir().parents[1]),
                "PYTHONPATH": str(ROOT),
            }
            return opened.enter_context(Terminal(files, common | places, environment))

        yield open_terminal


def run(terminal: Terminal, page: str) -> None:
    """Types what the scene wants and then the page."""
    scene = SCENES.get(page, Scene())
    for line in [*scene.before, *LINES[page]]:
        code = next((code for start, code in scene.codes.items() if line.removeprefix("$ ").startswith(start)), 0)
        terminal.type(line, code)


@pytest.mark.timeout(PAGE_S)
@pytest.mark.parametrize("page", LINES)
def test_every_command_of_a_page_runs(
    page: str, topics: str, terminal: Callable[..., Terminal], request: pytest.FixtureRequest
) -> None:
    places = {}
    if "postgresql://" in "".join(LINES[page]):
        places["postgresql://credits@db.internal/payments"] = request.getfixturevalue("postgres")
    run(terminal(topics, **places), page)


@pytest.mark.parametrize("start", ELSEWHERE)
def test_what_is_said_to_be_run_elsewhere_stands_on_a_page(start: str) -> None:
    assert any(line.removeprefix(".venv/bin/").startswith(start) for page in PAGES for line in typed(page))


def test_every_page_with_commands_is_run_or_named_as_only_parsed() -> None:
    typing = {name_of(page) for page in PAGES if any(elsewhere(line) is None for line in typed(page))}
    assert set(LINES) | set(PARSED_ONLY) == typing
    assert set(LINES).isdisjoint(PARSED_ONLY)
