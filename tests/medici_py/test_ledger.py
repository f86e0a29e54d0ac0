"""The stream goes on behind its last leg when its snapshot or its connection is lost."""

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from medici_py import Book, InvalidQueryError
from medici_py.ledger import PageRange, parse_page

Fail = Callable[..., Any]
Pay = Callable[..., Any]


@pytest.mark.parametrize(
    ("per_page", "page", "expected"),
    [
        (None, None, None),
        (None, 3, None),
        (10, None, PageRange(0, 10)),
        (10, 1, PageRange(0, 10)),
        (10, 3, PageRange(20, 10)),
    ],
)
def test_numbers_of_a_page(per_page: int | None, page: int | None, expected: PageRange | None) -> None:
    """Pages count from 1; without a size there are none."""
    assert expected == parse_page(per_page, page)


@pytest.mark.parametrize("numbers", [(0, None), (-1, 1), (5, 0), (None, 0), (1.0, 1), (True, 1), ("5", 1)])
def test_number_below_one_is_refused(numbers: tuple[Any, Any]) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidQueryError):
        parse_page(*numbers)


@pytest.mark.parametrize("how", [{"errorCode": 239}, {"errorCode": 43}, {"closeConnection": True}], ids=str)
async def test_stream_that_lost_its_cursor_covers_each_leg_once(
    how: dict[str, Any], faulty_bank: Any, fail: Fail, pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshot too old, cursor gone, connection lost: the rest follows from the last leg seen."""
    monkeypatch.setattr("medici_py.ledger.STREAM_BATCH", 3)
    book = Book("MainBook", faulty_bank)
    for amount in range(1, 11):
        await pay(book, amount, debit="A", credit="B", date="2024-05-01")
    expected = (await book.ledger()).results
    seen = []
    async for leg in book.stream():
        seen.append(leg)
        if len(seen) in (4, 11):
            await fail("getMore", **how)
    assert expected == seen


async def test_stream_that_cannot_go_on_raises(
    faulty_bank: Any, fail: Fail, pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another error is passed on, never taken for the end."""
    monkeypatch.setattr("medici_py.ledger.STREAM_BATCH", 2)
    book = Book("MainBook", faulty_bank)
    for amount in range(1, 5):
        await pay(book, amount, debit="A", credit="B")
    await fail("getMore", errorCode=8000)
    stream = book.stream()
    assert await anext(stream) != await anext(stream)
    with pytest.raises(OperationFailure):
        await anext(stream)
