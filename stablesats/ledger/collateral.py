"""`CollateralLedger`: the dealer's collateral at the exchange behind one verb for each of its movements.

Every write runs in one MongoDB transaction of its own, or joins the caller's session. Amounts are whole
satoshi. Each movement is posted under the id that the exchange knows it by, once, however often and in
however many processes it is seen.
"""

from datetime import datetime
from typing import Any, Required, TypedDict, TypeVar, Unpack

from medici_py import Book, Journal, TemplateParams, TransactionTemplate, post
from stablesats.errors import StablesatsError
from stablesats.ledger import collateral_templates as templates
from stablesats.ledger.chart import Currency, allowed_accounts
from stablesats.ledger.collateral_balances import CollateralBalances, CollateralProfit
from stablesats.ledger.collateral_chart import EXCHANGE_COLLATERAL_BOOK, CollateralAccount
from stablesats.ledger.collateral_templates import arrived_collateral, sent_collateral, trading_change
from stablesats.ledger.facade import DIMENSIONS, Reference
from stablesats.ledger.settled_balances import SettledBalances

P = TypeVar("P", bound=TemplateParams)


class ExchangeIdError(StablesatsError, ValueError):
    """A movement was given without the id that it is known by; nothing would keep it from being posted twice.

    Attributes:
        name: The argument that was refused.
        value: What it was.
    """

    def __init__(self, name: str, value: object) -> None:
        """Name the argument."""
        self.name = name
        self.value = value
        super().__init__(f"{name} must be the text of an id, got {value!r}")


class Occurrence(TypedDict, total=False):
    """What every movement is posted with.

    Attributes:
        at: When it took place, as the exchange or the wallet says it (timezone-aware); the effective date.
        reference: What else identifies it elsewhere, such as order or transaction ids; the journal's
            metadata.
        session: Joins this session's transaction; without it the journal has its own.
    """

    at: Required[datetime]
    reference: Reference | None
    session: Any


