"""What OKX answers, as frozen values in our own words and units.

Lenient where OKX is loose: ``""`` and ``null`` mean "not applicable", unknown fields are ignored, numbers
may come bare instead of as text. Strict on money: a required number that is missing, empty or not a number
is an error and never zero. Every value can be made by its Python field names too (tests, simulators).

Prices are USD per bitcoin, sizes are contracts (short is negative), amounts of bitcoin are `Decimal` BTC.

Source: OKX API v5; ``clOrdId``-style names of the venue are the validation aliases.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Self, assert_never

from pydantic import Field, model_validator

from stablesats.okx.amounts import parse_amount
from stablesats.okx.fields import (
    Amount,
    Flag,
    Instant,
    Message,
    NonEmpty,
    OptionalAmount,
    OptionalInstant,
    OptionalPrice,
    PositiveAmount,
    Text,
    UnsignedAmount,
)


class OrderSide(StrEnum):
    """Which way an order trades; the size itself has no sign."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How an order is executed."""

    MARKET = "market"
    LIMIT = "limit"
    POST_ONLY = "post_only"
    FILL_OR_KILL = "fok"
    IMMEDIATE_OR_CANCEL = "ioc"
    OPTIMAL_LIMIT = "optimal_limit_ioc"

    @property
    def has_limit_price(self) -> bool:
        """Whether such an order names a price."""
        return self not in (OrderType.MARKET, OrderType.OPTIMAL_LIMIT)


class OrderState(StrEnum):
    """Where an order stands. A state that we do not know is `UNKNOWN`, and not final: keep asking."""

    LIVE = "live"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    MMP_CANCELED = "mmp_canceled"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> Self:  # noqa: ARG003 - enum's own signature
        return cls("unknown")

    @property
    def is_final(self) -> bool:
        """Whether nothing can be filled any more; the filled size is then what counts, also if canceled."""
        match self:
            case OrderState.FILLED | OrderState.CANCELED | OrderState.MMP_CANCELED:
                return True
            case OrderState.LIVE | OrderState.PARTIALLY_FILLED | OrderState.UNKNOWN:
                return False
            case _:
                assert_never(self)


class ServerTime(Message):
    """OKX's clock."""

    at: Instant = Field(validation_alias="ts")


class Instrument(Message):
    """The trading rules of an inverse contract: face value in USD, margin and profit in bitcoin.

    Attributes:
        contract_value_usd: USD face value of one contract, 100 for ``BTC-USD-SWAP``.
        lot_contracts: Order sizes are multiples of this.
        min_contracts: Smallest order.
        max_market_contracts: Largest market order; None if OKX states none.
        tick_usd: Prices are multiples of this.
        state: ``live``, ``suspend``, ``preopen`` ...
    """

    inst_id: NonEmpty = Field(validation_alias="instId")
    contract_value_usd: PositiveAmount = Field(validation_alias="ctVal")
    lot_contracts: PositiveAmount = Field(validation_alias="lotSz")
    min_contracts: PositiveAmount = Field(validation_alias="minSz")
    max_market_contracts: OptionalAmount = Field(default=None, validation_alias="maxMktSz")
    tick_usd: PositiveAmount = Field(validation_alias="tickSz")
    state: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _is_inverse(cls, row: object) -> object:
        # A linear contract's `ctVal` is an amount of bitcoin: read as dollars, every hedge would be wrong.
        if isinstance(row, Mapping) and "ctVal" in row:
            found = {key: row.get(key) for key in ("ctType", "ctValCcy", "settleCcy")}
            if found != {"ctType": "inverse", "ctValCcy": "USD", "settleCcy": "BTC"}:
                raise ValueError(f"expected an inverse contract in USD settled in BTC, found {found}")
            if parse_amount(row.get("ctMult")) not in (None, 1):
                raise ValueError(f"expected a contract multiplier of 1, found {row.get('ctMult')!r}")
        return row

    @property
    def is_live(self) -> bool:
        """Whether it can be traded."""
        return self.state == "live"


class Ticker(Message):
    """The last trade and the top of the book, USD per bitcoin; None where OKX has no price."""

    inst_id: NonEmpty = Field(validation_alias="instId")
    last_usd: OptionalPrice = Field(default=None, validation_alias="last")
    bid_usd: OptionalPrice = Field(default=None, validation_alias="bidPx")
    ask_usd: OptionalPrice = Field(default=None, validation_alias="askPx")
    at: Instant = Field(validation_alias="ts")


