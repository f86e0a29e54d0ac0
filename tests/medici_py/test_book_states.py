"""How a book is kept is decided once, by the first poster, and remembered for a while."""

import asyncio
import logging
from typing import Any

import pytest

from medici_py.book_states import REMEMBERED_SECS, BookStates
from medici_py.errors import RunningBalancesError

FIELDS = ("meta.currency",)


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def states_of(bank: Any, seconds: Seconds) -> BookStates:
    return BookStates(bank["medici_py_books"], bank["medici_transactions"], monotonic=seconds)


async def test_first_poster_decides_for_everybody(bank: Any, seconds: Seconds) -> None:
    """Ten processes that begin a book at once agree, whatever dimensions each of them has."""
    every = [states_of(bank, seconds) for _ in range(10)]
    found = await asyncio.gather(
        *(
            states.for_posting("Own", running_balances=True, fields=(f"meta.d{number}",))
            for number, states in enumerate(every)
        )
    )
    assert len({state.fields for state in found}) == 1
    assert all(state.running_balances for state in found)


async def test_nothing_is_known_of_a_book_before_its_first_entry(bank: Any, seconds: Seconds) -> None:
    """To read does not decide anything."""
    states = states_of(bank, seconds)
    assert await states.for_reading("Own") is None
    assert await bank["medici_py_books"].count_documents({}) == 0


async def test_book_with_older_entries_keeps_no_running_balances(
    bank: Any, seconds: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    """They would lack those; the log says what to do."""
    await bank["medici_transactions"].insert_one({"book": "Old"})
    with caplog.at_level(logging.WARNING):
        state = await states_of(bank, seconds).for_posting("Old", running_balances=True, fields=FIELDS)
    assert not state.running_balances
    assert "rebuild_balances()" in caplog.text


async def test_poster_without_running_balances_is_refused_where_there_are_some(
    bank: Any, seconds: Seconds
) -> None:
    """It would falsify them."""
    await states_of(bank, seconds).for_posting("Own", running_balances=True, fields=FIELDS)
    with pytest.raises(RunningBalancesError, match="'Own' keeps running balances"):
        await states_of(bank, seconds).for_posting("Own", running_balances=False, fields=FIELDS)


async def test_state_is_read_again_after_a_while_or_when_forgotten(bank: Any, seconds: Seconds) -> None:
    """In between others' changes are not seen."""
    states = states_of(bank, seconds)
    await states.for_posting("Own", running_balances=True, fields=FIELDS)

    async def corrections() -> int:
        state = await states.for_reading("Own")
        assert state is not None
        return state.corrections

    await bank["medici_py_books"].update_one({"_id": "Own"}, {"$set": {"corrections": 1}})
    assert await corrections() == 0
    seconds.now = REMEMBERED_SECS
    assert await corrections() == 1
    await bank["medici_py_books"].update_one({"_id": "Own"}, {"$set": {"corrections": 2}})
    assert await corrections() == 1
    states.forget("Own")
    assert await corrections() == 2


async def test_book_that_was_dropped_is_unknown_again(bank: Any, seconds: Seconds) -> None:
    states = states_of(bank, seconds)
    await states.for_posting("Own", running_balances=True, fields=FIELDS)
    await bank["medici_py_books"].delete_one({"_id": "Own"})
    states.forget("Own")
    assert await states.for_reading("Own") is None
