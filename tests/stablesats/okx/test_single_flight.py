"""One question for all who ask it at the same time."""

import asyncio

import pytest

from stablesats.okx import OkxUnreachableError
from stablesats.okx.single_flight import SingleFlight


class Oracle:
    """Answers with the number of the question, once it is told to."""

    def __init__(self) -> None:
        self.questions = 0
        self.failure: Exception | None = None
        self.may_answer = asyncio.Event()

    async def ask(self) -> int:
        self.questions += 1
        number = self.questions
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return number


@pytest.fixture
async def oracle() -> Oracle:
    return Oracle()


async def asked_by(flight: SingleFlight[int], count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(flight.answer()) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_those_who_ask_meanwhile_share_the_answer(oracle: Oracle) -> None:
    """And those who come later get a new one."""
    flight = SingleFlight(oracle.ask)
    tasks = await asked_by(flight, 3)
    assert flight.is_under_way
    oracle.may_answer.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert not flight.is_under_way
    assert await flight.answer() == 2


async def test_those_who_ask_meanwhile_share_the_error(oracle: Oracle) -> None:
    """Nobody waits for a second failure; the next to come asks anew."""
    flight = SingleFlight(oracle.ask)
    tasks = await asked_by(flight, 3)
    oracle.failure = OkxUnreachableError("nobody there")
    oracle.may_answer.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OkxUnreachableError] * 3
    assert oracle.questions == 1
    oracle.failure = None
    assert await flight.answer() == 2


async def test_if_the_one_who_asks_is_cancelled_the_next_asks(oracle: Oracle) -> None:
    """A cancellation concerns one task only, and is no answer."""
    flight = SingleFlight(oracle.ask)
    first, *others = await asked_by(flight, 3)
    first.cancel()
    await asyncio.wait({first})
    oracle.may_answer.set()
    assert await asyncio.gather(*others) == [2, 2]
    assert first.cancelled()


async def test_after_all_were_cancelled_the_next_asks(oracle: Oracle) -> None:
    """Nothing stays taken."""
    flight = SingleFlight(oracle.ask)
    tasks = await asked_by(flight, 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert not flight.is_under_way
    oracle.may_answer.set()
    assert await flight.answer() == oracle.questions


async def test_a_defect_is_not_shared(oracle: Oracle) -> None:
    """It is raised where it happened, and the next in line asks."""
    flight = SingleFlight(oracle.ask)
    first, second = await asked_by(flight, 2)
    oracle.failure = ZeroDivisionError()
    oracle.may_answer.set()
    with pytest.raises(ZeroDivisionError):
        await first
    with pytest.raises(ZeroDivisionError):
        await second
    assert oracle.questions == 2