class CollateralLedger:
    """The third book of the dealer, *Exchange Collateral*.

    `Ledger.prepare` registers its accounts and templates, too. It is cheap and holds no balances; every
    answer is read from the database. One instance may be used by any number of tasks.

    Every posting raises `AmountError` for an amount that is no whole number or has no meaning where it
    stands, `ExchangeIdError` for an id that is empty, and `DuplicateEntryError` if the id was used with
    another amount, date or reference; nothing is written then. The same content under the same id again
    returns the first journal with ``replayed=True``.
    """

    def __init__(self, database: Any) -> None:
        """Args: database: A PyMongo Async or Motor database on a replica set or sharded cluster."""
        self.book = Book(
            EXCHANGE_COLLATERAL_BOOK,
            database,
            precision=0,
            dimensions=DIMENSIONS,
            allowed_accounts=allowed_accounts(CollateralAccount, book=EXCHANGE_COLLATERAL_BOOK),
        )
        self._settled = SettledBalances(self.book)

    async def deposit_sent(
        self, *, payment_id: str, sats: int, fee_sats: int = 0, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that the treasury sent *sats* to the exchange.

        Args:
            payment_id: The wallet's id of the payment.
            sats: What the exchange will receive, above zero.
            fee_sats: Network fee that the treasury paid on top.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.DEPOSIT_SENT,
            sent_collateral(sats=sats, fee_sats=fee_sats),
            _key("deposit-sent", payment_id=payment_id),
            **occurrence,
        )

    async def deposit_returned(
        self, *, payment_id: str, sats: int, fee_sats: int = 0, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that a payment of `deposit_sent` will never be confirmed: replaced, conflicting or dropped.

        Args:
            payment_id: As in `deposit_sent`.
            sats: As in `deposit_sent`.
            fee_sats: The part of the fee that was not spent either.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.DEPOSIT_RETURNED,
            sent_collateral(sats=sats, fee_sats=fee_sats),
            _key("deposit-returned", payment_id=payment_id),
            **occurrence,
        )

    async def deposit_credited(
        self, *, deposit_id: str, sats: int, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that the exchange credited *sats* to the funding account.

        Args:
            deposit_id: The exchange's id of the deposit.
            sats: What it credited, above zero.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.DEPOSIT_CREDITED,
            arrived_collateral(sats=sats),
            _key("deposit", deposit_id=deposit_id),
            **occurrence,
        )

    async def withdrawal_requested(
        self, *, withdrawal_id: str, sats: int, fee_sats: int = 0, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that the exchange took a withdrawal off the funding account.

        Args:
            withdrawal_id: The exchange's id of the withdrawal.
            sats: What the treasury will receive, above zero.
            fee_sats: Fee that the exchange took on top.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.WITHDRAWAL_REQUESTED,
            sent_collateral(sats=sats, fee_sats=fee_sats),
            _key("withdrawal", withdrawal_id=withdrawal_id),
            **occurrence,
        )

    async def withdrawal_returned(
        self, *, withdrawal_id: str, sats: int, fee_sats: int = 0, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that a withdrawal failed or was cancelled, and that the exchange gave it back.

        A withdrawal ends once: one that is booked as arrived is a `DuplicateEntryError` here.

        Args:
            withdrawal_id: As in `withdrawal_requested`.
            sats: As in `withdrawal_requested`.
            fee_sats: The fee that was given back with it.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.WITHDRAWAL_RETURNED,
            sent_collateral(sats=sats, fee_sats=fee_sats),
            _key("withdrawal-end", withdrawal_id=withdrawal_id),
            **occurrence,
        )

    async def withdrawal_arrived(
        self, *, withdrawal_id: str, sats: int, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that a withdrawal reached the treasury.

        A withdrawal ends once: one that is booked as returned is a `DuplicateEntryError` here.

        Args:
            withdrawal_id: As in `withdrawal_requested`.
            sats: What arrived, above zero.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.WITHDRAWAL_ARRIVED,
            arrived_collateral(sats=sats),
            _key("withdrawal-end", withdrawal_id=withdrawal_id),
            **occurrence,
        )

    async def transferred(
        self, *, transfer_id: str, change_sats: int, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book that the exchange moved bitcoin between its two accounts.

        Args:
            transfer_id: The exchange's id of the transfer.
            change_sats: What the trading account gained from the funding account; below zero for the other
                way.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.TRANSFERRED,
            trading_change(change_sats=change_sats),
            _key("transfer", transfer_id=transfer_id),
            **occurrence,
        )

    async def trading_fee(
        self, *, bill_id: str, change_sats: int, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book the fee or the rebate of a trade, with the sign that the exchange gives it.

        Args:
            bill_id: The exchange's id of the bill.
            change_sats: Below zero for a fee, above zero for a rebate.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.TRADING_FEE,
            trading_change(change_sats=change_sats),
            _key("trading-fee", bill_id=bill_id),
            **occurrence,
        )

    async def funding_payment(
        self, *, bill_id: str, change_sats: int, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book what the position received or paid at a funding time.

        Args:
            bill_id: The exchange's id of the bill.
            change_sats: Above zero when it was received, below when it was paid.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.FUNDING_PAYMENT,
            trading_change(change_sats=change_sats),
            _key("funding-payment", bill_id=bill_id),
            **occurrence,
        )

    async def realised_profit(
        self, *, bill_id: str, change_sats: int, **occurrence: Unpack[Occurrence]
    ) -> Journal:
        """Book what closing a part of the position brought, its fee not included.

        Args:
            bill_id: The exchange's id of the bill; the fee of the same bill is posted beside it.
            change_sats: Above zero for a profit, below for a loss.
            **occurrence: See `Occurrence`.
        """
        return await self._post(
            templates.REALISED_PROFIT,
            trading_change(change_sats=change_sats),
            _key("realised-profit", bill_id=bill_id),
            **occurrence,
        )

    async def account_balances(self, *, session: Any = None) -> dict[CollateralAccount, int]:
        """Settled credit minus debit of every account in satoshi, all of one moment; together zero.

        Args:
            session: Reads in this session's transaction: what it has posted itself counts.

        Raises:
            LedgerDamagedError: If a balance is not a whole number of satoshi.
        """
        return await self._settled.each(tuple(CollateralAccount), Currency.BTC, session=session)

    async def balances(self, *, session: Any = None) -> CollateralBalances:
        """Read where the collateral is and where it came from, all of one moment.

        Arguments and errors as in `account_balances`.
        """
        return CollateralBalances.of((await self.account_balances(session=session)).__getitem__)

    async def profit(self, *, session: Any = None) -> CollateralProfit:
        """Read what the collateral gained since the first posting, all of one moment.

        Arguments and errors as in `account_balances`.
        """
        return (await self.balances(session=session)).profit

    async def _post(
        self,
        template: TransactionTemplate[P],
        params: P,
        key: str,
        *,
        at: datetime,
        reference: Reference | None = None,
        session: Any = None,
    ) -> Journal:
        return await post(
            self.book,
            template,
            params,
            external_id=key,
            effective=at,
            metadata=reference,
            session=session,
        )


def _key(kind: str, **known_by: object) -> str:
    """The external id of a movement: its *kind*, and the one id that it is known by."""
    [(name, id_)] = known_by.items()
    if not isinstance(id_, str) or not id_.strip():
        raise ExchangeIdError(name, id_)
    return f"{kind}:{id_}"
