"""Sends one mail per notification, and remembers which.

A notification has the same id however often it is written, so the memory is a table of ids. Order of work: send,
remember, commit the position. A crash between the first two sends the mail again, under the same Message-ID; none is
ever lost.
"""

import logging
import smtplib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any

from examples.mailer.letters import Letters, identity

KEPT_DAYS = 100
"""Longer than the topic keeps notifications (90 days): what can come again is remembered."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

log = logging.getLogger("mailer")

Smtp = Callable[[], AbstractContextManager[smtplib.SMTP]]


class Memory:
    """The ids of what was mailed, in a SQLite file."""

    def __init__(self, path: Path | str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS mailed (id TEXT PRIMARY KEY, at TEXT NOT NULL)")
        self._database.execute("DELETE FROM mailed WHERE at < datetime('now', ?)", (f"-{KEPT_DAYS} days",))

    def __contains__(self, event_id: str) -> bool:
        return self._database.execute("SELECT 1 FROM mailed WHERE id = ?", (event_id,)).fetchone() is not None

    def add(self, event_id: str) -> None:
        """Remembers an id; returns when it is on the disk."""
        self._database.execute("INSERT INTO mailed VALUES (?, datetime('now')) ON CONFLICT DO NOTHING", (event_id,))

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


class Mailer:
    """Mails notifications to the people of each tenant.

    `recipients` is the content of the recipients file: `default` and `tenants`, each with `to` and `language`.
    """

    def __init__(
        self,
        letters: Letters,
        recipients: Mapping[str, Any],
        memory: Memory,
        smtp: Smtp,
        sender: str,
        stop: Event,
    ) -> None:
        self._letters, self._recipients, self._memory = letters, recipients, memory
        self._smtp, self._sender, self._stop = smtp, sender, stop

    def handle(self, event: Mapping[str, Any]) -> bool:
        """Mails one CloudEvent unless that was done before; False when it was told to stop before it could.

        Waits for a mail server that is away. A mail that the server refuses for good is logged and not tried again.
        """
        event_id = identity(event)
        people = self._recipients.get("tenants", {}).get(event["subject"], self._recipients.get("default"))
        if event_id in self._memory or people is None:
            return True
        mail = self._letters.write(event, self._sender, people["to"], people["language"])
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                with self._smtp() as server:
                    server.send_message(mail)
                log.info("mailed %s to %d", event["type"], len(people["to"]))
                break
            except smtplib.SMTPRecipientsRefused as refused:
                if all(code >= 500 for code, _ in refused.recipients.values()):
                    log.error("%s of %s: every recipient was refused", event["type"], event["subject"])  # noqa: TRY400
                    break
                log.warning("recipients refused for now, trying again in %.0f s", pause_s)
            except smtplib.SMTPResponseException as answer:
                if answer.smtp_code >= 500:
                    log.error("%s of %s was refused: %s", event["type"], event["subject"], answer)  # noqa: TRY400
                    break
                log.warning("the mail server is busy (%s), trying again in %.0f s", answer, pause_s)
            except (smtplib.SMTPException, OSError) as error:
                log.warning("the mail server is away (%s), trying again in %.0f s", error, pause_s)
            if self._stop.wait(pause_s):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._memory.add(event_id)
        return True
