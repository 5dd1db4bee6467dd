"""Pulls one tenant's call logs window by window, and notes a window when the brokers have all of it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Final

from processor.adapters import Converted, Options, convert_row
from processor.adapters.graph_api import GraphApi, Log, Stopped
from processor.cli import checkpoint
from processor.cli.conversion import Tally
from processor.cli.publishing import Publisher

WINDOW: Final = timedelta(days=1)
"""What is noted at a time, and so what a crash repeats at most. The API allows 90 days."""


class Puller:
    """One tenant's logs; `path` is the checkpoint, `stop` ends the work between two pages.

    A window is noted only after every event of it was acknowledged. What a crash or an overlap pulls again has the
    same ids, so it is debited once.
    """

    def __init__(self, api: GraphApi, publisher: Publisher, options: Options, path: Path, stop: Event) -> None:
        self._api, self._publisher, self._options, self._path, self._stop = api, publisher, options, path, stop
        self._pulled = checkpoint.load(path, options.tenant_id)

    def pull(self, log: Log, until: datetime, overlap: timedelta, since: datetime | None, tally: Tally) -> None:
        """Pulls what started before `until`: from the checkpoint less `overlap`, without one from `since`.

        Raises `GraphError`, `Stopped`, and what the publisher and the checkpoint raise.
        """
        noted = self._pulled.until.get(log)
        begin = since if noted is None and since is not None else (noted or until) - overlap
        for start, end in windows(begin, until):
            # Step 1. Every page of the window is converted and sent.
            for page in self._api.pages(log, start, end):
                self._publish(page, tally)
                if self._stop.is_set():
                    raise Stopped
            # Step 2. The brokers have it. A crash from here on repeats the window, which changes nothing.
            self._publisher.flush()
            # Step 3. The window is noted.
            self._pulled.until[log] = max(end, noted or end)
            checkpoint.save(self._path, self._pulled)

    def _publish(self, page: list[str], tally: Tally) -> None:
        for row in page:
            outcome = convert_row("graph", row, self._options, tally.rows + 1)
            tally.add(outcome)
            if isinstance(outcome, Converted):
                self._publisher.send(outcome.usage)


def windows(begin: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cuts a span into windows; neighbours share their edge, as one API includes its end and the other does not.

    >>> [str(end - start) for start, end in windows(datetime(2026, 3, 1), datetime(2026, 3, 2, 12))]
    ['1 day, 0:00:00', '12:00:00']
    """
    while begin < until:
        end = min(begin + WINDOW, until)
        yield begin, end
        begin = end
