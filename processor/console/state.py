"""What the requests of the console share."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

from processor.console.access import Access
from processor.console.changes import ChangeSignal
from processor.console.commands import Commands
from processor.console.lag import Lag
from processor.console.oidc import Oidc
from processor.console.queries import Queries
from processor.console.signin import SignIn
from processor.domain.tariff import Tariff


class Rates(Protocol):
    """The rate decks, read again when their files change: the meter does so, and both must say the same."""

    @property
    def tariff(self) -> Tariff:
        """The tariff in use."""

    async def watch(self, use: Callable[[Tariff], None]) -> None:
        """Replaces the tariff, and hands it to `use`, whenever there is a new one; until it is cancelled."""


class State(NamedTuple):
    """Made once at the start."""

    queries: Queries
    access: Access
    commands: Commands
    signal: ChangeSignal
    signin: SignIn
    oidc: Oidc | None
    lag: Lag
    rates: Rates
    default_currency: str
    secure_cookies: bool
    closing: threading.Event
    clock: Callable[[], datetime]