class AccountConfig(Message):
    """How the account is set up, in OKX's own words.

    Attributes:
        account_level: ``1`` spot, ``2`` futures mode, ``3`` multi-currency, ``4`` portfolio margin.
        position_mode: ``net_mode`` or ``long_short_mode``.
        uid: The account's number at OKX.
        permissions: What the key may do, such as ``read_only,trade``.
    """

    account_level: NonEmpty = Field(validation_alias="acctLv")
    position_mode: NonEmpty = Field(validation_alias="posMode")
    uid: Text = ""
    permissions: Text = Field(default="", validation_alias="perm")

    @property
    def is_futures_mode(self) -> bool:
        """Whether margin is kept per currency (level 2), as the hedge needs it."""
        return self.account_level == "2"

    @property
    def is_net_mode(self) -> bool:
        """Whether an instrument has one signed position, as the hedge needs it."""
        return self.position_mode == "net_mode"


class Leverage(Message):
    """The leverage set for cross margin on an instrument; ``posSide`` tells the position mode."""

    leverage: PositiveAmount = Field(validation_alias="lever")
    position_side: Text = Field(default="net", validation_alias="posSide")


class TradingBalance(Message):
    """Bitcoin in the trading account.

    Attributes:
        cash_btc: Realised balance: deposits, transfers, realised profit, fees, funding.
        unrealized_pnl_btc: Profit of open positions at the mark price.
        equity_btc: Cash plus unrealised profit.
        available_equity_btc: Margin that is free for new positions.
        margin_ratio: A multiple (3 is 300 %); None without a cross position.
    """

    cash_btc: Amount = Field(validation_alias="cashBal")
    equity_btc: Amount = Field(validation_alias="eq")
    available_equity_btc: Amount = Field(validation_alias="availEq")
    unrealized_pnl_btc: Amount = Field(validation_alias="upl")
    margin_ratio: OptionalAmount = Field(default=None, validation_alias="mgnRatio")

    @classmethod
    def empty(cls) -> Self:
        """Return the balance of an account that holds no bitcoin: OKX leaves its row out."""
        zero = Decimal(0)
        return cls(cash_btc=zero, equity_btc=zero, available_equity_btc=zero, unrealized_pnl_btc=zero)


