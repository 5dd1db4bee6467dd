"""`credits topics apply` and `verify` on a real broker."""

import json

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from processor.cli.topics import topics_group
from processor.contracts import topics as names
from processor.embedded.broker import free_port
from processor.stream import topics as stream_topics


def alter(bootstrap: str, topic: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": bootstrap})
    for future in client.incremental_alter_configs([resource]).values():
        future.result()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(topics_group, [*arguments])


def test_applied_topics_are_all_there_and_have_no_problems(topics: str) -> None:
    metadata = AdminClient({"bootstrap.servers": topics}).list_topics(timeout=10).topics
    assert {name: len(metadata[name].partitions) for name in names.ALL} == dict.fromkeys(names.ALL, 8)
    assert stream_topics.verify(topics) == []


def test_applying_twice_changes_nothing(topics: str) -> None:
    again = stream_topics.apply(topics, 8, 1)
    assert (again.created, again.altered, again.problems) == ([], [], [])
    assert set(again.unchanged) == set(names.ALL)


def test_only_the_missing_topic_is_created(topics: str) -> None:
    client = AdminClient({"bootstrap.servers": topics})
    for future in client.delete_topics([names.LEDGER]).values():
        future.result()
    while names.LEDGER in client.list_topics(timeout=10).topics:
        pass
    assert [(p.topic, p.problem) for p in stream_topics.verify(topics)] == [(names.LEDGER, "is missing")]
    assert stream_topics.apply(topics, 8, 1).created == [names.LEDGER]


def test_another_partition_count_is_refused_and_nothing_is_touched(topics: str) -> None:
    alter(topics, names.LEDGER, "retention.ms", "1000")
    done = stream_topics.apply(topics, 16, 1)
    assert {problem.topic for problem in done.problems} == set(names.ALL)
    assert "fixed for life" in done.problems[0].remedy
    assert [problem.topic for problem in stream_topics.verify(topics)] == [names.LEDGER]


def test_a_drifted_setting_is_brought_back_and_reported(topics: str) -> None:
    alter(topics, names.LEDGER, "retention.ms", "1000")
    done = stream_topics.apply(topics, 8, 1)
    assert done.altered == [stream_topics.Change(names.LEDGER, "retention.ms", "1000", "34560000000")]
    assert stream_topics.verify(topics) == []


@pytest.mark.parametrize(
    ("topic", "setting", "value"),
    [
        (names.ACCOUNT_STATE, "cleanup.policy", "delete"),
        (names.EVENT_IDS, "retention.ms", "86400000"),
        (names.DEAD_LETTERS, "max.message.bytes", "1000"),
        (names.LEDGER, "unclean.leader.election.enable", "true"),
        (names.USAGE_CALL, "message.timestamp.type", "CreateTime"),
    ],
)
def test_a_setting_that_can_lose_records_is_a_problem(topics: str, topic: str, setting: str, value: str) -> None:
    alter(topics, topic, setting, value)
    (problem,) = stream_topics.verify(topics)
    assert problem.topic == topic
    assert f"{setting}={value}" in problem.problem


@pytest.mark.parametrize(
    ("setting", "value"), [("retention.ms", "-1"), ("retention.ms", "99999999999"), ("segment.ms", "60000")]
)
def test_keeping_more_and_tuning_are_no_problem(topics: str, setting: str, value: str) -> None:
    alter(topics, names.EVENT_IDS, setting, value)
    assert stream_topics.verify(topics) == []


def test_a_topic_with_more_partitions_than_the_others_is_a_problem(topics: str) -> None:
    client = AdminClient({"bootstrap.servers": topics})
    for future in client.create_partitions([NewPartitions(names.LEDGER, 9)]).values():
        future.result()
    while len(client.list_topics(timeout=10).topics[names.LEDGER].partitions) != 9:
        pass
    (problem,) = stream_topics.verify(topics)
    assert (problem.topic, problem.problem) == (names.LEDGER, "has 9 partitions where others have 8")


@pytest.mark.parametrize(("copies", "needed"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_acknowledged_writes_are_on_all_copies_but_one(copies: int, needed: str) -> None:
    assert stream_topics._min_insync(copies) == needed


def test_without_a_broker_the_command_exits_75_and_says_what_to_do() -> None:
    result = run("verify", "--brokers", f"127.0.0.1:{free_port()}")
    assert result.exit_code == 75
    assert "credits kafka up" in result.output


def test_the_commands_exit_0_when_all_is_well_and_1_with_problems(topics: str) -> None:
    assert run("apply", "--brokers", topics).exit_code == 0
    assert run("verify", "--brokers", topics).exit_code == 0
    refused = run("apply", "--brokers", topics, "--partitions", "9")
    assert refused.exit_code == 1
    assert "Use --partitions 8" in refused.output
    alter(topics, names.LEDGER, "retention.ms", "1000")
    found = run("verify", "--brokers", topics, "--json")
    assert found.exit_code == 1
    assert [problem["topic"] for problem in json.loads(found.output)["problems"]] == [names.LEDGER]
