"""A person's terminals: types the lines of a page as they stand there, with this machine's places for the page's."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from click.testing import CliRunner

from processor.cli import main
from tests.crash.workers import wait_until

STAYS: Final = {
    re.compile("credits kafka up"): "is ready on",
    re.compile("credits worker"): "partitions adopted",
    re.compile("credits payment-worker"): "payment worker started",
    re.compile("credits console(?! token)"): "Console: http",
    re.compile("credits verify --follow"): "audited",
    re.compile("credits pull .*--every"): "published: ",
    re.compile("python -m examples.mailer"): "reading notifications.v1",
}
"""Commands that go on until they are stopped, and what they say when they work."""

START_S: Final = 180
END_S: Final = 120
_SHELL: Final = re.compile(r"[|<>$~;&]|^credits (pull|payment-conformance|simulate)")  # those leave handlers or threads
_COMMENT: Final = re.compile(r"\s+(#.*|\(in a second terminal\)|&( +#.*)?)$")


class Terminal:
    """Runs lines in one directory; what stays is stopped by SIGTERM in the end and must then end well.

    `places` says what stands here for a word of a page: an address, a directory, a number that would take long.
    """

    def __init__(self, directory: Path, places: dict[str, str], environment: dict[str, str]) -> None:
        self.directory = directory
        self._places = places
        path = f"{Path(sys.executable).parent}:{directory}:{os.environ['PATH']}"
        self.environment = {**os.environ, "CREDITS_METRICS_PORT": "0", **environment, "PATH": path}
        self._staying: dict[re.Pattern[str], subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as ends:  # all of them, also when one does not end well
            for program in list(self._staying):
                ends.callback(self.stop, program)

    def type(self, line: str, code: int = 0) -> str:
        """Runs a line and returns what it printed, or starts what stays and returns when it works; `^C` stops it."""
        line = _COMMENT.sub("", line.removeprefix("$ "))
        for there, here in self._places.items():
            line = line.replace(there, here)
        if line.startswith("^C "):
            self.stop(next(program for program in self._staying if program.match(line.removeprefix("^C "))))
            return ""
        if line.startswith("export "):
            name = line.removeprefix("export ").partition("=")[0]
            self.environment[name] = self._run(f'{line}; printf %s "${name}"', 0)
            return ""
        for program in STAYS:
            if program.match(line):
                self._start(program, line)
                return ""
        if line.startswith("credits ") and not _SHELL.search(line):
            return self._invoke(line, code)
        return self._run(line, code)

    def _invoke(self, line: str, code: int) -> str:
        """Runs a command that needs no shell inside this process: a second less each."""
        with contextlib.chdir(self.directory):
            done = CliRunner().invoke(main, shlex.split(line)[1:], env=self.environment)
        assert done.exit_code == code, f"{line}: exit code {done.exit_code}\n{done.output}\n{done.exception}"
        return done.stdout

    def stop(self, program: re.Pattern[str]) -> None:
        """Sends SIGTERM, as Ctrl-C would, and waits for a clean end."""
        process = self._staying.pop(program)
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(END_S)
        finally:
            process.kill()
        # uvicorn cleans up and then lets the signal end the process.
        assert code in (0, -signal.SIGTERM), f"{program.pattern}\n{self._log(program).read_text()}"

    def _run(self, line: str, code: int) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=END_S,
            check=False,
        )
        assert done.returncode == code, f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, program: re.Pattern[str], line: str) -> None:
        """Starts what stays; an earlier one of the same program makes room for it."""
        if program in self._staying:
            self.stop(program)
        with self._log(program).open("wb") as log:
            command = ["bash", "-c", f"exec {line}"]
            process = subprocess.Popen(command, cwd=self.directory, env=self.environment, stdout=log, stderr=log)
        self._staying[program] = process
        wait_until(
            f"{line} works",
            lambda: STAYS[program] in self._log(program).read_text() or process.poll() is not None,
            START_S,
        )
        assert process.poll() is None, f"{line}: exit code {process.returncode}\n{self._log(program).read_text()}"

    def _log(self, program: re.Pattern[str]) -> Path:
        return self.directory / f"{re.sub('[^a-z]+', '-', program.pattern)}.log"
