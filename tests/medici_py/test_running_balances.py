"""Running balances give the answer that the entries give, at every moment and whoever writes."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, ReadPreference

from medici_py import (
    Balance,
    Book,
    BookClosedError,
    JournalAlreadyVoidedError,
    RunningBalancesError,
    TransactionError,
    init_models,
)
from medici_py.balances import EntrySums
from medici_py.driver import begin_transaction, start_session
from medici_py.embedded import EmbeddedMongo
from medici_py.query import parse_leg_query
from medici_py.running_rows import size_limit
from medici_py.store import ReadOptions, Store

BookFactory = Callable[..., Book]

ROWS = "medici_py_balances"
ACCOUNTS = ["A", "A:x", "A:x:y", "A:xy", "B", "B:x"]
CURRENCIES = ["USD", "BTC"]


def payment(book: Book, amount: Any = 1, debit: str = "Assets:Cash", credit: str = "Income:Sales") -> Any:
    return book.entry("payment").debit(debit, amount).credit(credit, amount)


async def by_entries(book: Book, account: str | None, extra: Any = None) -> Balance:
    """Return the balance that the entries add up to."""
    sums = EntrySums(Store(book.database), precision=book.settings.precision)
    return Balance.of(await sums.turnover(parse_leg_query(book.name, account, extra), ReadOptions()))


async def all_by_entries(book: Book, account: str | None, extra: Any = None) -> dict[str, Balance]:
    sums = EntrySums(Store(book.database), precision=book.settings.precision)
    return await sums.by_account(parse_leg_query(book.name, account, extra), ReadOptions())


async def state_of(book: Book) -> Any:
    return await book.database["medici_py_books"].find_one({"_id": book.name})


posts = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from(ACCOUNTS),
    st.decimals(min_value=0, max_value=10_000, places=4),
    st.sampled_from(CURRENCIES),
)
actions = st.one_of(
    st.lists(posts, min_size=1, max_size=5).map(lambda burst: ("burst", burst)),
    st.integers(0, 20).map(lambda number: ("void", number)),
)


async def apply(book: Book, journals: list[ObjectId], action: Any) -> None:
    match action:
        case ("burst", burst):
            posted = await asyncio.gather(
                *(
                    book.entry("x")
                    .debit(debit, amount, {"currency": currency})
                    .credit(credit, amount, {"currency": currency})
                    .commit()
                    for debit, credit, amount, currency in burst
                )
            )
            journals += [journal.id for journal in posted]
        case ("void", number) if journals:
            try:
                await book.void(journals[number % len(journals)])
            except (JournalAlreadyVoidedError, TransactionError):
                return


@settings(
    max_examples=settings.default.max_examples // 6, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(drawn=st.lists(actions, min_size=1, max_size=6))
def test_balances_equal_the_sums_over_the_entries(mongodb: EmbeddedMongo, drawn: list[Any]) -> None:
    """Of every account and the book, in every currency and all together, after posts and voids."""

    async def run() -> None:
        async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
            database = client["running"]
            await init_models(database)
            book = Book(f"Running {ObjectId()}", database, dimensions=("currency",))
            journals: list[ObjectId] = []
            for action in drawn:
                await apply(book, journals, action)
            for extra in [None, {"currency": "USD"}, {"currency": "EUR"}]:
                for account in [None, "A", "A:x", "B:x", "C"]:
                    assert await book.balance(account, extra) == await by_entries(book, account, extra)
                for account in [None, "A"]:
                    assert await book.balances(account, extra) == await all_by_entries(book, account, extra)

    asyncio.run(run())


async def test_balance_reads_rows_and_not_entries(book: Book, bank: Any) -> None:
    """Shown by taking the entries away; whatever rows cannot know is still asked of the entries."""
    await payment(book, 5).commit()
    await bank["medici_transactions"].delete_many({})
    assert await book.balance("Income") == Balance(Decimal(5), 1)
    assert await book.balance(["Income", "Assets:Cash"]) == Balance(Decimal(0), 2)
    assert await book.balances("Income") == {
        "Income": Balance(Decimal(5), 1),
        "Income:Sales": Balance(Decimal(5), 1),
    }
    assert (await book.balance("Income", {"client": "Joe"})).notes == 0
    assert (await book.balance("Income", start_date=0)).notes == 0


async def test_session_that_is_open_elsewhere_neither_blocks_nor_shows(driver_database: Any) -> None:
    """It writes rows of a stripe of its own, so that others post to the same accounts meanwhile."""
    book = Book("Bank", driver_database)
    async with await start_session(driver_database.client) as session:
        await begin_transaction(session)
        await payment(book, 100).commit(session=session)
        await asyncio.wait_for(asyncio.gather(*(payment(book).commit() for _ in range(10))), timeout=40)
        assert (await book.balance("Income")).balance == 10
        assert (await book.balance("Income", session=session)).balance == 100
        await session.commit_transaction()
    assert (await book.balance("Income")).balance == 110
    assert (await book.verify()).clean


async def test_transaction_reads_its_own_entries(book: Book, bank: Any) -> None:
    """Inside a session a balance is what the session has left; aborted, it is as before."""
    await payment(book, 1).commit()
    async with bank.client.start_session() as session:
        await session.start_transaction()
        await payment(book, 2).commit(session=session)
        assert (await book.balance("Income", session=session)).balance == 3
        assert (await book.balances("Income", session=session))["Income"].balance == 3
        await session.abort_transaction()
    assert (await book.balance("Income")).balance == 1


async def test_two_processes_add_up_in_their_own_stripes(bank: Any, mongodb: EmbeddedMongo) -> None:
    """Sum over the stripes = turnover, from the first entry of the book on."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        books = [Book("Bank", of[bank.name]) for of in (bank.client, client)]
        await asyncio.gather(*(payment(book).commit() for book in books for _ in range(25)))
        for book in books:
            assert await book.balance("Income") == Balance(Decimal(50), 50)
    stripes = await bank[ROWS].distinct("_id.stripe")
    assert len(stripes) >= 2
    assert (await books[0].verify()).clean


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
async def test_entry_too_large_for_its_rows_is_refused_and_hinders_nobody(
    book_factory: BookFactory, shared: bool
) -> None:
    """What Decimal128 could not add up exactly is not written; entries of the same burst are."""
    book = book_factory(precision=2, group_commit=shared)
    most = size_limit(2) - 1
    too_large, *others = await asyncio.gather(
        payment(book, most).commit(), *(payment(book).commit() for _ in range(5)), return_exceptions=True
    )
    assert isinstance(too_large, TransactionError)
    assert too_large.field == "amount"
    assert "which its running balances could not hold exactly with 2 decimal places" in str(too_large)
    assert [type(other) for other in others if isinstance(other, BaseException)] == []
    assert await book.balance("Income") == Balance(Decimal(5), 5)
    assert (await book.verify()).clean


