"""Performs one drill: calm, cause, the alert fires, mitigation, the alert ends, the books agree."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final, Literal

import click
import httpx
import msgspec

from drills.catalogue import Drill
from drills.prometheus import PrometheusMissing
from drills.world import DrillFailed, World
from processor.embedded.errors import BrokerError

FAULTS: Final = (
    DrillFailed,
    PrometheusMissing,
    BrokerError,
    click.ClickException,
    httpx.HTTPError,
    subprocess.CalledProcessError,
)
"""What one drill may fail with while the others go on."""

Stage = Literal["waiting", "starting", "causing", "firing", "mending", "done", "failed"]

CAUSE_S = 900.0
"""How long an alert may take to fire: ten minutes of a recharge without a result, and the rest."""
MEND_S = 600.0
"""How long it may take to end: six hours of the slow burn rate, when an hour is a minute."""


class Outcome(msgspec.Struct, kw_only=True):
    """What a drill has shown; seconds from the beginning of cause and mitigation, None for what did not happen."""

    drill: str
    alert: str
    cause: str
    mitigation: str
    hour_s: float
    """How long an hour of the rules' windows lasted."""
    fired_after_s: float | None = None
    cleared_after_s: float | None = None
    others: list[str] = []
    """What else was firing when the alert was."""
    drifts: int | None = None
    """What `credits verify` found afterwards."""
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether the alert fired and ended, and no money went astray."""
        return not self.problem and None not in (self.fired_after_s, self.cleared_after_s) and self.drifts == 0


def perform(drill: Drill, say: Callable[[Stage], None], stop: Event) -> Outcome:
    """Performs a drill in a world of its own, until `stop`; what goes wrong is in the outcome."""
    outcome = Outcome(
        drill=drill.name,
        alert=drill.alert,
        cause=drill.cause,
        mitigation=drill.mitigation,
        hour_s=3600 / drill.factor,
    )
    try:
        if stop.is_set():
            raise DrillFailed("stopped by a signal")
        with tempfile.TemporaryDirectory(prefix="credits-drill-") as directory:
            say("starting")
            with World(Path(directory), drill.factor, stop) as world:
                _perform(drill, world, outcome, say)
    except FAULTS as error:
        outcome.problem = f"{type(error).__name__}: {error}"
    say("done" if outcome.good else "failed")
    return outcome


def _perform(drill: Drill, world: World, outcome: Outcome, say: Callable[[Stage], None]) -> None:
    steps = drill.steps(world)
    next(steps)
    firing = world.prometheus.firing
    world.until("everything is calm", lambda: world.calm() and drill.alert not in firing(), MEND_S)
    say("causing")
    began = time.monotonic()
    next(steps)
    world.until("the alert fires", lambda: drill.alert in firing(), CAUSE_S)
    outcome.fired_after_s = time.monotonic() - began
    outcome.others = sorted(firing() - {drill.alert})
    say("firing")
    began = time.monotonic()
    next(steps, None)
    say("mending")
    world.until("the alert ends", lambda: drill.alert not in firing(), MEND_S)
    outcome.cleared_after_s = time.monotonic() - began
    world.until("everything is up again", world.up)
    outcome.drifts = world.drifts()
