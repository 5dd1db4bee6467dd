"""Signing in: the one-time link that the console prints, tokens, and a limit on guesses."""

import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from processor.console.access import Access, Principal, Role

TRIES: Final = 10
WINDOW_S: Final = 60.0
ADDRESSES: Final = 10_000
"""Addresses remembered at most; the one that tried longest ago is forgotten first."""

LOCAL_OPERATOR: Final = Principal("local operator", Role.OPERATOR, None)


class OneTimeLink:
    """A token that opens one session and is then replaced; `announce` shows each new one to whoever started us."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        self._token = ""

    def renew(self) -> None:
        """Makes and announces a token; the one before no longer works."""
        self._token = secrets.token_urlsafe(32)
        self._announce(self._token)

    def use(self, token: str) -> bool:
        """Tells whether it is the token, and if so makes another."""
        with self._lock:
            if not self._token or not hmac.compare_digest(token.encode(), self._token.encode()):
                return False
            self.renew()
            return True


class RateLimit:
    """Counts the failed tries of each address within a sliding window."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def allows(self, address: str) -> bool:
        """Tells whether a try may be made. It counts as failed until `forgive`: tries at once are no way around."""
        now = self._clock()
        with self._lock:
            failures = self._failures.pop(address, deque())
            while failures and failures[0] <= now - WINDOW_S:
                failures.popleft()
            allowed = len(failures) < TRIES
            if allowed:
                failures.append(now)
            self._failures[address] = failures
            if len(self._failures) > ADDRESSES:
                del self._failures[next(iter(self._failures))]
            return allowed

    def forgive(self, address: str) -> None:
        """Takes the last try back: it was good, and people behind one proxy share an address."""
        with self._lock:
            if failures := self._failures.get(address):
                failures.pop()


class SignIn:
    """Turns a secret that somebody presents into a session."""

    def __init__(self, access: Access, link: OneTimeLink | None) -> None:
        self._access = access
        self._link = link
        self.limit = RateLimit()

    def session(self, token: str) -> str | None:
        """Returns the secret of a new session; None for a token that does not exist, has expired or was used."""
        if self._link is not None and self._link.use(token):
            return self._access.open_session(LOCAL_OPERATOR)
        return self._access.exchange(token)
