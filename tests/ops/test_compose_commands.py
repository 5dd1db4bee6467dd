"""The commands of the compose file, started as processes in its order on a real broker, become healthy.

Stands in for `docker compose up` where there is no container engine: the same words and variables; only addresses,
ports and directories are this machine's.
"""

import os
import re
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from processor.embedded.broker import free_port
from tests.conftest import delete_topics
from tests.crash.workers import wait_until
from tests.ops.test_compose import OURS, SERVICES

PORT = re.compile(r"127\.0\.0\.1:(\d+)(/\w+)")


@pytest.fixture
def bare(topics: str) -> str:
    """The address of a broker without the project's topics: the compose file creates them."""
    delete_topics(topics)
    return topics


def in_order() -> list[str]:
    """Returns our services as their dependencies demand."""
    done = ["kafka"]
    while len(done) <= len(OURS):
        done += [name for name in OURS if name not in done and set(SERVICES[name]["depends_on"]) <= set(done)]
    return done[1:]


def answers(url: str) -> bool:
    """Tells whether a health check would succeed."""
    try:
        with urllib.request.urlopen(url, timeout=3) as page:  # noqa: S310 - built above
            return bool(page.status == 200)
    except OSError:
        return False


def test_every_service_of_ours_starts_in_order_and_becomes_healthy(bare: str, tmp_path: Path) -> None:
    with ExitStack() as running:
        for name in in_order():
            service = SERVICES[name]
            port = str(free_port())
            check = PORT.search(str(service.get("healthcheck", "")))
            variables = {variable: str(value) for variable, value in service["environment"].items()}
            variables |= {"CREDITS_BROKERS": bare, "CREDITS_DATA_DIR": str(tmp_path / name)}
            words = [port if check and word == check[1] else word for word in service["command"]]
            if "CREDITS_METRICS_PORT" in variables:
                variables["CREDITS_METRICS_PORT"] = port
            line = [sys.executable, "-m", "processor.cli", *words]
            log = running.enter_context((tmp_path / f"{name}.log").open("w"))
            process = running.enter_context(
                subprocess.Popen(line, env=os.environ | variables, cwd=tmp_path, stdout=log, stderr=log)
            )
            running.callback(process.terminate)
            if check is None:
                assert process.wait(60) == 0, (tmp_path / f"{name}.log").read_text()
            else:
                url = f"http://127.0.0.1:{port}{check[2]}"
                wait_until(f"{name} is healthy", lambda url=url: answers(url), 90)  # type: ignore[misc]
