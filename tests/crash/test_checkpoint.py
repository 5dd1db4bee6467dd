"""A worker that finds its checkpoint whole, damaged or gone charges everything once, and says what it found."""

import json
import re
import shutil
from pathlib import Path

from tests.crash.platform import PARTITIONS, Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import WorkerProcess, drained, wait_until

EVENTS = 3_000
EVERY_CYCLE = {"CREDITS_BATCH_MAX_EVENTS": "400", "CREDITS_CHECKPOINT_INTERVAL_S": "0"}


def damage(checkpoint: Path) -> None:
    """Damages the copy of every partition but the last, each in another way."""
    directories = [checkpoint / str(number) for number in range(PARTITIONS)]
    shutil.rmtree(directories[0])
    newest(directories[1], "accounts.*/MANIFEST-*").unlink()
    truncate(newest(directories[2], "accounts.*/CURRENT"), 0.0)
    (newest(directories[3], "users.*/CURRENT")).unlink()
    flip(directories[4] / "ids", 0.5)
    flip(newest(directories[5], "*.run"), 0.3)
    newest(directories[6], "*.run").unlink()


def newest(directory: Path, pattern: str) -> Path:
    return max(directory.glob(pattern), key=lambda path: path.stat().st_mtime_ns)


def truncate(path: Path, part: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])


def flip(path: Path, part: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * part)] ^= 8
    path.write_bytes(content)


def adopted_records(worker: WorkerProcess) -> int:
    """Waits until the worker has its partitions; returns how many changelog records it read for them."""
    wait_until("the partitions are adopted", lambda: bool(worker.adopted()) or not worker.running())
    [line] = [line for line in worker.log().splitlines() if "partitions adopted" in line]
    return int(json.loads(line)["records"])


def test_after_a_kill_the_checkpoint_is_used_and_a_damaged_one_is_replaced_from_the_changelogs(
    topics: str, tmp_path: Path
) -> None:
    platform = Platform(topics, seed=23)
    platform.open_accounts()
    worker = WorkerProcess(topics, tmp_path / "a", write_deck(tmp_path / "deck.csv"), **EVERY_CYCLE)
    with Payments(topics, platform):
        for found in ("none", "whole", "damaged"):
            if found == "damaged":
                damage(tmp_path / "a" / "checkpoint")
            worker.start()
            read = adopted_records(worker)
            complaints = set(re.findall(r'"partition": (\d+)[^\n]*"checkpoint not used as it is"', worker.log()))
            platform.emit(EVENTS)
            platform.producer.flush()
            drained(topics, worker)
            worker.kill()
            if found == "none":
                assert read == 0
            elif found == "whole":
                assert complaints == set()
                # What the last cycles changed, at most; the changelogs have a record per cycle and partition and more.
                whole = read
            else:
                assert complaints == set("123456")
                assert read > whole
    prove(topics, platform.expected)
