"""Bounds: ``min_balance`` and ``max_balance`` of a leg hold whatever else is posted, by whomever."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from medici_py import (
    BalanceLimitError,
    Book,
    InsufficientBalanceError,
    TransactionError,
    mongo_transaction,
)
from medici_py.embedded import EmbeddedMongo

BookFactory = Callable[..., Book]

MODES = [
    pytest.param(
        {"running_balances": rows, "group_commit": shared},
        id=f"{'rows' if rows else 'entries'}-{'shared' if shared else 'own'}",
    )
    for rows in (True, False)
    for shared in (True, False)
]
every_mode = pytest.mark.parametrize("mode", MODES)
both_engines = pytest.mark.parametrize("mode", [MODES[0], MODES[-1]])


async def deposit(book: Book, amount: Any, account: str = "Liabilities:w1") -> None:
    await book.entry("deposit").debit("Assets", amount).credit(account, amount).commit()


async def withdraw(book: Book, amount: Any, account: str = "Liabilities:w1", *, least: Any = 0) -> Any:
    return await (
        book.entry("withdrawal").debit(account, amount, min_balance=least).credit("Assets", amount).commit()
    )


async def at_once(*calls: Any) -> tuple[list[Any], list[BaseException]]:
    """Run *calls* together; what they return, and what they raise."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    return [answer for answer in answers if not isinstance(answer, BaseException)], errors


@every_mode
async def test_fifty_withdrawals_at_once_stop_at_the_bound_and_hinder_nobody(
    driver_database: Any, mode: dict[str, bool]
) -> None:
    """Exactly ten of fifty withdrawals of 1 come out of 10; every other entry of the burst is posted."""
    book = Book("Bank", driver_database, **mode)
    await deposit(book, 10)
    others = [book.entry("other").debit("Assets", 1).credit("Income", 1).commit() for _ in range(10)]
    paid, refused = await at_once(*(withdraw(book, 1) for _ in range(50)), *others)
    assert len(paid) == 20
    assert [type(error) for error in refused] == [InsufficientBalanceError] * 40
    assert (await book.balance("Liabilities:w1")).balance == 0
    assert (await book.balance("Income")).balance == 10
    assert (await book.verify()).clean


@every_mode
async def test_withdrawals_of_two_processes_never_pass_the_bound_together(
    bank: Any, mongodb: EmbeddedMongo, mode: dict[str, bool]
) -> None:
    """Two clients share nothing but the database, and yet ten of forty come out of 10."""
    first = Book("Bank", bank, **mode)
    await deposit(first, 10)
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        second = Book("Bank", client[bank.name], **mode)
        paid, refused = await at_once(
            *(withdraw(book, 1) for _ in range(10) for book in (first, second, first, second))
        )
    assert len(paid) == 10
    assert {type(error) for error in refused} == {InsufficientBalanceError}
    assert (await first.balance("Liabilities:w1")).balance == 0
    assert (await first.verify()).clean


@every_mode
async def test_bounds_of_an_account_and_of_the_one_above_it_hold_together(
    bank: Any, mongodb: EmbeddedMongo, mode: dict[str, bool]
) -> None:
    """One process looks at the wallet, the other at everything above it; both take from the wallet."""
    first = Book("Bank", bank, **mode)
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        second = Book("Bank", client[bank.name], **mode)

        async def withdraw_by_parent(account: str) -> Any:
            return await (
                second.entry("withdrawal")
                .debit(account, 1)
                .debit("Liabilities", 0, min_balance=0)
                .credit("Assets", 1)
                .commit()
            )

        for number in range(4):
            account = f"Liabilities:w{number}"
            await deposit(first, 1, account)
            paid, _ = await at_once(withdraw(first, 1, account), withdraw_by_parent(account))
            assert len(paid) == 1
            assert (await first.balance("Liabilities")).balance == 0


@both_engines
async def test_lower_bound_counts_what_is_left_after_the_entry(
    book_factory: BookFactory, mode: dict[str, bool]
) -> None:
    """What is held less what is taken may be the bound, and nothing below it."""
    book = book_factory(**mode)
    table: list[tuple[Any, Any, Any, bool]] = [
        (10, 9, 0, True),
        (10, 10, 0, True),
        (10, 11, 0, False),
        (0, "0.01", 0, False),
        (0, 5, -5, True),
        (0, "5.01", -5, False),
        (10, 5, 5, True),
        (10, "5.00000001", 5, False),
    ]
    for number, (held, taken, least, stands) in enumerate(table):
        account = f"Liabilities:w{number}"
        await deposit(book, held, account)
        paid, refused = await at_once(withdraw(book, taken, account, least=least))
        assert (len(paid), [type(error) for error in refused]) == (
            (1, []) if stands else (0, [InsufficientBalanceError])
        )
        assert (await book.balance(account)).balance == held - (Decimal(taken) if stands else 0)


