"""`credits dead-letters` on a real broker: the parked is found, shown without its numbers, replayed, applied once."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from processor.cli import main
from processor.contracts import topics as names
from processor.stream.dead_letters import PREFIX
from tests.crash.platform import write_deck
from tests.crash.proof import documents
from tests.crash.workers import WorkerProcess, drained
from tests.docs.pages import DOCS, commands_on
from tests.stream.test_bad_input import call

PAGE = DOCS / "how-to" / "replay-dead-letters.md"
TENANT = "contoso"
NOWHERE = "+8612345678"
ROW = "86,Place 86,landline,ZZ,0.040000\n"


def event(name: str, **changes: Any) -> bytes:
    """A call of one minute to a place that no row prices, unless told otherwise."""
    return json.dumps(call(tenant_id=TENANT, _subject=TENANT, callee=NOWHERE, _id=name, **changes)).encode()


def send(brokers: str, *values: bytes, topic: str = names.USAGE_CALL, **settings: str) -> None:
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", **settings})
    for value in values:
        producer.produce(topic, value, TENANT, headers=[("origin", b"switch-7")])
    assert producer.flush(20) == 0


def run(brokers: str, line: str) -> Result:
    return CliRunner().invoke(main, [*shlex.split(line)[1:], "--brokers", brokers])


def done(brokers: str, line: str) -> Any:
    """Runs a command with `--json` and returns what it says."""
    result = run(brokers, f"{line} --json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def work(brokers: str, directory: Path, deck: Path) -> None:
    """Lets one worker do all there is, and ends it."""
    worker = WorkerProcess(brokers, directory, deck).start()
    drained(brokers, worker)
    assert worker.terminate() == 0, worker.log()


def charges(brokers: str) -> list[tuple[str, int]]:
    entries = [document["data"] for document in documents(brokers, names.LEDGER)]
    return sorted((entry["event_id"], entry["amount_micros"]) for entry in entries if entry["kind"] == "charge")


def test_the_page_leads_from_a_missing_row_to_one_debit_each(topics: str, tmp_path: Path) -> None:
    deck = write_deck(tmp_path / "deck.csv")
    send(topics, event("a"), event("b"), event("c"), b"no JSON")
    work(topics, tmp_path / "worker", deck)
    assert charges(topics) == []

    lines = iter(commands_on(PAGE, "credits"))

    def follow(start: str) -> Result:
        """Runs the page's next command, which starts like this, on what is there."""
        line = next(line for line in lines if line.startswith(start))
        line = line.replace("2026-03-01", f"{datetime.now(UTC):%Y-%m-%d}").replace("3-17", letter)
        result = run(topics, line)
        assert result.exit_code == 0, (line, result.output)
        return result

    letters = done(topics, "credits dead-letters list")["letters"]
    letter = next(each["letter"] for each in letters if each["reason"] == "no_rate")
    assert "3 no_rate, 1 not_json" in follow("credits dead-letters list").output
    assert "3 no_rate" in follow("credits dead-letters list --reason no_rate --tenant contoso").output
    shown = follow("credits dead-letters show").output
    assert '"callee": "+8612••••••"' in shown
    assert NOWHERE[5:] not in shown
    assert "switch-7" in shown

    deck.write_text(deck.read_text() + ROW)
    send(topics, event("b"))  # the producer was quicker: it knows that the deck is right now
    assert "3 would be replayed" in follow("credits dead-letters replay --reason no_rate --dry-run").output
    assert "3 would be replayed" in run(topics, "credits dead-letters replay --reason no_rate --dry-run").output
    assert "3 replayed" in follow("credits dead-letters replay --reason no_rate").output
    assert "1 not_json" in follow("credits dead-letters list").output
    work(topics, tmp_path / "worker", deck)
    assert charges(topics) == [("a", -40_000), ("b", -40_000), ("c", -40_000)]

    again = done(topics, "credits dead-letters replay --reason no_rate")
    assert again == {"replayed": 0, "would_replay": 0, "left_out": {}}
    assert done(topics, f"credits dead-letters replay {letter}")["left_out"] == {"it has been replayed before": 1}
    assert done(topics, "credits dead-letters list --replayed")["by_reason"] == {"no_rate": 3, "not_json": 1}
    follow("credits topics acls")
    assert list(lines) == []


def test_poison_is_one_open_letter_however_often_it_is_replayed(topics: str, tmp_path: Path) -> None:
    deck = write_deck(tmp_path / "deck.csv")
    send(topics, b"no JSON")
    for tries in range(1, 4):
        work(topics, tmp_path / "worker", deck)
        [letter] = done(topics, "credits dead-letters list")["letters"]
        assert (letter["reason"], letter["tries"], letter["topic"]) == ("not_json", tries, names.USAGE_CALL)
        shown = done(topics, f"credits dead-letters show {letter['letter']} --reveal")
        assert (shown["value"], shown["headers"]) == ("no JSON", [["origin", "switch-7"]])
        assert done(topics, "credits dead-letters replay --all")["replayed"] == 1
    assert done(topics, "credits dead-letters list")["letters"] == []


def test_what_must_not_or_cannot_be_applied_is_left_out_and_said(topics: str, tmp_path: Path) -> None:
    send(topics, event("x", end_reason="x" * 70_000))
    work(topics, tmp_path / "worker", write_deck(tmp_path / "deck.csv"))
    old = datetime.now(UTC) - timedelta(days=36)
    facts = {"topic": names.ACCOUNT_COMMANDS, "partition": 0, "offset": 0, "stage": "apply", "reason": "in_future"}
    facts |= {"timestamp": int(old.timestamp() * 1000), "message": "…", "processor_version": "0"}
    producer = Producer({"bootstrap.servers": topics})
    headers = [(PREFIX + name, str(fact).encode()) for name, fact in facts.items()]
    producer.produce(names.DEAD_LETTERS, b"{}", TENANT, headers=headers)
    assert producer.flush(20) == 0
    found = done(topics, "credits dead-letters replay --all")
    assert found["replayed"] == 0
    assert sorted(why.split(":")[0] for why in found["left_out"]) == [
        "it arrived more than 35 days ago",
        "it has more than 65,536 bytes",
    ]


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("credits dead-letters replay", 2, "choose letters"),
        ("credits dead-letters show 3", 2, "such as 3-17"),
        ("credits dead-letters show 3-99", 1, "no letter 3-99"),
        ("credits dead-letters list --reason nonsense", 2, "nonsense"),
    ],
)
def test_a_mistake_is_explained(topics: str, line: str, code: int, says: str) -> None:
    result = run(topics, line)
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_a_record_that_is_no_letter_stops_the_command_with_its_place(topics: str) -> None:
    send(topics, b"{}", topic=names.DEAD_LETTERS)
    result = run(topics, "credits dead-letters list")
    assert result.exit_code == 1
    assert "has not the headers of a dead letter" in result.output
