"""Servers without transactions: a standalone mongod is refused, mongomock is worked with."""

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient
from pymongo import AsyncMongoClient

from medici_py import (
    Balance,
    Book,
    JournalAlreadyVoidedError,
    TransactionError,
    UnsupportedDeploymentError,
    init_models,
    mongo_transaction,
)


@pytest.fixture
async def standalone(standalone_uri: str) -> AsyncIterator[Any]:
    async with AsyncMongoClient[dict[str, Any]](standalone_uri) as client:
        yield client["bank"]


async def test_standalone_server_is_refused_with_the_way_out(standalone: Any) -> None:
    """Every write says how to start a replica set, and nothing is written."""
    book = Book("MainBook", standalone)

    async def insert(session: Any) -> None:
        await standalone.things.insert_one({}, session=session)

    attempts: list[Callable[[], Awaitable[Any]]] = [
        book.entry("x").debit("A", 1).credit("B", 1).commit,
        lambda: book.void("65f000000000000000000001"),
        lambda: mongo_transaction(standalone.client, insert),
    ]
    for attempt in attempts:
        with pytest.raises(UnsupportedDeploymentError, match=r"--replSet rs0 .* rs\.initiate\(\)"):
            await attempt()
    assert await standalone["medici_transactions"].count_documents({}) == 0


async def test_standalone_server_is_refused_for_reads_too(standalone: Any) -> None:
    """One snapshot is what an answer rests on."""
    book = Book("MainBook", standalone)
    questions: list[Callable[[], Awaitable[Any]]] = [
        book.balance,
        book.ledger,
        lambda: book.ledger(per_page=1),
        book.list_accounts,
        lambda: anext(book.stream()),
    ]
    for question in questions:
        with pytest.raises(UnsupportedDeploymentError):
            await question()


@pytest.fixture
def mock_book() -> Book:
    return Book("MainBook", AsyncMongoMockClient()["bank"])


async def test_mongomock_posts_queries_and_voids(mock_book: Book) -> None:
    """An embedding application's unit tests need no server."""
    await init_models(mock_book.database)
    entry = (
        mock_book.entry("x", date="2024-05-01")
        .debit("A:B", "0.1")
        .debit("A", "0.2")
        .credit("C", "0.3", {"k": 1})
    )
    journal = await entry.commit()
    assert journal == await entry.commit()
    assert Balance(Decimal("-0.3"), 2) == await mock_book.balance("A")
    assert Balance(Decimal("0.3"), 1) == await mock_book.balance("C", {"k": 1}, end_date="2024-05-01")
    assert await mock_book.list_accounts() == ["A", "A:B", "C"]
    page = await mock_book.ledger(per_page=2, page=2)
    assert (len(page.results), page.total) == (1, 3)
    await mock_book.void(journal.id)
    with pytest.raises(JournalAlreadyVoidedError):
        await mock_book.void(journal.id)
    assert Balance(Decimal(0), 4) == await mock_book.balance("A")
    assert len([leg async for leg in mock_book.stream()]) == 6


async def test_mongomock_refuses_what_a_server_refuses(mock_book: Book) -> None:
    """The law needs no server."""
    with pytest.raises(TransactionError, match="INVALID_JOURNAL"):
        await mock_book.entry("x").debit("A", 1).credit("B", 2).commit()
    assert Balance(Decimal(0), 0) == await mock_book.balance()


async def test_mongomock_runs_the_callback_of_a_transaction_once(mock_book: Book) -> None:
    """Politely absent: no session, no rollback, the work is done."""

    async def post(session: Any) -> None:
        assert session is None
        await (
            mock_book.entry("x")
            .debit("A", 1)
            .credit("B", 1)
            .commit(session=session, writelock_accounts=["A"])
        )
        await mock_book.writelock_accounts(["A"], session=session)

    await mongo_transaction(mock_book.database.client, post)
    assert Balance(Decimal(1), 1) == await mock_book.balance("B")