@both_engines
async def test_upper_bound_counts_what_is_there_after_the_entry(
    book_factory: BookFactory, mode: dict[str, bool]
) -> None:
    """An account that holds 5 and may hold 10 takes 5, and not 6; the error says what it would have had."""
    book = book_factory(**mode)

    async def bring_in(account: str, amount: int) -> None:
        await deposit(book, 5, account)
        entry = book.entry("x").debit("Assets", amount).credit(account, amount, max_balance=10)
        await entry.commit()

    await bring_in("Liabilities:w1", 4)
    await bring_in("Liabilities:w2", 5)
    with pytest.raises(BalanceLimitError) as caught:
        await bring_in("Liabilities:w3", 6)
    assert (caught.value.account, caught.value.balance, caught.value.required) == ("Liabilities:w3", 5, 11)
    assert str(caught.value) == (
        "Entry 'x' refused: account 'Liabilities:w3' of book 'MainBook' has 5, and would be left with 11, more "
        "than 10. Nothing was written."
    )
    balances = await book.balances("Liabilities")
    assert [balance.balance for balance in balances.values()] == [24, 9, 10, 5]


async def test_error_says_what_the_account_has_and_what_the_entry_needed(book: Book) -> None:
    """The facts are attributes, and medici's callers find a TransactionError of code 400."""
    await deposit(book, 7)
    with pytest.raises(InsufficientBalanceError) as caught:
        await withdraw(book, 9, least=2)
    error = caught.value
    assert isinstance(error, TransactionError)
    assert (error.code, error.account, error.balance, error.required) == (400, "Liabilities:w1", 7, 11)
    assert str(error) == (
        "Entry 'withdrawal' refused: account 'Liabilities:w1' of book 'MainBook' has 7, and would need 11 to "
        "stay at 2 or more. Nothing was written."
    )


@both_engines
async def test_bound_looks_at_the_whole_entry_and_not_at_its_leg(
    book_factory: BookFactory, mode: dict[str, bool]
) -> None:
    """What another leg of the same entry brings in may be spent by this one."""
    book = book_factory(**mode)
    entry = book.entry("through").debit("Liabilities:w1", 5, min_balance=0).credit("Assets", 5)
    await entry.debit("Assets", 5).credit("Liabilities:w1", 5).commit()
    assert (await book.balance("Liabilities:w1")).balance == 0


@both_engines
async def test_bound_of_a_parent_counts_everything_below_it(
    book_factory: BookFactory, mode: dict[str, bool]
) -> None:
    """As ``balance()`` does: descendants are included, accounts whose names only begin alike are not."""
    book = book_factory(**mode)
    await deposit(book, 5, "Liabilities:w1")
    await deposit(book, 5, "Liabilities:w2:savings")
    await deposit(book, 5, "Liabilities-old")
    await withdraw(book, 10, "Liabilities")
    with pytest.raises(InsufficientBalanceError) as caught:
        await withdraw(book, 1, "Liabilities")
    assert (caught.value.balance, caught.value.required) == (0, 1)


@both_engines
async def test_bound_holds_in_each_value_of_the_dimensions(
    book_factory: BookFactory, mode: dict[str, bool]
) -> None:
    """Dollars do not cover for bitcoin."""
    book = book_factory(dimensions=("currency",), **mode)

    async def move(debited: str, credited: str, amount: int, currency: str, least: int | None) -> None:
        extra = {"currency": currency}
        entry = book.entry("move").debit(debited, amount, extra, min_balance=least)
        await entry.credit(credited, amount, extra).commit()

    await move("Assets", "Wallet", 5, "USD", None)
    await move("Assets", "Wallet", 2, "BTC", None)
    await move("Wallet", "Assets", 2, "BTC", 0)
    with pytest.raises(InsufficientBalanceError, match="'Wallet' of book 'MainBook' in currency BTC has 0"):
        await move("Wallet", "Assets", 1, "BTC", 0)
    await move("Wallet", "Assets", 5, "USD", 0)


