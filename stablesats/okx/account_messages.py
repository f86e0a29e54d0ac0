"""What OKX answers about the trading account beside balance and position: fees, bounds, bills.

Sizes are contracts, amounts are `Decimal` BTC, rates are fractions.
"""

from pydantic import Field

from stablesats.okx.fields import Amount, Instant, Message, NonEmpty, OptionalAmount, Text, UnsignedAmount


class TradeFees(Message):
    """Fee rates on coin-margined contracts; negative is charged, positive is a rebate.

    Attributes:
        maker_rate: Of resting orders, such as -0.0002.
        taker_rate: Of orders that fill at once, such as -0.0005.
        level: The account's fee tier.
    """

    maker_rate: Amount = Field(validation_alias="maker")
    taker_rate: Amount = Field(validation_alias="taker")
    level: Text = ""


class MaxOrderSize(Message):
    """The largest orders that the free margin allows, in contracts."""

    inst_id: NonEmpty = Field(validation_alias="instId")
    buy_contracts: UnsignedAmount = Field(validation_alias="maxBuy")
    sell_contracts: UnsignedAmount = Field(validation_alias="maxSell")


class MaxWithdrawal(Message):
    """How much of a currency can leave the trading account; profit on paper cannot."""

    currency: NonEmpty = Field(validation_alias="ccy")
    amount: UnsignedAmount = Field(validation_alias="maxWd")


class Bill(Message):
    """One change of the trading account's cash.

    Attributes:
        bill_id: Key for paging: newer bills have larger ones.
        kind: OKX's type: 1 transfer, 2 trade, 5 liquidation, 8 funding fee.
        subtype: OKX's finer type; of a transfer 11 is in, 12 is out.
        balance_change: Signed; what the cash changed by.
        balance: Cash afterwards.
        profit: Realised with it; None if it does not apply.
        fee: Negative was charged; None if it does not apply.
        source, target: Account codes of a transfer, see `AccountKind`.
    """

    bill_id: NonEmpty = Field(validation_alias="billId")
    currency: NonEmpty = Field(validation_alias="ccy")
    kind: NonEmpty = Field(validation_alias="type")
    subtype: Text = Field(default="", validation_alias="subType")
    balance_change: Amount = Field(validation_alias="balChg")
    balance: Amount = Field(validation_alias="bal")
    size: OptionalAmount = Field(default=None, validation_alias="sz")
    profit: OptionalAmount = Field(default=None, validation_alias="pnl")
    fee: OptionalAmount = None
    source: Text = Field(default="", validation_alias="from")
    target: Text = Field(default="", validation_alias="to")
    inst_id: Text = Field(default="", validation_alias="instId")
    order_id: Text = Field(default="", validation_alias="ordId")
    at: Instant = Field(validation_alias="ts")
