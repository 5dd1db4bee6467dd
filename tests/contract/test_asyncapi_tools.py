"""`schemas/asyncapi.yaml` in the eyes of others: the official parser takes it, and the page shows all of it."""

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor.contracts import schemas, topics
from processor.stream.topics import schemas_dir
from tests.npm import installed

HERE = Path(__file__).parent / "asyncapi"
ROOT = Path(__file__).resolve().parents[2]
PARSE_S = 120

Parse = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def parse() -> Parse:
    """The official parser, installed once per user from the npm registry as locked."""
    node, installed_in = installed(HERE, "asyncapi-parser", "parse.mjs")

    def run(*documents: Path) -> list[dict[str, Any]]:
        command = [node, str(installed_in / "parse.mjs"), *map(str, documents)]
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
