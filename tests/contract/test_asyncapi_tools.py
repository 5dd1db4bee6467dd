"""`schemas/asyncapi.yaml` in the eyes of others: the official parser takes it, and the page shows all of it."""

import hashlib
import json
import re
import runpy
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor.contracts import schemas, topics
from processor.embedded import artifacts
from processor.stream.topics import schemas_dir

HERE = Path(__file__).parent / "asyncapi"
ROOT = Path(__file__).resolve().parents[2]
INSTALL_S, PARSE_S = 240, 120

Parse = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def parse() -> Parse:
    """The official parser, installed once per user from the npm registry as locked."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed: the official AsyncAPI parser runs on them")
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = artifacts.cache_dir().parent
    installed = cache / f"asyncapi-parser-{lock}"
    if not installed.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="npm-", dir=cache) as directory:
            fresh = Path(directory) / "parser"
            shutil.copytree(HERE, fresh)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                pytest.skip(f"the AsyncAPI parser could not be installed from the npm registry: {done.stderr[-300:]}")
            fresh.rename(installed)

    def run(*documents: Path) -> list[dict[str, Any]]:
        program = shutil.copy(HERE / "parse.mjs", installed / "parse.mjs")
        command = [node, str(program), *map(str, documents)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PARSE_S, check=False)
        assert done.returncode == 0, done.stderr
        results: list[dict[str, Any]] = json.loads(done.stdout)
        return results

    return run


def test_the_official_parser_takes_the_description_and_tells_a_broken_one(parse: Parse, tmp_path: Path) -> None:
    broken = shutil.copytree(schemas_dir(), tmp_path / "schemas") / "asyncapi.yaml"
    document = yaml.safe_load(broken.read_text())
    next(iter(document["operations"].values()))["action"] = "publish"
    broken.write_text(yaml.safe_dump(document, sort_keys=False))

    whole, refused = parse(schemas_dir() / "asyncapi.yaml", broken)

    assert whole["problems"] == []
    assert tuple(whole["channels"]) == topics.ALL
    assert set(whole["messages"]) == set(document["components"]["messages"])
    assert any(problem.startswith("operations.") for problem in refused["problems"])
    assert refused["channels"] is None


def asyncapi() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "asyncapi"))


def test_the_page_is_what_the_description_says() -> None:
    assert asyncapi()["run"](["--check"]) == 0, "run `make reference`"


def test_the_page_shows_every_field_of_every_message() -> None:
    shown = set(re.findall(r"^\| `([^`]+)` \|", asyncapi()["render"](), re.MULTILINE))
    for schema in schemas.generate().values():
        for part in schema.get("oneOf", [schema]):
            assert set(names(part)) <= shown


def names(schema: dict[str, Any], path: str = "") -> list[str]:
    found = []
    for name, part in schema.get("properties", {}).items():
        inner, mark = (part["items"], "[].") if "items" in part else (part, ".")
        found += [path + name, *names(inner, f"{path}{name}{mark}")]
    return found
