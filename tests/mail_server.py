"""A mail server on this machine that keeps what it is sent."""
# ruff: noqa: ARG002 - aiosmtpd passes what a handler may need

from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller

from processor.embedded.broker import free_port


class Postbox:
    """Keeps mails; refuses the recipients in `refused` for good, and is busy for the next `busy` mails."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refused: set[str] = set()
        self.busy = 0
        self.address = ""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.busy:
            self.busy -= 1
            return "451 try again later"
        self.mails.append(cast("EmailMessage", BytesParser(policy=default).parsebytes(envelope.content)))
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@pytest.fixture
def postbox() -> Iterator[Postbox]:
    """A running server's postbox; `address` is where it listens."""
    box, port = Postbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    box.address = f"127.0.0.1:{port}"
    yield box
    controller.stop()
