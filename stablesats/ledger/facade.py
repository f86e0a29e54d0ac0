"""`Ledger`: the dealer's books behind the few verbs that the dealer needs.

Every write runs in one MongoDB transaction of its own, or joins the caller's session. Amounts are
whole satoshi and whole cents.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from bson import ObjectId

from medici_py import (
    Book,
    Journal,
    TemplateParams,
    TransactionTemplate,
    init_models,
    mongo_transaction,
    post,
    register_templates,
)
from stablesats.ledger import templates
from stablesats.ledger.balances import DealerBalances, LiabilityBalances
from stablesats.ledger.chart import (
    EXCHANGE_POSITION_BOOK,
    STABLESATS_BOOK,
    Account,
    Currency,
    Layer,
    StrayAccount,
    allowed_accounts,
)
from stablesats.ledger.chart_registry import chart_entries, collateral_entries, register_chart
from stablesats.ledger.collateral_templates import COLLATERAL_TEMPLATES
from stablesats.ledger.quotes import quote_key
from stablesats.ledger.reverted_journal import revert_journal
from stablesats.ledger.settled_balances import SettledBalances
from stablesats.ledger.templates import (
    PositionChange,
    TradeAmounts,
    allocation_change,
    position_change,
    require_whole,
    trade_amounts,
)

P = TypeVar("P", bound=TemplateParams)

DIMENSIONS: Final[Mapping[str, str | None]] = {"currency": None, "layer": Layer.SETTLED.value}

Reference = Mapping[str, object]
"""What identifies an event elsewhere: ids of trades, payments, positions."""


class Ledger:
    """The two books of the dealer in one database.

    A `Ledger` is cheap and holds no balances; every answer is read from the database. One instance may
    be used by any number of tasks.
    """

    def __init__(self, database: Any) -> None:
        """Args: database: A PyMongo Async or Motor database on a replica set or sharded cluster."""
        self.database = database
        self.stablesats, self.exchange_position = (
            Book(
                name,
                database,
                precision=0,
                dimensions=DIMENSIONS,
                allowed_accounts=allowed_accounts(Account, book=name),
            )
            for name in (STABLESATS_BOOK, EXCHANGE_POSITION_BOOK)
        )
        self._settled = SettledBalances(self.stablesats, self.exchange_position)

    @property
    def books(self) -> tuple[Book, Book]:
        """Both books, trades first."""
        return (self.stablesats, self.exchange_position)

    async def prepare(self) -> None:
        """Create what is missing: collections, indexes, the registered templates and accounts.

        Run it before anything else. Safe in every process, at any time.

        Raises:
            TemplateChangedError: If a template differs from the one registered under its version.
            ChartChangedError: If a book or account differs from the one registered under its version.
        """
        await init_models(self.database)
        await register_templates(self.database, (*templates.TEMPLATES, *COLLATERAL_TEMPLATES))
        await register_chart(self.database, (*chart_entries(), *collateral_entries()))

    async def user_buys_usd(
        self,
        *,
        sats: int,
        cents: int,
        at: datetime,
        reference: Reference | None = None,
        key: str | None = None,
        session: Any = None,
    ) -> Journal:
        """Book that a user paid *sats* for *cents*: the dealer owes *cents* more.

        Args:
            sats: Satoshi received, above zero.
            cents: Cents owed for them, above zero.
            at: When the trade took place (timezone-aware); the journal's effective date.
            reference: What identifies the trade elsewhere; the journal's metadata.
            key: The journal's external id, unique in the book: a second trade under it is not posted, and the
                first journal comes back with ``replayed=True``.
            session: Joins this session's transaction; without it the journal has its own.

        Raises:
            AmountError: If an amount is not a whole number above zero. Nothing is written.
            DuplicateEntryError: If *key* was used with another amount, date or reference. Nothing is written.
        """
        amounts = trade_amounts(sats=sats, cents=cents)
        return await self._post(
            templates.USER_BUYS_USD, amounts, at=at, reference=reference, key=key, session=session
        )

    async def user_sells_usd(
        self,
        *,
        sats: int,
        cents: int,
        at: datetime,
        reference: Reference | None = None,
        key: str | None = None,
        session: Any = None,
    ) -> Journal:
        """Book that a user gave up *cents* for *sats*: the dealer owes *cents* less.

        Arguments and errors as in `user_buys_usd`.
        """
        amounts = trade_amounts(sats=sats, cents=cents)
        return await self._post(
            templates.USER_SELLS_USD, amounts, at=at, reference=reference, key=key, session=session
        )

    async def revert_user_buys_usd(
        self,
        *,
        sats: int,
        cents: int,
        at: datetime,
        reverted: ObjectId,
        reference: Reference | None = None,
        session: Any = None,
    ) -> Journal:
        """Take back a journal of `user_buys_usd`: its legs with the sides swapped, and at most once.

        The reversal's external id is ``revert:`` and *reverted*: the same reversal again is not posted, and
        the first one comes back with ``replayed=True``.

        Args:
            sats: What the reverted journal booked.
            cents: What the reverted journal booked.
            at: When the reversal takes effect (timezone-aware).
            reverted: The journal that is taken back; its id is the reversal's correlation id.
            reference: As in `user_buys_usd`.
            session: As in `user_buys_usd`.

        Raises:
            AmountError: As in `user_buys_usd`.
            VoidedJournalError: If *reverted* was voided: it has been taken back. Nothing is written.
            VoidedReversalError: If it was taken back, and its reversal voided. Nothing is written.
            RevertedJournalError: If *reverted* is no journal of `user_buys_usd`, or one of other amounts; the
                error says what it is. Nothing is written.
            DuplicateEntryError: If it was taken back with another date or reference. Nothing is written.
        """
        return await self._revert(
            templates.REVERT_USER_BUYS_USD,
            trade_amounts(sats=sats, cents=cents),
            at=at,
            reverted=reverted,
            reference=reference,
            session=session,
        )

    async def revert_user_sells_usd(
        self,
        *,
        sats: int,
        cents: int,
        at: datetime,
        reverted: ObjectId,
        reference: Reference | None = None,
        session: Any = None,
    ) -> Journal:
        """Take back a journal of `user_sells_usd`; arguments and errors as in `revert_user_buys_usd`."""
        return await self._revert(
            templates.REVERT_USER_SELLS_USD,
            trade_amounts(sats=sats, cents=cents),
            at=at,
            reverted=reverted,
            reference=reference,
            session=session,
        )

    async def buy_usd_quote_accepted(
        self, *, sats: int, cents: int, at: datetime, quote_id: str, session: Any = None
    ) -> Journal:
        """Book that a user accepted to pay *sats* for *cents*; once a quote, however often it is called.

        Args:
            sats: Satoshi that the dealer will receive, above zero.
            cents: Cents that the dealer will owe, above zero.
            at: When the quote was accepted (timezone-aware).
            quote_id: The quote; its journal's external id is ``quote:`` and it.
            session: Joins this session's transaction; without it the journal has its own.

        Raises:
            QuoteIdError: If *quote_id* is no text, or blank. Nothing is written.
            AmountError: If an amount is not a whole number above zero. Nothing is written.
            DuplicateEntryError: If the quote was accepted with other content. Nothing is written.
        """
        reference, key = {"quote_id": quote_id}, quote_key(quote_id)
        amounts = trade_amounts(sats=sats, cents=cents)
        return await self._post(
            templates.BUY_USD_QUOTE_ACCEPTED, amounts, at=at, reference=reference, key=key, session=session
        )

    async def sell_usd_quote_accepted(
        self, *, sats: int, cents: int, at: datetime, quote_id: str, session: Any = None
    ) -> Journal:
        """Book that a user accepted to be paid *sats* for *cents*; as `buy_usd_quote_accepted`."""
        reference, key = {"quote_id": quote_id}, quote_key(quote_id)
        amounts = trade_amounts(sats=sats, cents=cents)
        return await self._post(
            templates.SELL_USD_QUOTE_ACCEPTED, amounts, at=at, reference=reference, key=key, session=session
        )

    async def increase_exchange_position(
        self, *, cents: int, at: datetime, reference: Reference | None = None, session: Any = None
    ) -> Journal:
        """Book that the signed dollar value of the OKX position rose by *cents* (less short).

        `mirror_okx_position` is what keeps the mirror right; this is its raw step.

        Raises:
            AmountError: If *cents* is not a whole number above zero. Nothing is written.
        """
        change = position_change(cents=cents)
        return await self._post(
            templates.INCREASE_EXCHANGE_POSITION, change, at=at, reference=reference, session=session
        )

    async def decrease_exchange_position(
        self, *, cents: int, at: datetime, reference: Reference | None = None, session: Any = None
    ) -> Journal:
        """Book that the signed dollar value of the OKX position fell by *cents* (more short).

        As `increase_exchange_position`.
        """
        change = position_change(cents=cents)
        return await self._post(
            templates.DECREASE_EXCHANGE_POSITION, change, at=at, reference=reference, session=session
        )

    async def adjust_exchange_allocation(
        self, *, okex_cents: int, bitfinex_cents: int = 0, at: datetime, session: Any = None
    ) -> Journal:
        """Allocate signed amounts of the unallocated liability to the exchanges.

        The amounts are taken as they are; `stablesats.ledger.allocation` decides them.

        Args:
            okex_cents: What OKX has to hedge more, below zero for less.
            bitfinex_cents: The same for the second exchange.
            at: When it takes effect (timezone-aware).
            session: Joins this session's transaction; without it the journal has its own.

        Raises:
            AmountError: If both are zero, or one is no whole number. Nothing is written.
        """
        change = allocation_change(okex_cents=okex_cents, bitfinex_cents=bitfinex_cents)
        return await self._post(templates.ADJUST_EXCHANGE_ALLOCATION, change, at=at, session=session)

    async def mirror_okx_position(
        self,
        signed_exposure_cents: int,
        *,
        at: datetime,
        reference: Reference | None = None,
        session: Any = None,
    ) -> Journal | None:
        """Make the mirror of the OKX position equal to what the exchange reports.

        The mirrored balance is read and corrected in one transaction that write-locks the account, so
        that two processes cannot both post the same difference.

        Args:
            signed_exposure_cents: Dollar value of the position, negative when short.
            at: When the exchange reported it (timezone-aware).
            reference: What identifies the report elsewhere.
            session: Joins this session's transaction; without it the correction has its own.

        Returns:
            The journal that was posted, or None when the mirror was right already (nothing is written).

        Raises:
            AmountError: If *signed_exposure_cents* is not a whole number. Nothing is written.
        """
        require_whole("signed_exposure_cents", signed_exposure_cents)

        async def correct(session: Any) -> Journal | None:
            mirrored = await self._settled.total([Account.OKEX_POSITION], Currency.USD, session=session)
            change = signed_exposure_cents - mirrored
            if change == 0:
                return None
            step = self.increase_exchange_position if change > 0 else self.decrease_exchange_position
            journal = await step(cents=abs(change), at=at, reference=reference, session=session)
            await self.exchange_position.writelock_accounts([Account.OKEX_POSITION.code], session=session)
            return journal

        if session is not None:
            return await correct(session)
        result: Journal | None = await mongo_transaction(self.database.client, correct)
        return result

    async def balances(self) -> DealerBalances:
        """Read the figures that the hedge is decided on.

        The dollars owed are of one moment; bitcoin and position are read on their own and may be a trade
        apart from them.
        """
        return await self._settled.of_dealer()

    async def liability_balances(self, session: Any = None) -> LiabilityBalances:
        """Read what users are owed and who hedges it, all of one moment.

        Args:
            session: Reads in this session's transaction: what it has posted itself counts.

        Raises:
            LedgerDamagedError: If a balance is not a whole number of cents.
        """
        return await self._settled.of_liability(session=session)

    async def hedge_target_cents(self) -> int:
        """Dollars that the OKX position has to match, now; one read, so never a trade apart.

        The sum of what is allocated to OKX and what is not allocated yet
        (`DealerBalances.hedge_target_cents`).
        """
        accounts = (Account.OKEX_ALLOCATION, Account.STABLESATS_LIABILITY)
        return await self._settled.total(accounts, Currency.USD)

    async def account_balances(self) -> list[tuple[Account | StrayAccount, Currency | str, int]]:
        """Settled credit minus debit of every account in each of its currencies, in minor units.

        All of one moment. What else stands in the books follows the chart, as a `StrayAccount` or with a
        currency that the account does not have: so each book adds up to zero in each currency. Such entries
        were made through a `medici_py.Book` without the chart; these books refuse them. What Node's medici
        wrote is in no running balance, and so not here: `Book.verify` names it.

        Raises:
            LedgerDamagedError: If a balance is not a whole number.
        """
        return await self._settled.of_every_account()

    async def _revert(
        self,
        template: TransactionTemplate[TradeAmounts],
        amounts: TradeAmounts,
        *,
        at: datetime,
        reverted: ObjectId,
        reference: Reference | None,
        session: Any,
    ) -> Journal:
        return await revert_journal(
            self.stablesats, template, amounts, reverted, at=at, reference=reference, session=session
        )

    async def _post(
        self,
        template: TransactionTemplate[P],
        params: P,
        *,
        at: datetime,
        reference: Reference | None = None,
        key: str | None = None,
        session: Any,
    ) -> Journal:
        # The position has a book of its own; everything else is about users' dollars.
        book = self.exchange_position if isinstance(params, PositionChange) else self.stablesats
        return await post(
            book,
            template,
            params,
            external_id=key,
            effective=at,
            metadata=reference,
            session=session,
        )
