"""Bills: the statement of the trading account, one line for each change of its cash.

Source: OKX API v5, "Get bills details"; types and subtypes as documented there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - read at run time when a saved state is loaded
from decimal import Decimal  # noqa: TC003 - see above
from enum import StrEnum
from typing import TYPE_CHECKING

from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.market import Side

if TYPE_CHECKING:
    from stablesats.okx_simulator.accounts import Fill


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


def bill_of_fill(fill: Fill, *, balance_btc: Decimal, is_liquidation: bool = False) -> Bill:
    """Return the bill of an execution, after which the cash is *balance_btc*."""
    is_sale = fill.side is Side.SELL
    if is_liquidation:
        sub_kind = BillSubType.LIQUIDATION_OF_LONG if is_sale else BillSubType.LIQUIDATION_OF_SHORT
    else:
        sub_kind = BillSubType.SELL if is_sale else BillSubType.BUY
    return Bill(
        bill_id=fill.bill_id,
        at=fill.at,
        kind=BillType.LIQUIDATION if is_liquidation else BillType.TRADE,
        sub_kind=sub_kind,
        change_btc=fill.change_btc,
        balance_btc=balance_btc,
        contracts=fill.contracts,
        price_usd=fill.price_usd,
        pnl_btc=fill.pnl_btc,
        fee_btc=fill.fee_btc + fill.liquidation_penalty_btc,
        order_id=fill.order_id,
    )
