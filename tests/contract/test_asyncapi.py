"""`schemas/asyncapi.yaml` agrees with the code, the schema files and the table of topics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import contracts
from processor.contracts import topics
from processor.domain.errors import REASONS
from processor.stream.dead_letters import PREFIX
from processor.stream.letters import ARRIVED, ATTEMPT, OFFSET
from processor.stream.topics import declared, schemas_dir

DAYS = {
    topics.USAGE_CALL: 14,
    topics.USAGE_CONFERENCE: 14,
    topics.ACCOUNT_COMMANDS: 90,
    topics.RECHARGE_RESULTS: 90,
    topics.USAGE_REROUTED: 14,
    topics.RECHARGE_COMMANDS: 90,
    topics.LEDGER: 400,
    topics.NOTIFICATIONS: 90,
    topics.EVENT_IDS: 36,
    topics.USER_POOLS: 130,
    topics.DEAD_LETTERS: 90,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((schemas_dir() / "asyncapi.yaml").read_text())
    return loaded


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def addresses(document: dict[str, Any], action: str) -> set[str]:
    """Returns the topics of all operations of one kind."""
    channels = [
        o["channel"]["$ref"].rpartition("/")[2] for o in document["operations"].values() if o["action"] == action
    ]
    return {document["channels"][channel]["address"] for channel in channels}


def test_the_described_topics_are_those_of_the_code_in_the_same_order() -> None:
    assert tuple(declared()) == topics.ALL


def test_retention_and_cleanup_are_those_promised() -> None:
    for name, spec in declared().items():
        if name == topics.ACCOUNT_STATE:
            assert spec.config["cleanup.policy"] == "compact"
            assert "retention.ms" not in spec.config
        else:
            assert spec.config["cleanup.policy"] == ("compact,delete" if name == topics.USER_POOLS else "delete")
            assert int(spec.config["retention.ms"]) == DAYS[name] * 86_400_000


def test_all_topics_have_one_partition_count_and_refuse_unclean_leaders() -> None:
    assert {spec.partitions for spec in declared().values()} == {8}
    assert {spec.config["unclean.leader.election.enable"] for spec in declared().values()} == {"false"}


def test_retention_of_inputs_counts_from_arrival() -> None:
    """A writer that catches up on old calls would otherwise have them deleted before they are charged."""
    for name in topics.INPUTS:
        assert declared()[name].config["message.timestamp.type"] == "LogAppendTime"


def test_whatever_came_in_fits_into_the_topics_that_carry_it_on() -> None:
    specs = declared()
    largest = max(int(specs[name].config["max.message.bytes"]) for name in topics.INPUTS)
    assert int(specs[topics.USAGE_REROUTED].config["max.message.bytes"]) >= largest
    assert int(specs[topics.DEAD_LETTERS].config["max.message.bytes"]) >= largest


def test_the_meter_receives_the_inputs_and_its_own_state_and_sends_the_outputs(document: dict[str, Any]) -> None:
    assert addresses(document, "receive") == {*topics.INPUTS, topics.ACCOUNT_STATE, topics.EVENT_IDS, topics.USER_POOLS}
    assert addresses(document, "send") == {*topics.OUTPUTS, topics.USAGE_REROUTED}


def test_the_reasons_of_dead_letters_are_the_closed_set_of_the_domain(document: dict[str, Any]) -> None:
    headers = document["components"]["messages"]["deadLetter"]["headers"]
    assert tuple(headers["properties"]["credits.error.reason"]["enum"]) == REASONS
    assert set(headers["required"]) == set(headers["properties"]) - {PREFIX + "omitted_bytes", ATTEMPT, ARRIVED}
    receipt = document["components"]["messages"]["replayReceipt"]["headers"]
    assert receipt["required"] == list(receipt["properties"]) == [OFFSET]


def test_every_reference_inside_the_description_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        if reference.startswith("#/"):
            node: Any = document
            for step in reference[2:].split("/"):
                node = node[step]


def test_every_payload_schema_exists(document: dict[str, Any]) -> None:
    files = [reference for reference in references(document) if not reference.startswith("#/")]
    assert len(files) == len(set(files)) == 9
    if not (schemas_dir() / "usage.call" / "v1.json").exists():
        pytest.skip("the payload schemas have not been generated: make schemas")
    assert [file for file in files if not (schemas_dir() / file).is_file()] == []


def test_an_installed_package_reads_the_description_it_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "published").mkdir()
    monkeypatch.setattr(contracts, "__file__", str(tmp_path / "__init__.py"))
    assert schemas_dir() == tmp_path / "published"
