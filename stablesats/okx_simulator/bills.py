"""Bills: the statement of the trading account, one line for each change of its cash.

Source: OKX API v5, "Get bills details"; types and subtypes as documented there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - read at run time when a saved state is loaded
from decimal import Decimal  # noqa: TC003 - see above
from enum import StrEnum

from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.market import Side


class BillType(StrEnum):
    """What moved the cash."""

    TRANSFER = "1"
    TRADE = "2"
    LIQUIDATION = "5"
    FUNDING_FEE = "8"


class BillSubType(StrEnum):
    """The direction of it, as OKX numbers them."""

    BUY = "1"
    SELL = "2"
    TRANSFER_IN = "11"
    TRANSFER_OUT = "12"
    LIQUIDATION_OF_LONG = "104"
    LIQUIDATION_OF_SHORT = "105"
    INSURANCE = "110"
    FUNDING_EXPENSE = "173"
    FUNDING_INCOME = "174"

    @classmethod
    def of_trade(cls, side: Side) -> BillSubType:
        """Return the subtype of an ordinary fill."""
        return cls.BUY if side is Side.BUY else cls.SELL


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A change of cash: ``change_btc`` is signed, ``pnl_btc`` and ``fee_btc`` are what it is made of."""

    bill_id: str
    at: datetime
    kind: BillType
    sub_kind: BillSubType
    change_btc: Decimal
    balance_btc: Decimal
    contracts: Decimal = ZERO
    price_usd: Decimal | None = None
    pnl_btc: Decimal = ZERO
    fee_btc: Decimal = ZERO
    order_id: str = ""
