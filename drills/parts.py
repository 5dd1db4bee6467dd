"""A process of a drill: started, killed, frozen and woken at will, and never left behind."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from processor.embedded.child import GuardedChild


class Part:
    """A command with an environment of its own; what it says goes to `log`."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        words = [f"{name}={value}" for name, value in (environment or {}).items()]
        self._command = ["/usr/bin/env", *words, *command]
        self._log = log
        self._child: GuardedChild | None = None

    @property
    def wanted(self) -> bool:
        """Whether it was started and not ended since."""
        return self._child is not None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and not self._child.ended()

    @property
    def pid(self) -> int:
        """The process id; raises `RuntimeError` when it is not wanted."""
        if self._child is None:
            raise RuntimeError(f"not started: {' '.join(self._command)}")
        return self._child.pid

    def start(self) -> None:
        """Starts it, or starts it again; harmless when it runs."""
        if not self.running:
            self.end()
            self._child = GuardedChild(self._command, self._log, remove=None, held=[])

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it and returns when it is gone; harmless when it was not started."""
        if self._child is not None:
            self._child.end(how)
            self._child = None

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.end(signal.SIGKILL)

    def last_words(self, lines: int = 5) -> str:
        """Returns the end of its log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.strip().splitlines()[-lines:])


def freeze(pid: int) -> None:
    """Stops a process as a hanging machine would: it keeps its connections and answers nothing."""
    os.kill(pid, signal.SIGSTOP)


def wake(pid: int) -> None:
    """Lets a frozen process go on."""
    os.kill(pid, signal.SIGCONT)
