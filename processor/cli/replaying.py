"""Sends parked records back to the topics they came from, and leaves a receipt for each."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from processor.cli.publishing import Sender
from processor.contracts import topics
from processor.stream.letters import Letter

AT_ONCE: Final = 1000
"""Letters per round: as many may be sent again after a crash between a round's records and its receipts."""


def replay(conf: Mapping[str, Any], letters: Iterable[Letter], done: Callable[[int], None]) -> int:
    """Replays letters in their order; calls `done` with the number of every round that has its receipts.

    Receipts are written when the records are acknowledged, so no letter is taken for replayed that was not. Returns
    how many were replayed; raises `BrokerUnreachable` and `CommandFailed`.
    """
    sender = Sender(conf)
    remaining, replayed = iter(letters), 0
    while round_ := list(islice(remaining, AT_ONCE)):
        for letter in round_:
            sender.send(letter.topic, letter.key, letter.value, letter.replayed_headers())
        sender.flush()
        for letter in round_:
            sender.send(topics.DEAD_LETTERS, letter.key, None, letter.receipt_headers(), letter.place[0])
        sender.flush()
        replayed += len(round_)
        done(len(round_))
    return replayed
