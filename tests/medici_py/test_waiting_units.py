"""Queues of units: in their turn, and any can leave."""

import asyncio

import pytest

from medici_py.retry import PATIENT_AFTER_CONFLICTS
from medici_py.waiting_units import HeldUp, Waiting, WaitingQueue

Unit = Waiting[str, str]


@pytest.fixture
async def units() -> list[Unit]:
    loop = asyncio.get_running_loop()
    return [Waiting(name, loop.create_future(), since=0.0) for name in "abcd"]


async def test_units_wait_in_the_order_in_which_they_came(units: list[Unit]) -> None:
    """Whoever leaves in between changes nothing about the turn of the others."""
    queue: WaitingQueue[str, str] = WaitingQueue()
    for one in units:
        queue.append(one)
    queue.remove(units[1])
    assert [one.unit for one in queue] == ["a", "c", "d"]
    assert queue.first is units[0]
    assert [one.queue for one in units] == [queue, None, queue, queue]


async def test_units_that_come_back_keep_their_order_before_the_others(units: list[Unit]) -> None:
    """They have waited for longer."""
    queue: WaitingQueue[str, str] = WaitingQueue()
    queue.append(units[3])
    queue.put_first(units[:3])
    assert [one.unit for one in queue] == [*"abcd"]


async def test_all_leave_at_once_in_their_order(units: list[Unit]) -> None:
    """An empty queue is false."""
    queue: WaitingQueue[str, str] = WaitingQueue()
    queue.put_first(units)
    assert queue.remove_all() == units
    assert not queue
    assert {one.queue for one in units} == {None}


async def test_answer_reaches_whoever_still_listens(units: list[Unit]) -> None:
    """A result, an error; who was cancelled is told nothing."""
    told, failed, gone, _ = units
    gone.future.cancel()
    told.answer("yes")
    failed.answer(LookupError("no"))
    gone.answer("yes")
    assert await told.future == "yes"
    with pytest.raises(LookupError, match="no"):
        await failed.future
    assert gone.future.cancelled()


def test_tries_take_fewer_units_after_some_conflicts_and_more_after_none() -> None:
    """So that the few that meet it are told from the many that do not, unless it is over in a moment."""
    held: HeldUp[str, str] = HeldUp(WaitingQueue())
    for conflicts in range(1, PATIENT_AFTER_CONFLICTS + 1):
        held.count_conflict(9)
        assert (held.at_once, held.conflicts) == (9, conflicts)
    for units, at_once in ((9, 4), (4, 2), (2, 1), (1, 1)):
        held.count_conflict(units)
        assert held.at_once == at_once
    held.count_success()
    held.count_success()
    assert (held.at_once, held.conflicts) == (4, 0)
