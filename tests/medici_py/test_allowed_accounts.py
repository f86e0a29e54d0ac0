"""A book with a chart takes new entries on the accounts of the chart only, and in what those may hold."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import AccountNotAllowedError, Book, TransactionError, init_models
from medici_py.allowed_accounts import AllowedAccounts

CHART = {"Wallet": {"currency": ["BTC"]}, "Trading": {"currency": ["USD", "BTC"]}, "Fees:Paid": {}}


@pytest.fixture
async def bank(mongo_database: AsyncDatabase[dict[str, Any]]) -> AsyncDatabase[dict[str, Any]]:
    await init_models(mongo_database)
    return mongo_database


def book_of(bank: Any, chart: Any) -> Book:
    return Book("B", bank, dimensions={"currency": None, "layer": "SETTLED"}, allowed_accounts=chart)


@pytest.mark.parametrize(
    ("account", "currency"),
    [
        ("Wallet", "BTC"),
        ("Trading", "USD"),
        ("Trading", "BTC"),
        ("Fees:Paid", "EUR"),
        (["Fees", "Paid"], "X"),
    ],
)
def test_account_of_the_chart_takes_what_it_may_hold(account: Any, currency: str, bank: Any) -> None:
    """Any value of a dimension that the chart does not speak of."""
    [leg] = book_of(bank, CHART).entry("x").debit(account, 1, {"currency": currency}).legs
    assert leg.meta["currency"] == currency


@pytest.mark.parametrize("account", ["Walet", "wallet", "Wallet:Ann", "Fees"])
def test_account_that_is_not_in_the_chart_is_refused_by_name(account: str, bank: Any) -> None:
    """Above and below an account of the chart is elsewhere, too; the error says what there is."""
    entry = book_of(bank, CHART).entry("x")
    with pytest.raises(AccountNotAllowedError) as raised:
        entry.credit(account, 1, {"currency": "BTC"})
    assert str(raised.value) == (
        f"A leg on account {account!r} (currency 'BTC', layer 'SETTLED') refused: book 'B' allows no such"
        " account, only 'Fees:Paid', 'Trading', 'Wallet'."
    )
    assert (raised.value.account, raised.value.dimension, raised.value.field) == (account, None, "account")
    assert raised.value.allowed == ("Fees:Paid", "Trading", "Wallet")
    assert isinstance(raised.value, TransactionError)
    assert entry.legs == ()


def test_value_that_the_account_may_not_hold_is_refused_by_name(bank: Any) -> None:
    """The error names the account, the value and what would be accepted."""
    with pytest.raises(AccountNotAllowedError) as raised:
        book_of(bank, CHART).entry("x").debit("Trading", 1, {"currency": "EUR", "layer": "PENDING"})
    assert str(raised.value) == (
        "A leg on account 'Trading' (currency 'EUR', layer 'PENDING') refused: book 'B' allows there only"
        " currency 'BTC', 'USD'."
    )
    assert (raised.value.dimension, raised.value.value) == ("currency", "EUR")
    assert raised.value.dimensions == {"currency": "EUR", "layer": "PENDING"}


def test_list_of_accounts_allows_every_value(bank: Any) -> None:
    """The shorter form, for a book that only wants to know its accounts."""
    book = book_of(bank, ("Wallet", "Trading"))
    assert book.entry("x").debit("Wallet", 1, {"currency": "EUR"}).legs
    with pytest.raises(AccountNotAllowedError):
        book.entry("x").debit("Fees", 1, {"currency": "EUR"})


def test_error_of_a_long_chart_names_some_of_it() -> None:
    """A message stays one that can be read."""
    allowed = AllowedAccounts.of([f"A{n:03}" for n in range(100)], dimensions=(), max_account_path=1)
    with pytest.raises(AccountNotAllowedError, match=r"'A000', .*'A019' and 80 more\.$") as raised:
        allowed.check("B", ("B",), {})
    assert len(raised.value.allowed) == 100


async def test_what_stands_outside_the_chart_can_be_read_and_voided(bank: Any) -> None:
    """It is how an entry from before the chart, or of another writer, is put right."""
    before = book_of(bank, None)
    stray = await (
        before.entry("typo")
        .debit("Walet", 5, {"currency": "BTC"})
        .credit("Trading", 5, {"currency": "BTC"})
        .commit()
    )
    book = book_of(bank, CHART)
    assert (await book.balance("Walet")).balance == -5
    await book.void(stray.id)
    assert (await book.balance("Walet")).balance == 0
    assert (await book.verify()).clean


async def test_refused_leg_leaves_the_entry_as_it_was(bank: Any) -> None:
    """It may be completed with the right account."""
    book = book_of(bank, CHART)
    entry = book.entry("x").debit("Wallet", 5, {"currency": "BTC"})
    with pytest.raises(AccountNotAllowedError):
        entry.credit("Tradin", 5, {"currency": "BTC"})
    await entry.credit("Trading", 5, {"currency": "BTC"}).commit()
    assert (await book.balance("Trading")).balance == 5
