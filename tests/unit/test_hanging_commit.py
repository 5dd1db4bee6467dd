"""A commit that does not come back ends the worker, although nothing else arrives that would have to wait for it."""

import asyncio
import threading

from processor.stream.faults import diagnose
from processor.stream.work import Work
from tests.unit.builders import autopay
from tests.unit.test_stream_timers import World, make_cycle


def test_a_commit_that_does_not_come_back_ends_the_worker_without_another_batch() -> None:
    let_go = threading.Event()

    async def scene() -> BaseException:
        died: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        world = World()

        def hang(_work: Work, _group_metadata: object) -> None:
            let_go.wait()

        world.broker.commit = hang  # type: ignore[method-assign]
        world.cycle = make_cycle(world, died.set_result, commit_within_s=0.01)
        await world.cycle.start()
        await world.adopt({})
        await world.bring(autopay())
        try:
            return await died
        finally:
            let_go.set()
            await world.cycle.stop()

    assert diagnose(asyncio.run(scene())).cause == "broker_unreachable"
