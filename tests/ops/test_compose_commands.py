"""The services of the compose file, started as processes in its order, become healthy as their health checks see it.

Stands in for `docker compose up` where there is no container engine: the same words, variables, configuration and
checks on a real Kafka, PostgreSQL and Prometheus; only addresses, ports and directories are this machine's. Grafana is
no package of Debian: its health is not tried.
"""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from processor.embedded.broker import free_port
from tests.conftest import delete_topics
from tests.crash.workers import wait_until
from tests.ops.rules import tool
from tests.ops.test_compose import OURS, PROMETHEUS, ROOT, SERVICES
from tests.postgres import binaries, postgres, server

__all__ = ["postgres", "server"]

CHECKED = re.compile(r"http://127\.0\.0\.1:(\d+)(/[\w/\-]+)")
KAFKA, POSTGRES = "kafka:19092", "postgresql://console@postgres/console"


class Here:
    """The services as processes of this machine: addresses in the file -> addresses here."""

    def __init__(self, directory: Path, addresses: dict[str, str]) -> None:
        self._directory = directory
        self._addresses = addresses
        self._running = ExitStack()
        self.ports: dict[tuple[str, str], str] = {}
        """(service, port in the file) -> port here."""
        for name, service in SERVICES.items():
            for published in service.get("ports", []):
                self.ports[name, published.split(":")[2]] = str(free_port())
        self.ports |= {("payment-worker", "9465"): str(free_port()), ("auditor", "9470"): str(free_port())}

    def close(self) -> None:
        """Ends every process."""
        self._running.close()

    def start(self, name: str) -> None:
        """Starts the service with its own command, in its own environment, and returns when it is healthy."""
        service = SERVICES[name]
        variables = {variable: self._here(name, str(value)) for variable, value in service["environment"].items()}
        if "CREDITS_DATA_DIR" in variables:
            variables["CREDITS_DATA_DIR"] = str(self._directory / name)
        words = [self._here(name, word) for word in service["command"]]
        process = self._run(name, [sys.executable, "-m", "processor.cli", *words], os.environ | variables)
        if "healthcheck" not in service:
            assert process.wait(90) == 0, self.log(name)
        else:
            self._await(name, process)

    def prometheus(self, program: str) -> None:
        """The same for Prometheus, whose configuration names the services and whose volumes are directories here."""
        config = self._directory / "prometheus.yml"
        text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
        for (name, port), here in self.ports.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{here}")
        text = text.replace("127.0.0.1:9090", f"127.0.0.1:{self.ports['prometheus', '9090']}")  # scrapes itself
        config.write_text(text.replace('["*.rules.yml"]', f'["{ROOT}/deploy/prometheus/*.rules.yml"]'))
        words = [word.split("=", 1) for word in SERVICES["prometheus"]["command"]]
        options = dict(words) | {"--config.file": str(config), "--storage.tsdb.path": str(self._directory / "tsdb")}
        address = f"127.0.0.1:{self.ports['prometheus', '9090']}"
        command = [program, *(f"{option}={value}" for option, value in options.items())]
        process = self._run("prometheus", [*command, f"--web.listen-address={address}"], dict(os.environ))
        self._await("prometheus", process)

    def log(self, name: str) -> str:
        """Returns what a service has said."""
        return (self._directory / f"{name}.log").read_text()[-3000:]

    def _here(self, name: str, value: str) -> str:
        return self._addresses.get(value) or self.ports.get((name, value), value)

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        log = self._running.enter_context((self._directory / f"{name}.log").open("w"))
        process = self._running.enter_context(
            subprocess.Popen(command, env=environment, cwd=self._directory, stdout=log, stderr=log)
        )
        self._running.callback(process.terminate)
        return process

    def _await(self, name: str, process: subprocess.Popen[bytes]) -> None:
        found = CHECKED.search(str(SERVICES[name]["healthcheck"]["test"]))
        assert found is not None
        url = f"http://127.0.0.1:{self.ports[name, found[1]]}{found[2]}"

        def healthy() -> bool:
            assert process.poll() is None, f"{name} ended: {self.log(name)}"
            return answers(url)

        wait_until(f"{name} is healthy", healthy, 120, pause_s=0.5)


def answers(url: str) -> bool:
    """Tells whether a health check would succeed."""
    try:
        with urllib.request.urlopen(url, timeout=3) as page:  # noqa: S310 - built above
            return bool(page.status == 200)
    except OSError:
        return False


@pytest.fixture
def bare(topics: str) -> str:
    """The address of a broker without the project's topics: the compose file creates them."""
    delete_topics(topics)
    return topics


@pytest.fixture
def here(bare: str, postgres: str, tmp_path: Path) -> Iterator[Here]:
    """The services, none of which runs yet but Kafka and PostgreSQL."""
    services = Here(tmp_path, {KAFKA: bare, POSTGRES: postgres})
    yield services
    services.close()


def in_order() -> list[str]:
    """Returns the services as their dependencies demand."""
    done: list[str] = []
    while len(done) < len(SERVICES):
        ready = [name for name in SERVICES if name not in done and set(SERVICES[name].get("depends_on", ())) <= {*done}]
        assert ready, "services wait for each other"
        done += ready
    return done


@pytest.mark.timeout(600)  # nine programs start one after the other, on a machine that may be busy
def test_every_service_starts_in_order_and_becomes_healthy(here: Here, postgres: str) -> None:
    program = tool("prometheus")
    start: dict[str, Callable[[], None]] = {
        "kafka": lambda: None,  # runs, as a fixture
        "postgres": lambda: pg_is_ready(postgres),
        "prometheus": lambda: here.prometheus(program),
        "grafana": lambda: None,
        **{name: lambda name=name: here.start(name) for name in OURS},  # type: ignore[misc]
    }
    for name in in_order():
        start[name]()
    url = f"http://127.0.0.1:{here.ports['prometheus', '9090']}/api/v1/query"

    def all_are_scraped() -> bool:
        found = httpx.get(url, params={"query": "up == 1"}).json()["data"]["result"]
        return {sample["metric"]["job"] for sample in found} == jobs and len(found) == len(jobs) + 1

    jobs = {job["job_name"] for job in PROMETHEUS["scrape_configs"]}
    wait_until("Prometheus sees every job, the worker's twice", all_are_scraped, 90, pause_s=0.5)


def pg_is_ready(url: str) -> None:
    """Runs the health check of the database as it stands in the file, for the server of this machine."""
    check = SERVICES["postgres"]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "pg_isready"]
    there = urlsplit(url)
    values = {"console": there.username or "", "127.0.0.1": there.hostname or ""}
    words = [values.get(word, word) for word in check[2:]]
    subprocess.run([binaries() / check[1], *words, "--port", str(there.port)], check=True, stdout=subprocess.DEVNULL)


def test_the_addresses_of_the_file_are_the_ones_that_are_replaced_here() -> None:
    values = {str(value) for name in OURS for value in SERVICES[name]["environment"].values()}
    assert {KAFKA, POSTGRES} <= values
