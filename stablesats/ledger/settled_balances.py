"""What the dealer's accounts hold, read from the database in whole minor units."""

from collections.abc import Collection
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pymongo import ReadPreference

from medici_py import Book
from medici_py.accounts import SEPARATOR
from medici_py.driver import snapshot_session
from medici_py.money import ZERO, exact_sum
from stablesats.ledger.balances import DealerBalances, LiabilityBalances, whole_minor
from stablesats.ledger.chart import Account, ChartAccount, Currency, Layer, StrayAccount

if TYPE_CHECKING:
    from medici_py.reads import Reads

A = TypeVar("A", bound=ChartAccount)

_LIABILITIES: Final = (
    Account.STABLESATS_LIABILITY,
    Account.OKEX_ALLOCATION,
    Account.BITFINEX_ALLOCATION,
    Account.STABLESATS_OMNIBUS,
)

_EVERY: Final = tuple((account, currency) for account in Account for currency in account.currencies)
"""Each account in each of its currencies, in the order of the chart."""

_CHART: Final = {(account.book, account.code): account for account in Account}

_SETTLED: Final = {"layer": Layer.SETTLED.value}


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

    async def of_every_account(self) -> list[tuple[Account | StrayAccount, Currency | str, int]]:
        """Every account in each of its currencies, then what else stands in the books; all of one moment.

        Raises:
            LedgerDamagedError: If a balance has a fraction.
        """
        found: dict[tuple[Account | StrayAccount, Currency | str], Decimal] = dict.fromkeys(_EVERY, ZERO)
        [client] = {book.database.client for book in self._books.values()}
        async with snapshot_session(client) as session:
            for book in self._books.values():
                for (code, currency), balance in (await _standing_in(book, session)).items():
                    key = (_CHART.get((book.name, code)) or StrayAccount(code, book.name), currency)
                    if key in found or balance:
                        found[key] = balance
        return [
            (account, currency, whole_minor(balance, currency, account))
            for (account, currency), balance in found.items()
        ]

    def _book_of(self, accounts: Collection[ChartAccount]) -> Book:
        [name] = {account.book for account in accounts}
        return self._books[name]


def _settled(currency: Currency) -> dict[str, str]:
    return {"currency": currency.value, **_SETTLED}


async def _standing_in(book: Book, session: Any) -> dict[tuple[str, Currency | str], Decimal]:
    """The balance of each account of *book* in each currency; those below an account count with it."""
    reads: Reads = {"session": session, "read_preference": ReadPreference.PRIMARY}
    standing: dict[tuple[str, Currency | str], Decimal] = {}
    unexplained = {
        account: answer.notes for account, answer in (await book.balances(None, _SETTLED, **reads)).items()
    }
    for currency in Currency:
        for account, answer in (await book.balances(None, _settled(currency), **reads)).items():
            standing[account, currency] = answer.balance
            unexplained[account] -= answer.notes
    # Legs in any other currency are looked for only where there are some: it means to read them all.
    for account in (each for each, notes in unexplained.items() if notes):
        elsewhere = {"currency": {"$nin": [currency.value for currency in Currency]}, **_SETTLED}
        async for leg in book.stream(account, elsewhere, **reads):
            key = account, str(leg.meta.get("currency"))
            standing[key] = exact_sum((standing.get(key, ZERO), leg.credit, leg.debit.copy_negate()))
    return {key: standing[key] for key in sorted(standing) if SEPARATOR not in key[0]}
