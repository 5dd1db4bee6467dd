"""The site builds without a warning, a fault in a page breaks the build, and diagrams are drawn without a network."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from processor.contracts import topics
from tests.docs.pages import DOCS, ROOT

BUILD_S, DRAWN_MS = 240, 120_000
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIAGRAMS = {page: found for page in sorted(DOCS.rglob("*.md")) if (found := DIAGRAM.findall(page.read_text("utf-8")))}
PROTOCOL = DIAGRAMS[DOCS / "explanation" / "exactly-once.md"]


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Runs what `make docs` runs."""
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir", str(site)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` builds it."""
    if shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: the diagrams need Mermaid from npm")
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", directory)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, *_: object) -> None:
        pass


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = [page.relative_to(DOCS) for page in DOCS.rglob("*.md")]
    assert [page for page in pages if not (site / page.with_suffix(".html")).is_file()] == []


@pytest.mark.parametrize(
    ("pages", "nav", "complaint"),
    [
        ({"index.md": "# A\n\n[b](b.md)\n", "b.md": "# B\n"}, "[index.md, b.md]", ""),
        ({"index.md": "# A\n\n[b](nowhere.md)\n"}, "[index.md]", "a link 'nowhere.md', but the target is not found"),
        ({"index.md": "# A\n\n[b](#nowhere)\n"}, "[index.md]", "there is no such anchor"),
        ({"index.md": "# A\n", "b.md": "# B\n"}, "[index.md]", 'not included in the "nav"'),
        ({"index.md": "# A\n"}, "[index.md, b.md]", "not found in the documentation files"),
    ],
    ids=["sound", "broken link", "broken anchor", "page not in nav", "nav without page"],
)
def test_a_fault_in_a_page_breaks_the_build(pages: dict[str, str], nav: str, complaint: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in pages.items():
        (docs / name).write_text(text)
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nhooks: []\nnav: {nav}\n")
    done = build(config, tmp_path / "site")
    assert (done.returncode != 0) == bool(complaint)
    assert complaint in done.stderr


@pytest.mark.parametrize("page", DIAGRAMS, ids=lambda page: page.name)
def test_the_diagrams_of_a_page_are_drawn_and_nothing_comes_from_another_host(
    page: Path, address: str, chromium: Browser
) -> None:
    asked, faults = [], []
    with chromium.new_context() as context:
        tab = context.new_page()
        tab.set_default_timeout(DRAWN_MS)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.route(lambda url: not url.startswith(address), lambda route: route.abort())
        tab.goto(f"{address}/{page.relative_to(DOCS).with_suffix('.html').as_posix()}")
        drawn = tab.locator("div.mermaid")
        expect(drawn).to_have_count(len(DIAGRAMS[page]), timeout=DRAWN_MS)
        heights = [box["height"] for each in drawn.all() if (box := each.bounding_box())]
    assert [url for url in asked if not url.startswith(address)] == []
    assert faults == []
    assert all(height > 100 for height in heights)


def test_the_diagrams_name_topics_that_exist() -> None:
    named = {name for found in DIAGRAMS.values() for text in found for name in re.findall(r"[a-z.]+\.v1", text)}
    assert named <= set(topics.ALL)
    assert len(named) > 5


def test_the_diagrams_of_the_protocol_have_its_steps_in_order() -> None:
    steps = [re.findall(r": ([AB]\d) |loop (A\d) ", text) for text in PROTOCOL]
    cycle, owner = (list(dict.fromkeys("".join(pair) for pair in found)) for found in steps)
    assert cycle == ["B1", "B2", "B3", "B4", "B5", "B6", "B7"]
    assert owner == ["A1", "A2", "A3"]