async def test_rows_take_amounts_until_they_would_round(book_factory: BookFactory, bank: Any) -> None:
    """Two halves of the limit fit, and then not one unit more; in a session the refusal passes, too."""
    book = book_factory(precision=0)
    half = 25 * 10**32
    await payment(book, half).commit()
    await payment(book, half - 1).commit()
    with pytest.raises(TransactionError, match="could not hold exactly"):
        await payment(book, 1).commit()
    assert (await book.balance("Income")).balance == 2 * half - 1
    async with bank.client.start_session() as session:
        await session.start_transaction()
        with pytest.raises(TransactionError, match="could not hold exactly"):
            await payment(book, int(size_limit(0)) - 1).commit(session=session)
    assert (await book.verify()).clean


async def test_poster_without_running_balances_is_refused_in_a_book_that_has_them(
    book_factory: BookFactory, bank: Any
) -> None:
    """It would falsify them; entries, batches and voids alike, and nothing is written."""
    book, without = book_factory(), book_factory(running_balances=False)
    journal = await payment(book).commit()

    async def batch() -> None:
        async with without.batch() as together:
            together.add(payment(without))

    for call in (payment(without).commit, batch, lambda: without.void(journal.id)):
        with pytest.raises(RunningBalancesError, match="keeps running balances"):
            await call()
    assert await bank["medici_journals"].count_documents({}) == 1
    assert (await without.balance("Income")).balance == 1


async def test_book_with_older_entries_sums_them_until_it_is_rebuilt(
    book_factory: BookFactory, bank: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """No row is kept and none believed; afterwards rows are, and the answers are the same."""
    await payment(book_factory(running_balances=False), 5).commit()
    await bank["medici_py_books"].delete_many({})
    book = book_factory()
    book._poster.desk.forget_state(book.name)
    await payment(book, 2).commit()
    assert "has entries from before its running balances" in caplog.text
    assert await bank[ROWS].count_documents({}) == 0
    assert not (await state_of(book))["running_balances"]
    before = await book.balances()
    assert before["Income"] == Balance(Decimal(7), 2)
    await book.rebuild_balances()
    assert (await state_of(book))["running_balances"]
    assert await book.balances() == before
    await payment(book, 1).commit()
    assert await book.balance("Income") == Balance(Decimal(8), 3)
    assert (await book.verify()).clean


async def test_book_without_running_balances_writes_no_rows(book_factory: BookFactory, bank: Any) -> None:
    """Node may write it, too: every answer is a sum over the entries."""
    book = book_factory(running_balances=False)
    await payment(book, 2).commit()
    assert await bank[ROWS].count_documents({}) == 0
    assert await book.balance("Income") == Balance(Decimal(2), 1)


async def test_reads_with_other_options_give_the_same_answer(book: Book) -> None:
    """A read preference or concern of the caller's decides where rows are read, not what they say."""
    await payment(book, 2).commit()
    expected = Balance(Decimal(2), 1)
    assert await book.balance("Income", read_preference=ReadPreference.PRIMARY_PREFERRED) == expected
    assert (await book.balances(read_preference=ReadPreference.SECONDARY_PREFERRED))["Income"] == expected


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
async def test_close_waits_for_what_is_under_way_and_refuses_more(
    book_factory: BookFactory, shared: bool
) -> None:
    """Each commit begun before stands when it returns; reading goes on, and closing again is nothing."""
    book = book_factory(group_commit=shared)
    journal = await payment(book).commit()
    commits = [asyncio.ensure_future(payment(book).commit()) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.wait_for(book.close(), timeout=30)
    assert all(commit.done() for commit in commits)
    assert await book.balance("Income") == Balance(Decimal(21), 21)
    for call in (payment(book).commit, lambda: book.void(journal.id)):
        with pytest.raises(BookClosedError, match="'MainBook' was closed"):
            await call()
    await book.close()
    assert (await book_factory().balance("Income")).notes == 21


async def test_book_is_closed_at_the_end_of_its_block(book_factory: BookFactory) -> None:
    """Another Book of the same name writes on."""
    async with book_factory() as book:
        await payment(book).commit()
    with pytest.raises(BookClosedError):
        await payment(book).commit()
    await payment(book_factory()).commit()
