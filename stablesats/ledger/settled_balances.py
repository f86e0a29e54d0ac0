"""What the dealer's accounts hold, read from the database in whole minor units."""

from collections.abc import Collection
from typing import Any

from pymongo import ReadPreference

from medici_py import Book
from stablesats.ledger.balances import whole_minor
from stablesats.ledger.chart import Account, Currency, Layer


class SettledBalances:
    """Settled credit minus debit of accounts, in satoshi or cents.

    Every answer of one call is of one moment, and of the primary, whatever the connection string prefers: a
    copy that trails would have hedged what was owed before.
    """

    def __init__(self, *books: Book) -> None:
        """Read from *books*, which together have every account."""
        self._books = {book.name: book for book in books}

    async def total(self, accounts: Collection[Account], currency: Currency, *, session: Any = None) -> int:
        """The sum over *accounts*, all of one book.

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

    async def each(
        self, accounts: Collection[Account], currency: Currency, *, session: Any = None
    ) -> dict[Account, int]:
        """The balance of each of *accounts*, all of one book; 0 where nothing was ever posted.

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

    def _book_of(self, accounts: Collection[Account]) -> Book:
        [name] = {account.book for account in accounts}
        return self._books[name]


def _settled(currency: Currency) -> dict[str, str]:
    return {"currency": currency.value, "layer": Layer.SETTLED.value}
