"""The supervisor gives up at a fault that a restart cannot mend, unless it would take working processes with it."""

import time

import pytest

from processor.cli import worker
from processor.cli.worker import _Supervisor


def supervisor(*ages_s: float) -> _Supervisor:
    """One whose other processes have been running for so long."""
    made = _Supervisor(3, 5)
    made._children = dict.fromkeys(range(len(ages_s)))  # type: ignore[arg-type]  # only their number matters here
    made._started = {index: time.monotonic() - age_s for index, age_s in enumerate(ages_s)}
    return made


@pytest.mark.parametrize("code", [1, 2])
def test_a_fault_at_the_start_ends_everything(code: int) -> None:
    assert supervisor()._hopeless(code)
    assert supervisor(1, 2)._hopeless(code)


@pytest.mark.parametrize("code", [1, 2])
def test_a_fault_of_a_restarted_process_does_not_stop_those_that_work(code: int) -> None:
    assert not supervisor(1, worker.HEALTHY_AFTER_S + 1)._hopeless(code)


@pytest.mark.parametrize("code", [0, 70, 75, -9])
def test_whatever_a_restart_may_mend_is_restarted(code: int) -> None:
    assert not supervisor()._hopeless(code)
