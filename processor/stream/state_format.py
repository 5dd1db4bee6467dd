"""The format of the state in the changelogs, and the refusal of one that a newer release has written.

Within a format, fields of a record are only added, each with a default, so that releases read each other's state while
one replaces the other. A release that gives a field another meaning raises `FORMAT`, writes it as the header `HEADER`
on each record of a changelog, and raises the format of the checkpoints too (`frames.FORMAT`), which hold the same
values. A record without the header is of format 1.
"""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import Message as Record

FORMAT: Final = 1
HEADER: Final = "credits.format"


class NewerStateError(Exception):
    """State of a format that this release does not know; nothing of it was changed.

    Operator action: start the release that wrote it, docs/how-to/upgrade.md.
    """


def check(records: Iterable[Record]) -> None:
    """Raises `NewerStateError` when one of the records is of a later format than this release's."""
    for record in records:
        headers = record.headers()
        written = int(dict(headers).get(HEADER, FORMAT)) if headers else FORMAT
        if written > FORMAT:
            place = f"{record.topic()} partition {record.partition()} offset {record.offset()}"
            raise NewerStateError(f"{place} is of state format {written}, this release reads {FORMAT}")
