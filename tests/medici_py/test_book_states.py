"""How a book is kept is decided once, by the first entry that stands, and remembered for a while."""

import asyncio
import logging
from typing import Any

import pytest
from bson import ObjectId

from medici_py import Book
from medici_py.book_state import BookState, kept_alike
from medici_py.book_states import REMEMBERED_SECS, BookStates
from medici_py.errors import (
    InsufficientBalanceError,
    JournalNotFoundError,
    RunningBalancesError,
)

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


async def begin(bank: Any) -> None:
    state = BookState("Own", running_balances=True, fields=FIELDS)
    await bank["medici_py_books"].insert_one(state.to_document())


def states_of(bank: Any, seconds: Seconds) -> BookStates:
    return BookStates(bank["medici_py_books"], bank["medici_transactions"], monotonic=seconds)


async def test_first_entries_that_meet_agree(bank: Any) -> None:
    """Ten books that are begun at once, each as another Book would have it: one decides for everybody."""
    books = [
        Book("Own", bank, dimensions={f"d{number}": "x"}, group_commit=number % 2 == 0)
        for number in range(10)
    ]
    journals = await asyncio.gather(
        *(book.entry("first").debit("A", 1).credit("B", 1).commit() for book in books)
    )
    assert len({journal.id for journal in journals}) == 10
    (stored,) = [state async for state in bank["medici_py_books"].find()]
    assert stored["running_balances"]
    (first,) = [
        book for book in books if [f"meta.{name}" for name in book.settings.dimensions] == stored["fields"]
    ]
    assert (await first.verify()).clean
    assert (await first.balance("B")).balance == 10


async def test_what_writes_nothing_decides_nothing(bank: Any) -> None:
    """Neither a dry run nor a refused entry nor a void that finds nothing, whatever its Book is like."""

    def entry(book: Book, **bounds: Any) -> Any:
        return book.entry("x").debit("W", 1, {"layer": "x"}, **bounds).credit("A", 1, {"layer": "x"})

    others: dict[str, Any] = {"One": {"running_balances": False}, "Other": {"dimensions": ("layer",)}}
    for name, parameters in others.items():
        other = Book(name, bank, **parameters)
        await entry(other).dry_run()
        with pytest.raises(InsufficientBalanceError):
            await entry(other, min_balance=0).commit()
        with pytest.raises(JournalNotFoundError):
            await other.void(ObjectId())
        assert await bank["medici_py_books"].count_documents({"_id": name}) == 0
        book = Book(name, bank)
        await entry(book, max_balance=0).commit()
        assert (await book.balance("W")).balance == -1
        assert await bank["medici_py_balances"].count_documents({"_id.book": name, "_id.path": ["W"]}) == 1
        assert (await book.verify()).clean


async def test_batch_of_books_that_disagree_about_a_new_one_keeps_to_its_first_entry(bank: Any) -> None:
    """As they would one after the other."""
    books = [Book("Own", bank, dimensions=dimensions) for dimensions in ((), {"layer": "x"})]
    async with books[0].batch() as batch:
        for book in books:
            batch.add(book.entry("first").debit("A", 1).credit("B", 1))
    assert len(batch.journals) == 2
    (stored,) = [state async for state in bank["medici_py_books"].find()]
    assert stored["fields"] == []
    assert (await books[0].verify()).clean


async def test_void_before_anything_is_known_of_a_book_leaves_it_without_running_balances(bank: Any) -> None:
    """Its journals are older, whoever made them."""
    book = Book("Old", bank)
    journal = await book.entry("x").debit("A", 1).credit("B", 1).commit()
    await bank["medici_py_books"].delete_many({})
    await bank["medici_py_balances"].delete_many({})
    book._poster.desk.forget_state("Old")
    await book.void(journal.id)
    assert await bank["medici_py_balances"].count_documents({}) == 0
    assert (await book.balance("A")).notes == 2


async def test_nothing_is_known_of_a_book_before_its_first_entry(bank: Any, seconds: Seconds) -> None:
    """To read does not decide anything."""
    states = states_of(bank, seconds)
    assert await states.for_reading("Own") is None
    assert await bank["medici_py_books"].count_documents({}) == 0


async def test_book_with_older_entries_keeps_no_running_balances(
    bank: Any, seconds: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    """They would lack those; the log says what to do, once."""
    await bank["medici_transactions"].insert_one({"book": "Old"})
    states = states_of(bank, seconds)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            state = await states.for_posting("Old", running_balances=True, fields=FIELDS)
            assert (state.running_balances, state.is_assumed) == (False, True)
    (warning,) = caplog.messages
    assert "rebuild_balances()" in warning


async def test_poster_without_running_balances_is_refused_where_there_are_some(
    bank: Any, seconds: Seconds
) -> None:
    """It would falsify them."""
    await begin(bank)
    with pytest.raises(RunningBalancesError, match="'Own' keeps running balances"):
        await states_of(bank, seconds).for_posting("Own", running_balances=False, fields=FIELDS)


async def test_who_comes_late_is_told_how_the_book_was_begun(bank: Any, seconds: Seconds) -> None:
    """And remembers that, not what it had assumed."""
    first, late = (states_of(bank, seconds) for _ in range(2))
    assumed = [
        await states.for_posting("Own", running_balances=wanted, fields=FIELDS)
        for states, wanted in ((first, True), (late, False))
    ]
    assert [state.is_assumed for state in assumed] == [True, True]
    begun = await first.begin(assumed[0])
    assert (begun.running_balances, begun.is_assumed) == (True, False)
    for _ in range(2):
        told = await late.begin(assumed[1])
        assert kept_alike(told, begun)
        assert not told.is_assumed
    assert late.remembered("Own") == told


async def test_state_is_read_again_after_a_while_or_when_forgotten(bank: Any, seconds: Seconds) -> None:
    """In between others' changes are not seen."""
    states = states_of(bank, seconds)
    await begin(bank)
    assert await states.for_reading("Own") is not None

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
    await begin(bank)
    assert await states.for_reading("Own") is not None
    await bank["medici_py_books"].delete_one({"_id": "Own"})
    states.forget("Own")
    assert await states.for_reading("Own") is None
