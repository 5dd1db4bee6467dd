"""A child process that ends with its parent, started through the guardian."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from processor.embedded import guardian

GRACE_S = 15.0


class GuardedChild:
    """A running command and the guardian that watches it; `pid` is the command's process id.

    `remove` names a directory the guardian removes if this process dies; `held` are descriptors it keeps open
    until the command is gone. Raises `OSError` when the command cannot be started.
    """

    def __init__(self, command: Sequence[str], log: Path, *, remove: Path | None, held: Sequence[int]) -> None:
        lifeline, self._lifeline = os.pipe()
        answer, answer_end = os.pipe()
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", guardian.__file__, str(log), str(remove or ""), str(GRACE_S), *command],
            stdin=lifeline,
            stdout=answer_end,
            start_new_session=True,  # Ctrl-C in the terminal reaches the parent only, which then stops us in order
            pass_fds=held,
        )
        os.close(lifeline)
        os.close(answer_end)
        with os.fdopen(answer) as pid:
            line = pid.readline()
        if not line:
            self.end(signal.SIGTERM)
            raise OSError(f"{command[0]} cannot be started")
        self.pid = int(line)

    def ended(self) -> bool:
        """Tells whether the command is gone."""
        return self._guardian.poll() is not None

    def wait(self) -> None:
        """Returns when the command is gone."""
        self._guardian.wait()

    def end(self, how: signal.Signals) -> None:
        """Ends the command and returns when it is gone: at once with SIGKILL, else within a grace period."""
        if not self.ended():
            if how is signal.SIGKILL:
                os.kill(self.pid, how)
            else:
                self._guardian.terminate()
        self._guardian.wait()
        os.close(self._lifeline)