class Position(Message):
    """The cross-margin net position on one instrument; flat is a size of zero.

    Attributes:
        size_contracts: Signed contracts, short is negative.
        average_price_usd: Entry price.
        notional_usd: Unsigned value as OKX computes it, near but not equal to contracts times face value:
            for the hedge use `signed_exposure_cents`.
        unrealized_pnl_btc: At the mark price.
        margin_ratio: A multiple (3 is 300 %).
        liquidation_price_usd: None if it cannot be liquidated.
        leverage: As set for the position.
        updated_at: When OKX changed it last; None if it does not say.
    """

    inst_id: NonEmpty = Field(validation_alias="instId")
    size_contracts: Amount = Field(validation_alias="pos")
    average_price_usd: OptionalPrice = Field(default=None, validation_alias="avgPx")
    mark_price_usd: OptionalPrice = Field(default=None, validation_alias="markPx")
    last_price_usd: OptionalPrice = Field(default=None, validation_alias="last")
    notional_usd: OptionalAmount = Field(default=None, validation_alias="notionalUsd")
    unrealized_pnl_btc: OptionalAmount = Field(default=None, validation_alias="upl")
    margin_ratio: OptionalAmount = Field(default=None, validation_alias="mgnRatio")
    liquidation_price_usd: OptionalPrice = Field(default=None, validation_alias="liqPx")
    leverage: OptionalAmount = Field(default=None, validation_alias="lever")
    updated_at: OptionalInstant = Field(default=None, validation_alias="uTime")

    @classmethod
    def flat(cls, inst_id: str) -> Self:
        """Return the position of an account that holds none on the instrument."""
        return cls(inst_id=inst_id, size_contracts=Decimal(0))

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to close."""
        return self.size_contracts == 0

    def signed_exposure_cents(self, contract_value_usd: Decimal) -> int:
        """Return contracts times face value in cents, exactly; short is negative.

        Short 100 contracts of 100 USD is -1,000,000 cents.

        Raises:
            ValueError: If the product is not a whole number of cents.
        """
        cents = Fraction(self.size_contracts) * Fraction(contract_value_usd) * 100
        if cents.denominator != 1:
            raise ValueError(
                f"{self.size_contracts} contracts of {contract_value_usd} USD are not a whole number of cents"
            )
        return cents.numerator


class OrderAck(Message):
    """OKX has accepted an order, or a request to cancel one; neither says that anything was filled."""

    order_id: NonEmpty = Field(validation_alias="ordId")
    client_order_id: NonEmpty = Field(validation_alias="clOrdId")


class CloseAck(Message):
    """OKX has accepted to close a position; it names no order id, so ask by the client order id."""

    inst_id: NonEmpty = Field(validation_alias="instId")


class Order(Message):
    """An order as OKX reports it. Never assume that *size_contracts* was filled: book *filled_contracts*.

    Attributes:
        order_id: OKX's id, digits beyond 2**53, so text.
        average_price_usd: Mean price of the fills; None while nothing is filled.
        fee_btc: Fee so far; negative was charged, positive is a rebate.
        order_type: ``market``, ``limit`` ... in OKX's own words.
        limit_price_usd: None for a market order.
        category: ``normal``, or what else made the order, such as ``full_liquidation``.
    """

    inst_id: NonEmpty = Field(validation_alias="instId")
    order_id: NonEmpty = Field(validation_alias="ordId")
    client_order_id: Text = Field(default="", validation_alias="clOrdId")
    side: OrderSide
    state: OrderState
    size_contracts: PositiveAmount = Field(validation_alias="sz")
    filled_contracts: UnsignedAmount = Field(validation_alias="accFillSz")
    average_price_usd: OptionalPrice = Field(default=None, validation_alias="avgPx")
    fee_btc: Amount = Field(validation_alias="fee")
    created_at: Instant = Field(validation_alias="cTime")
    updated_at: Instant = Field(validation_alias="uTime")
    order_type: Text = Field(default="", validation_alias="ordType")
    limit_price_usd: OptionalPrice = Field(default=None, validation_alias="px")
    reduce_only: Flag = Field(default=False, validation_alias="reduceOnly")
    category: Text = ""

    def supersedes(self, other: Self) -> bool:
        """Return whether this is a newer look at the same order than *other*.

        More filled is newer, then final over not final, then the later time: pushes may arrive in the wrong
        order, and a look that is older must not undo what is known.

        Raises:
            ValueError: If they are two orders.
        """
        if self.order_id != other.order_id:
            raise ValueError(f"order {self.order_id} is not order {other.order_id}")

        def progress(order: Order) -> tuple[Decimal, bool, datetime]:
            return order.filled_contracts, order.state.is_final, order.updated_at

        return progress(self) > progress(other)

    @model_validator(mode="before")
    @classmethod
    def _fee_of_nothing_is_zero(cls, row: object) -> object:
        if not isinstance(row, Mapping) or "accFillSz" not in row:
            return row
        nothing_filled = parse_amount(row["accFillSz"]) == 0
        if nothing_filled and parse_amount(row.get("fee")) is None:
            return {**row, "fee": "0"}
        if not nothing_filled and row.get("feeCcy") not in ("BTC", "", None):
            raise ValueError(f"expected a fee in BTC, found {row.get('feeCcy')!r}")
        return row


class Fill(Message):
    """One trade of an order.

    Attributes:
        trade_id: OKX's id of the trade; fills of one order at one instant differ in it.
        bill_id: Key for paging: newer fills have larger ones.
        fee_btc: Negative was charged, positive is a rebate.
        profit_btc: Realised by closing, without the fee; None if OKX does not say.
        execution: ``T`` taker, ``M`` maker.
    """

    inst_id: NonEmpty = Field(validation_alias="instId")
    order_id: NonEmpty = Field(validation_alias="ordId")
    client_order_id: Text = Field(default="", validation_alias="clOrdId")
    trade_id: NonEmpty = Field(validation_alias="tradeId")
    bill_id: Text = Field(default="", validation_alias="billId")
    side: OrderSide
    size_contracts: PositiveAmount = Field(validation_alias="fillSz")
    price_usd: PositiveAmount = Field(validation_alias="fillPx")
    fee_btc: Amount = Field(validation_alias="fee")
    profit_btc: OptionalAmount = Field(default=None, validation_alias="fillPnl")
    execution: Text = Field(default="", validation_alias="execType")
    at: Instant = Field(validation_alias="ts")

    @model_validator(mode="before")
    @classmethod
    def _fee_is_in_btc(cls, row: object) -> object:
        if isinstance(row, Mapping) and row.get("feeCcy") not in ("BTC", "", None):
            raise ValueError(f"expected a fee in BTC, found {row.get('feeCcy')!r}")
        return row

    @property
    def is_maker(self) -> bool:
        """Whether the order was resting when it was filled."""
        return self.execution == "M"
