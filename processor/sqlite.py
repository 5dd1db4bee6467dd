"""SQLite files that are read while they are written, and may be opened by several at once."""

import sqlite3
import time
from typing import Any, Final, Literal

MODE_S: Final = 30.0
"""How long whoever opens a new file waits for others that do the same."""

POLL_S: Final = 0.01


def write_ahead(connection: Any, synchronous: Literal["FULL", "NORMAL"]) -> None:
    """Lets readers in while a transaction is written; with `FULL`, a commit survives a power failure."""
    give_up_at = time.monotonic() + MODE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # SQLite's own patience is not for two that change the mode of a new file at once.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(POLL_S)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
