"""Rejected rows are kept as lines of JSON, to be mended and converted again."""

import json
from hashlib import blake2b
from typing import Any, TextIO

from processor.adapters import Rejected


class Rejects:
    """Writes every row to a file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def keep(self, row: Rejected) -> None:
        """Writes one row."""
        document = {"line": row.line, "reason": row.reason, "message": row.message, "row": row.row}
        self._file.write(json.dumps(document) + "\n")


class NewRejects(Rejects):
    """Writes a row that is not in the file yet: what pulls overlap is rejected in each of them."""

    def __init__(self, file: TextIO) -> None:
        """Reads what the file has; it is open for reading and appending."""
        super().__init__(file)
        self._known: set[bytes] = set()
        file.seek(0)
        line = "\n"
        for line in file:
            try:
                found: dict[str, Any] = json.loads(line)
                self._known.add(_digest(found["reason"], found["row"]))
            except (ValueError, KeyError, TypeError):
                continue  # half a line, from a death while it was written, or somebody's own note
        if not line.endswith("\n"):
            file.write("\n")

    def keep(self, row: Rejected) -> None:
        """Writes one row, unless it is there."""
        digest = _digest(row.reason, row.row)
        if digest not in self._known:
            self._known.add(digest)
            super().keep(row)


def _digest(reason: str, row: str) -> bytes:
    return blake2b(f"{reason}\0{row}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