@both_engines
async def test_bound_in_a_callers_session_sees_what_the_session_has_done(
    driver_database: Any, mode: dict[str, bool]
) -> None:
    """Refusal leaves the transaction open; the caller may go on in it and commit the rest."""
    book = Book("Bank", driver_database, **mode)

    async def work(session: Any) -> None:
        await book.entry("in").debit("Assets", 3).credit("Liabilities:w1", 3).commit(session=session)
        await (
            book.entry("out")
            .debit("Liabilities:w1", 2, min_balance=0)
            .credit("Assets", 2)
            .commit(session=session)
        )
        with pytest.raises(InsufficientBalanceError) as caught:
            await (
                book.entry("out")
                .debit("Liabilities:w1", 2, min_balance=0)
                .credit("Assets", 2)
                .commit(session=session)
            )
        assert (caught.value.balance, caught.value.required) == (1, 2)

    await mongo_transaction(driver_database.client, work)
    assert (await book.balance("Liabilities:w1")).balance == 1
    assert (await book.verify()).clean


async def test_bound_is_checked_however_busy_others_keep_the_account(
    bank: Any, mongodb: EmbeddedMongo
) -> None:
    """Entries without bounds of another process never hold a bounded one up, which needs no second try."""
    busy = Book("Bank", bank)
    await deposit(busy, 1_000)
    stop = asyncio.Event()

    async def keep_busy() -> int:
        posted = 0
        while not stop.is_set():
            await deposit(busy, 1)
            posted += 1
        return posted

    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        guarded = Book("Bank", client[bank.name])
        posters = [asyncio.ensure_future(keep_busy()) for _ in range(16)]
        for _ in range(20):
            await asyncio.wait_for(withdraw(guarded, 1), timeout=60)
        stop.set()
        posted = sum(await asyncio.gather(*posters))
        assert guarded.commit_stats.retries == 0
    assert (await busy.balance("Liabilities:w1")).balance == 1_000 + posted - 20
    assert (await busy.verify()).clean


@both_engines
async def test_bound_waits_for_a_session_that_takes_from_the_same_account(
    bank: Any, book_factory: BookFactory, mode: dict[str, bool]
) -> None:
    """A guarded withdrawal meets a guarded one of an open session: it is judged after that has ended."""
    book = book_factory(**mode)
    await deposit(book, 10)
    async with bank.client.start_session() as session:
        await session.start_transaction()
        await (
            book.entry("held")
            .debit("Liabilities:w1", 10, min_balance=0)
            .credit("Assets", 10)
            .commit(session=session)
        )
        late = asyncio.ensure_future(withdraw(book, 10))
        # Others are served meanwhile.
        await asyncio.wait_for(deposit(book, 1, "Liabilities:w2"), timeout=40)
        assert not late.done()
        await session.commit_transaction()
    with pytest.raises(InsufficientBalanceError):
        await late
    assert (await book.balance("Liabilities:w1")).balance == 0


@both_engines
async def test_bound_of_an_account_nobody_has_used_holds_from_its_first_entry(
    bank: Any, mongodb: EmbeddedMongo, mode: dict[str, bool]
) -> None:
    """Two processes open an account below nothing at once: only one may bring it to the limit."""
    first = Book("Bank", bank, **mode)
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        second = Book("Bank", client[bank.name], **mode)
        for number in range(5):
            account = f"Liabilities:new{number}"
            paid, refused = await at_once(*(withdraw(book, 1, account, least=-1) for book in (first, second)))
            assert (len(paid), len(refused)) == (1, 1)
            assert (await second.balance(account)).balance == -1


@pytest.mark.parametrize("bound", ["min_balance", "max_balance"])
@pytest.mark.parametrize("value", [True, float("nan"), "1.123456789", "much"])
def test_bound_that_is_no_amount_of_the_book_is_refused(
    mongomock_database: Any, bound: str, value: Any
) -> None:
    """A bound is an amount like any other."""
    entry = Book("Bank", mongomock_database).entry("x")
    with pytest.raises(TransactionError):
        entry.debit("A", 1, None, **{bound: value})
    assert entry.legs == ()


async def test_bounds_hold_on_mongomock_too(mongomock_database: Any) -> None:
    """Without transactions nothing is isolated, but one after the other is judged all the same."""
    book = Book("Bank", mongomock_database)
    await deposit(book, 10)
    await withdraw(book, 10)
    with pytest.raises(InsufficientBalanceError):
        await withdraw(book, 1)
    assert (await book.balance("Liabilities:w1")).balance == 0
