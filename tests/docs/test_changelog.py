"""The changelog, the version of the package and the kept schemas tell the same story."""

import re
import tomllib
from datetime import date

import yaml

from processor.contracts import schemas
from tests.docs.pages import ROOT

HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
RELEASE = re.compile(r"\[((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))\] – (\d{4}-\d{2}-\d{2})")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
TEXT = (ROOT / "CHANGELOG.md").read_text("utf-8")
RELEASES = [(version, day) for version, day in RELEASE.findall("\n".join(HEADING.findall(TEXT)))]


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_what_is_new_stands_above_the_releases_and_each_release_has_its_day() -> None:
    headings = HEADING.findall(TEXT)
    if headings[0] == "[Unreleased]":
        headings.pop(0)
    assert [heading for heading in headings if not RELEASE.fullmatch(heading)] == []
    assert len(headings) == len(RELEASES) > 0


def test_releases_stand_newest_first_by_semantic_version_and_by_day() -> None:
    assert sorted(RELEASES, key=lambda release: numbers(release[0]), reverse=True) == RELEASES
    days = [date.fromisoformat(day) for _, day in RELEASES]
    assert sorted(days, reverse=True) == days


def test_the_package_and_its_description_have_the_version_of_the_last_release() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    described = yaml.safe_load((schemas.DIRECTORY / "asyncapi.yaml").read_text())["info"]
    assert package["version"] == described["version"] == RELEASES[0][0]


def test_the_schemas_of_every_release_are_kept() -> None:
    kept = {path.name for path in (schemas.DIRECTORY / "released").iterdir() if path.is_dir()}
    assert kept == {version for version, _ in RELEASES}


def test_changes_are_sorted_into_the_kinds_of_keep_a_changelog() -> None:
    assert set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) <= KINDS
