"""A real Prometheus with the project's rules beside the parts that it scrapes."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import httpx
import yaml

from drills.faster import faster
from drills.parts import Part
from processor.embedded.broker import HOST, free_port

RULES: Final = Path(__file__).resolve().parents[1] / "deploy" / "prometheus"
SCRAPE: Final = "1s"
"""Of the shortest windows, five seconds of an hour that lasts a minute, this leaves five samples."""


class PrometheusMissing(Exception):  # noqa: N818
    """There is no Prometheus on this machine. Operator action: apt-get install prometheus."""


class Series(NamedTuple):
    """One line of a graph: its labels, times in seconds since 1970, and values."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Prometheus:
    """Runs on a free port with the rules of `deploy/prometheus/`, their windows divided by `factor`.

    `targets` maps the scrape jobs of `deploy/prometheus/prometheus.yml` to ports of this machine. Raises
    `PrometheusMissing`.
    """

    def __init__(self, directory: Path, targets: Mapping[str, int], factor: int) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise PrometheusMissing("there is no prometheus here: apt-get install prometheus")
        directory.mkdir(parents=True)
        for file in RULES.glob("*.rules.yml"):
            rules = faster(yaml.safe_load(file.read_text()), factor)
            (directory / file.name).write_text(yaml.safe_dump(rules, sort_keys=False))
        port = free_port()
        config = yaml.safe_load((RULES / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE}
        for job in config["scrape_configs"]:
            name = job["static_configs"][0]["targets"][0]
            here = f"{HOST}:{targets.get(job['job_name'], port)}"
            job["static_configs"] = [{"targets": [here], "labels": {"instance": name}}]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False))
        command = [
            program,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address={HOST}:{port}",
            "--log.level=error",
        ]
        self.part = Part(command, directory / "prometheus.log")
        self._client = httpx.Client(base_url=f"http://{HOST}:{port}/api/v1", timeout=10)

    def __enter__(self) -> Self:
        self.part.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.part.end()

    def answers(self) -> bool:
        """Tells whether it has started."""
        try:
            return self._client.get("/status/buildinfo").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def firing(self) -> set[str]:
        """Returns the names of the alerts that are firing."""
        return {alert["labels"]["alertname"] for alert in self._ask("/alerts")["alerts"] if alert["state"] == "firing"}

    def has_data(self, expression: str) -> bool:
        """Tells whether an expression returns anything at present; raises `httpx.HTTPStatusError` for a wrong one."""
        return bool(self._ask("/query", query=expression)["result"])

    def graph(self, expression: str, start: float, end: float, step_s: float) -> list[Series]:
        """Returns what a panel draws of an expression, between two times in seconds since 1970."""
        answer = self._ask("/query_range", query=expression, start=start, end=end, step=step_s)
        return [
            Series(found["metric"], [at for at, _ in found["values"]], [float(value) for _, value in found["values"]])
            for found in answer["result"]
        ]

    def _ask(self, path: str, **parameters: str | float) -> Any:
        answer = self._client.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()["data"]
