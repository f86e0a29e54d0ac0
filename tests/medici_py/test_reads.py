"""What every read takes, and what becomes of a question that the server cannot read."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from medici_py import Book, InvalidQueryError

MAY = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
Pay = Callable[..., Any]


@pytest.mark.parametrize("read", ["balance", "ledger", "stream", "list_accounts"])
async def test_unknown_argument_is_refused(read: str, book: Book) -> None:
    """A misspelt or unknown bound is never passed over, which would answer another question."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'until'"):
        await getattr(book, read)(until=MAY)


@pytest.mark.parametrize(
    "ask",
    [
        lambda book, extra: book.balance(None, extra),
        lambda book, extra: book.ledger(None, extra),
        lambda book, extra: book.ledger(None, extra, per_page=1),
        lambda book, extra: anext(aiter(book.stream(None, extra))),
    ],
    ids=["balance", "ledger", "page", "stream"],
)
@pytest.mark.parametrize("condition", [{"$nonsense": 1}, {"$in": 5}, {"$regex": "("}], ids=str)
async def test_filter_that_the_server_cannot_read_is_a_refused_question(
    ask: Any, condition: Any, book: Book, pay: Pay
) -> None:
    """The driver's error stays behind ours, which shows the filter."""
    await pay(book)
    with pytest.raises(InvalidQueryError, match=r"n.*refused by MongoDB") as caught:
        await ask(book, {"n": condition})
    assert caught.value.field == "extra"
