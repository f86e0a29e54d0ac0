"""`Ledger`: the dealer's books behind the few verbs that the dealer needs.

Every write runs in one MongoDB transaction of its own, or joins the caller's session. Amounts are
whole satoshi and whole cents.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pymongo import ReadPreference

from medici_py import Book, Journal, init_models, mongo_transaction
from stablesats.ledger.balances import DealerBalances, whole_minor
from stablesats.ledger.chart import (
    EXCHANGE_POSITION_BOOK,
    STABLESATS_BOOK,
    Account,
    Currency,
    Layer,
    NormalSide,
)
from stablesats.ledger.templates import (
    Leg,
    TemplateCode,
    decrease_exchange_position,
    increase_exchange_position,
    user_buys_usd,
    user_sells_usd,
)

DIMENSIONS: Final[Mapping[str, str | None]] = {"currency": None, "layer": Layer.SETTLED.value}


class Ledger:
    """The two books of the dealer in one database.

    A `Ledger` is cheap and holds no balances; every answer is read from the database. One instance may
    be used by any number of tasks.
    """

    def __init__(self, database: Any) -> None:
        """Args: database: A PyMongo Async or Motor database on a replica set or sharded cluster."""
        self.database = database
        self.stablesats = Book(STABLESATS_BOOK, database, precision=0, dimensions=DIMENSIONS)
        self.exchange_position = Book(EXCHANGE_POSITION_BOOK, database, precision=0, dimensions=DIMENSIONS)

    @property
    def books(self) -> tuple[Book, Book]:
        """Both books, trades first."""
        return (self.stablesats, self.exchange_position)

    async def prepare(self) -> None:
        """Create collections and indexes where they are missing. Safe in every process, at any time."""
        await init_models(self.database)

    async def user_buys_usd(
        self,
        *,
        sats: int,
        cents: int,
        at: datetime,
        reference: Mapping[str, object] | None = None,
        session: Any = None,
    ) -> Journal:
        """Book that a user paid *sats* for *cents*: the dealer owes *cents* more.

        Args:
            sats: Satoshi received, above zero.
            cents: Cents owed for them, above zero.
            at: When the trade took place (timezone-aware); the journal's effective date.
            reference: What identifies the trade elsewhere; stored on every leg.
            session: Joins this session's transaction; without it the journal has its own.

        Raises:
            AmountError: If an amount is not a whole number above zero. Nothing is written.
            ReferenceKeyError: If *reference* has a key that the ledger uses itself. Nothing is written.
        """
        legs = user_buys_usd(sats=sats, cents=cents)
        return await self._post(
            self.stablesats, TemplateCode.USER_BUYS_USD, legs, at=at, reference=reference, session=session
        )

    async def user_sells_usd(
        self,
        *,
        sats: int,
        cents: int,
        at: datetime,
        reference: Mapping[str, object] | None = None,
        session: Any = None,
    ) -> Journal:
        """Book that a user gave up *cents* for *sats*: the dealer owes *cents* less.

        Arguments and errors as in `user_buys_usd`.
        """
        legs = user_sells_usd(sats=sats, cents=cents)
        return await self._post(
            self.stablesats, TemplateCode.USER_SELLS_USD, legs, at=at, reference=reference, session=session
        )

    async def mirror_okx_position(
        self,
        signed_exposure_cents: int,
        *,
        at: datetime,
        reference: Mapping[str, object] | None = None,
        session: Any = None,
    ) -> Journal | None:
        """Make the mirror of the OKX position equal to what the exchange reports.

        The mirrored balance is read and corrected in one transaction that write-locks the account, so
        that two processes cannot both post the same difference.

        Args:
            signed_exposure_cents: Dollar value of the position, negative when short.
            at: When the exchange reported it (timezone-aware).
            reference: Stored on every leg.
            session: Joins this session's transaction; without it the correction has its own.

        Returns:
            The journal that was posted, or None when the mirror was right already (nothing is written).
        """

        async def correct(session: Any) -> Journal | None:
            mirrored = await self._balance(Account.OKEX_POSITION, Currency.USD, session=session)
            change = signed_exposure_cents - mirrored
            if change == 0:
                return None
            if change > 0:
                code, legs = TemplateCode.INCREASE_EXCHANGE_POSITION, increase_exchange_position(cents=change)
            else:
                code, legs = (
                    TemplateCode.DECREASE_EXCHANGE_POSITION,
                    decrease_exchange_position(cents=-change),
                )
            journal = await self._post(
                self.exchange_position, code, legs, at=at, reference=reference, session=session
            )
            await self.exchange_position.writelock_accounts([Account.OKEX_POSITION.code], session=session)
            return journal

        if session is not None:
            return await correct(session)
        result: Journal | None = await mongo_transaction(self.database.client, correct)
        return result

    async def balances(self) -> DealerBalances:
        """Read the figures that the hedge is decided on.

        Each account is read on its own: while trades are being booked the figures may be a trade apart.
        """
        accounts = (
            (Account.STABLESATS_OMNIBUS, Currency.USD),
            (Account.STABLESATS_LIABILITY, Currency.USD),
            (Account.OKEX_ALLOCATION, Currency.USD),
            (Account.STABLESATS_BTC_WALLET, Currency.BTC),
            (Account.OKEX_POSITION, Currency.USD),
        )
        known = {
            (account, currency): await self._balance(account, currency) for account, currency in accounts
        }
        return DealerBalances.of(lambda account, currency: known[account, currency])

    async def hedge_target_cents(self) -> int:
        """Dollars that the OKX position has to match, now; one read, so never a trade apart.

        The sum of what is allocated to OKX and what is not allocated yet
        (`DealerBalances.hedge_target_cents`).
        """
        return await self._balance((Account.OKEX_ALLOCATION, Account.STABLESATS_LIABILITY), Currency.USD)

    async def account_balances(self) -> list[tuple[Account, Currency, int]]:
        """Settled credit minus debit of every account in each of its currencies, in minor units."""
        return [
            (account, currency, await self._balance(account, currency))
            for account in Account
            for currency in account.currencies
        ]

    async def _balance(
        self, account: Account | tuple[Account, ...], currency: Currency, session: Any = None
    ) -> int:
        accounts = account if isinstance(account, tuple) else (account,)
        book = self.stablesats if accounts[0].book == STABLESATS_BOOK else self.exchange_position
        answer = await book.balance(
            [each.code for each in accounts],
            {"currency": currency.value, "layer": Layer.SETTLED.value},
            session=session,
            # Never a secondary, whatever the connection string prefers: it would hedge what was owed before.
            read_preference=ReadPreference.PRIMARY,
        )
        return whole_minor(answer.balance, currency, *accounts)

    async def _post(
        self,
        book: Book,
        code: TemplateCode,
        legs: tuple[Leg, ...],
        *,
        at: datetime,
        reference: Mapping[str, object] | None,
        session: Any,
    ) -> Journal:
        entry = book.entry(code.value, date=at)
        for leg in legs:
            add = entry.debit if leg.side is NormalSide.DEBIT else entry.credit
            add(leg.account.code, leg.amount_minor, leg.meta(code, reference or {}))
        return await entry.commit(session=session)
