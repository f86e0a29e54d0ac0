"""What the dealer's accounts hold, read from the database in whole minor units."""

from collections.abc import Collection
from typing import Any, Final, TypeVar

from pymongo import ReadPreference

from medici_py import Book
from stablesats.ledger.balances import DealerBalances, LiabilityBalances, whole_minor
from stablesats.ledger.chart import Account, ChartAccount, Currency, Layer

A = TypeVar("A", bound=ChartAccount)

_LIABILITIES: Final = (
    Account.STABLESATS_LIABILITY,
    Account.OKEX_ALLOCATION,
    Account.BITFINEX_ALLOCATION,
    Account.STABLESATS_OMNIBUS,
)

_EVERY: Final = tuple((account, currency) for account in Account for currency in account.currencies)
"""Each account in each of its currencies, in the order of the chart."""


class SettledBalances:
    """Settled credit minus debit of accounts, in satoshi or cents.

    Every read is of the primary, whatever the connection string prefers: a copy that trails would have hedged
    what was owed before, or differ from the exchange where the book does not.
    """

    def __init__(self, *books: Book) -> None:
        """Read from *books*, which together have every account."""
        self._books = {book.name: book for book in books}

    async def total(
        self, accounts: Collection[ChartAccount], currency: Currency, *, session: Any = None
    ) -> int:
        """The sum over *accounts*, all of one book, at one moment.

        Raises:
            LedgerDamagedError: If it has a fraction.
        """
        answer = await self._book_of(accounts).balance(
            [account.code for account in accounts],
            _settled(currency),
            session=session,
            read_preference=ReadPreference.PRIMARY,
        )
        return whole_minor(answer.balance, currency, *accounts)

    async def each(self, accounts: Collection[A], currency: Currency, *, session: Any = None) -> dict[A, int]:
        """The balance of each of *accounts*, all of one book, at one moment; 0 where nothing was posted.

        Raises:
            LedgerDamagedError: If one has a fraction.
        """
        found = await self._book_of(accounts).balances(
            [account.code for account in accounts],
            _settled(currency),
            session=session,
            read_preference=ReadPreference.PRIMARY,
        )
        return {
            account: whole_minor(found[account.code].balance, currency, account)
            if account.code in found
            else 0
            for account in accounts
        }

    async def of_dealer(self) -> DealerBalances:
        """What the hedge is decided on; dollars, bitcoin and position each of a moment of its own."""
        usd = await self.each(_LIABILITIES, Currency.USD)
        btc = await self.each([Account.STABLESATS_BTC_WALLET], Currency.BTC)
        position = await self.each([Account.OKEX_POSITION], Currency.USD)
        known = usd | btc | position
        return DealerBalances.of(lambda account, _currency: known[account])

    async def of_liability(self, *, session: Any = None) -> LiabilityBalances:
        """What users are owed and who hedges it, all of one moment."""
        known = await self.each(_LIABILITIES, Currency.USD, session=session)
        return LiabilityBalances.of(lambda account, _currency: known[account])

    async def of_every_account(self) -> list[tuple[Account, Currency, int]]:
        """Every account in each of its currencies; of one moment within a book and a currency."""
        known: dict[tuple[Account, Currency], int] = {}
        for book, currency in dict.fromkeys((account.book, currency) for account, currency in _EVERY):
            accounts = [account for account, each in _EVERY if (account.book, each) == (book, currency)]
            found = await self.each(accounts, currency)
            known |= {(account, currency): balance for account, balance in found.items()}
        return [(account, currency, known[account, currency]) for account, currency in _EVERY]

    def _book_of(self, accounts: Collection[ChartAccount]) -> Book:
        [name] = {account.book for account in accounts}
        return self._books[name]


def _settled(currency: Currency) -> dict[str, str]:
    return {"currency": currency.value, "layer": Layer.SETTLED.value}
