"""A task that is ended is over, whatever it makes of being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from medici_py.task_end import end_task


@pytest.mark.parametrize("deaf_to", [0, 1, 3])
async def test_task_that_misses_a_cancellation_is_cancelled_again(deaf_to: int) -> None:
    """As one may that was just about to get an answer."""
    heard = 0

    async def work() -> None:
        nonlocal heard
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1
                if heard > deaf_to:
                    raise

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await end_task(task, again_secs=0.01)
    assert task.cancelled()
    assert heard == deaf_to + 1


async def test_what_comes_of_a_task_that_is_ended_is_dropped() -> None:
    """Failing while it is cancelled, or before, is no error of who ends it."""

    async def fail() -> None:
        raise ValueError

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    await end_task(task)
    await end_task(task)
    assert task.done()
