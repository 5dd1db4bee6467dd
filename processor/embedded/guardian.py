"""Runs one command and ends it when the process that asked for it is gone, however that one died.

Started as `guardian.py LOG DIR GRACE_S COMMAND...`, where DIR may be empty. It prints the process id of the command,
whose output goes to LOG. The parent holds the other end of standard input: end of file means that the parent died,
even by SIGKILL. Then the command is terminated and DIR, the parent's temporary directory, is removed. SIGTERM
terminates the command and leaves DIR alone. Only the standard library is imported: this process must start fast and
never fail.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PARENT_CHECK_S = 1.0


def main(arguments: list[str]) -> int:
    """Runs the command to its end or its parent's and returns its exit code."""
    log, directory, grace_s, *command = arguments
    stops: list[int] = []
    wake, _wake_end = _wake_on_signals(stops)
    parent = os.getppid()
    with Path(log).open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_guardian,
        )
    with contextlib.suppress(BrokenPipeError):  # the parent died meanwhile: standard input says so as well
        print(child.pid, flush=True)
    parent_died = False
    while child.poll() is None and not stops and not parent_died:
        readable, _, _ = select.select([0, wake], [], [], PARENT_CHECK_S)
        if wake in readable:
            os.read(wake, 512)
        parent_died = os.getppid() != parent or (0 in readable and not os.read(0, 512))
    _terminate(child, float(grace_s))
    if parent_died and directory:
        shutil.rmtree(directory, ignore_errors=True)
    return child.returncode


def _wake_on_signals(stops: list[int]) -> tuple[int, int]:
    """Returns a pipe that becomes readable on any handled signal; stop signals are appended to `stops`."""

    def remember(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            stops.append(number)

    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, remember)
    return wake, wake_end


def _die_with_guardian() -> None:
    """Asks Linux to kill the command should this process itself be killed; other systems have no such request."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _terminate(child: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Ends the command: SIGTERM (which a frozen process receives once continued), after the grace SIGKILL."""
    if child.poll() is None:
        child.terminate()
        child.send_signal(signal.SIGCONT)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


if __name__ == "__main__":
    sys.exit(abs(main(sys.argv[1:])))
