"""What the requests of the console share."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from processor.console.access import Access
from processor.console.changes import ChangeSignal
from processor.console.commands import Commands
from processor.console.lag import Lag
from processor.console.oidc import Oidc
from processor.console.queries import Queries
from processor.console.signin import SignIn
from processor.domain.tariff import Tariff


class State(NamedTuple):
    """Made once at the start."""

    queries: Queries
    access: Access
    commands: Commands
    signal: ChangeSignal
    signin: SignIn
    oidc: Oidc | None
    lag: Lag
    tariff: Tariff
    default_currency: str
    secure_cookies: bool
    closing: threading.Event
    clock: Callable[[], datetime]
