"""Orders, fills, positions and balances in the shape in which OKX's answers show them.

Every number is a text, every time a text of Unix milliseconds, and what does not apply is ``""``.

Source: OKX API v5, response parameters of "Order details", "Transaction details", "Positions", "Balance".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stablesats.okx_simulator import market
from stablesats.okx_simulator.amounts import ZERO, exact, plain_text

if TYPE_CHECKING:
    from decimal import Decimal

    from stablesats.okx_simulator.accounts import Account, Fill, Margin, Position
    from stablesats.okx_simulator.instrument import Instrument
    from stablesats.okx_simulator.orders import Order
    from stablesats.okx_simulator.prices import MarketPrice

Row: TypeAlias = dict[str, Any]

ACCOUNT_UID: Final = "44705892343619584"
"""The number of the one account."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GREEKS: Final = ("deltaBS", "deltaPA", "gammaBS", "gammaPA", "thetaBS", "thetaPA", "vegaBS", "vegaPA")
_UNUSED_POSITION_FIELDS: Final = (
    "availPos",
    "baseBal",
    "baseBorrowed",
    "baseInterest",
    "bePx",
    "bizRefId",
    "bizRefType",
    "interest",
    "liab",
    "liabCcy",
    "margin",
    "optVal",
    "pendingCloseOrdLiabVal",
    "posCcy",
    "quoteBal",
    "quoteBorrowed",
    "quoteInterest",
    "spotInUseAmt",
    "spotInUseCcy",
    *_GREEKS,
)
_POSITION_NUMBERS: Final = (
    "adl",
    "avgPx",
    "fee",
    "fundingFee",
    "idxPx",
    "imr",
    "last",
    "lever",
    "liqPenalty",
    "liqPx",
    "markPx",
    "mgnRatio",
    "mmr",
    "notionalUsd",
    "pnl",
    "realizedPnl",
    "upl",
    "uplLastPx",
    "uplRatio",
    "uplRatioLastPx",
    "usdPx",
)
_UNUSED_ORDER_FIELDS: Final = (
    "algoClOrdId",
    "algoId",
    "attachAlgoClOrdId",
    "cancelSourceReason",
    "pxType",
    "pxUsd",
    "pxVol",
    "quickMgnType",
    "slOrdPx",
    "slTriggerPx",
    "slTriggerPxType",
    "source",
    "stpId",
    "tgtCcy",
    "tpOrdPx",
    "tpTriggerPx",
    "tpTriggerPxType",
    "tradeQuoteCcy",
)
_ZERO_BALANCE_FIELDS: Final = (
    "crossLiab",
    "interest",
    "isoEq",
    "isoLiab",
    "isoUpl",
    "liab",
    "maxLoan",
    "rewardBal",
    "spotInUseAmt",
    "stgyEq",
    "twap",
    "uplLiab",
)
_UNUSED_ACCOUNT_FIELDS: Final = (
    "adjEq",
    "availEq",
    "borrowFroz",
    "imr",
    "isoEq",
    "mgnRatio",
    "mmr",
    "notionalUsd",
    "ordFroz",
    "upl",
)


def millis(at: datetime) -> str:
    """Write an instant as OKX does: Unix milliseconds in a text."""
    return str((at - _EPOCH) // timedelta(milliseconds=1))


def micros(at: datetime) -> str:
    """Write an instant as OKX does in ``inTime`` and ``outTime``: Unix microseconds in a text."""
    return str((at - _EPOCH) // timedelta(microseconds=1))


def order_row(order: Order, instrument: Instrument) -> Row:
    """Return an order as GET order, orders-pending and orders-history show it."""
    ticket, fill = order.ticket, order.last_fill
    return {
        **dict.fromkeys(_UNUSED_ORDER_FIELDS, ""),
        "accFillSz": plain_text(order.filled_contracts),
        "attachAlgoOrds": [],
        "avgPx": plain_text(order.average_price_usd),
        "cTime": millis(order.created_at),
        "cancelSource": str(order.cancel_source),
        "category": order.category.value,
        "ccy": "",
        "clOrdId": ticket.client_order_id,
        "fee": plain_text(order.fee_btc),
        "feeCcy": instrument.settle_currency,
        "fillPx": plain_text(fill.price_usd) if fill else "",
        "fillSz": plain_text(fill.contracts) if fill else "0",
        "fillTime": millis(fill.at) if fill else "",
        "instId": ticket.inst_id,
        "instType": "SWAP",
        "isTpLimit": "false",
        "lever": plain_text(order.lever),
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": order.order_id,
        "ordType": ticket.kind.value,
        "pnl": plain_text(order.pnl_btc),
        "posSide": "net",
        "px": plain_text(ticket.price_usd),
        "rebate": "0",
        "rebateCcy": instrument.settle_currency,
        "reduceOnly": "true" if ticket.reduce_only else "false",
        "side": str(ticket.side),
        "state": str(order.state),
        "stpMode": "cancel_maker",
        "sz": plain_text(ticket.contracts),
        "tag": ticket.tag,
        "tdMode": "cross",
        "tradeId": fill.trade_id if fill else "",
        "uTime": millis(order.updated_at),
    }


def execution_type(fill: Fill) -> str:
    """Return ``M`` for an order that had waited in the book, ``T`` for one that took from it."""
    return "M" if fill.is_maker else "T"


def fill_row(fill: Fill, order: Order, instrument: Instrument) -> Row:
    """Return one execution as fills and fills-history show it."""
    return {
        "billId": fill.bill_id,
        "clOrdId": order.ticket.client_order_id,
        "execType": execution_type(fill),
        "fee": plain_text(fill.fee_btc),
        "feeCcy": instrument.settle_currency,
        "feeRate": plain_text(-(instrument.maker_rate if fill.is_maker else instrument.taker_rate)),
        "fillPnl": plain_text(fill.pnl_btc),
        "fillPx": plain_text(fill.price_usd),
        "fillSz": plain_text(fill.contracts),
        "fillTime": millis(fill.at),
        "instId": instrument.inst_id,
        "instType": "SWAP",
        "ordId": fill.order_id,
        "posSide": "net",
        "side": str(fill.side),
        "subType": "1" if fill.side.sign > 0 else "2",
        "tag": order.ticket.tag,
        "tradeId": fill.trade_id,
        "ts": millis(fill.at),
    }


@exact
def position_row(
    account: Account, position: Position, margin: Margin, price: MarketPrice, instrument: Instrument
) -> Row:
    """Return the open position; margins and profits in BTC, *notionalUsd* unsigned."""
    contracts = position.contracts
    upl_last = market.unrealized_pnl_btc(contracts, position.entry_price_usd, price.last_usd, instrument)
    liquidation = market.liquidation_price_usd(
        contracts, position.entry_price_usd, account.cash_btc, instrument
    )
    return _identified(position, instrument) | {
        "adl": "1",
        "avgPx": plain_text(position.entry_price_usd),
        "fee": plain_text(position.fee_btc),
        "fundingFee": plain_text(position.funding_fee_btc),
        "idxPx": plain_text(price.index_usd),
        "imr": plain_text(margin.initial_btc),
        "last": plain_text(price.last_usd),
        "lever": plain_text(account.lever),
        "liqPenalty": plain_text(position.liquidation_penalty_btc),
        "liqPx": plain_text(liquidation),
        "markPx": plain_text(price.mark_usd),
        "mgnRatio": plain_text(margin.ratio),
        "mmr": plain_text(margin.maintenance_btc),
        "notionalUsd": plain_text(
            market.notional_usd(contracts, price.mark_usd, price.index_usd, instrument)
        ),
        "pnl": plain_text(position.pnl_btc),
        "pos": plain_text(contracts),
        "realizedPnl": plain_text(position.realized_pnl_btc),
        "upl": plain_text(margin.unrealized_pnl_btc),
        "uplLastPx": plain_text(upl_last),
        "uplRatio": plain_text(margin.unrealized_pnl_btc / margin.initial_btc),
        "uplRatioLastPx": plain_text(upl_last / margin.initial_btc),
        "usdPx": plain_text(price.index_usd),
    }


def flat_position_row(last_position: Position, at: datetime, instrument: Instrument) -> Row:
    """Return the row of a position that was closed: ``pos`` is ``0`` and every other number is empty."""
    return (
        _identified(last_position, instrument)
        | dict.fromkeys(_POSITION_NUMBERS, "")
        | {"pos": "0", "uTime": millis(at)}
    )


def account_row(
    account: Account, margin: Margin, price: MarketPrice, instrument: Instrument, at: datetime
) -> Row:
    """Return the trading account as ``account/balance`` shows it in futures mode; *totalEq* is USD."""
    details = (
        [_currency_row(account, margin, price, instrument)] if account.cash_btc or account.position else []
    )
    return {
        **dict.fromkeys(_UNUSED_ACCOUNT_FIELDS, ""),
        "details": details,
        "totalEq": plain_text(_in_usd(margin, price)),
        "uTime": millis(at),
    }


def _identified(position: Position, instrument: Instrument) -> Row:
    return {
        **dict.fromkeys(_UNUSED_POSITION_FIELDS, ""),
        "cTime": millis(position.opened_at),
        "ccy": instrument.settle_currency,
        "closeOrderAlgo": [],
        "instId": instrument.inst_id,
        "instType": "SWAP",
        "mgnMode": "cross",
        "posId": position.position_id,
        "posSide": "net",
        "tradeId": position.last_trade_id,
        "uTime": millis(position.updated_at),
    }


@exact
def _currency_row(account: Account, margin: Margin, price: MarketPrice, instrument: Instrument) -> Row:
    frozen_btc = margin.initial_btc + margin.order_frozen_btc
    held_btc = market.value_btc(abs(account.contracts), price.mark_usd, instrument)
    flat = account.position is None
    equity_usd = plain_text(_in_usd(margin, price))
    values = {
        "availBal": plain_text(max(ZERO, account.cash_btc - frozen_btc)),
        "availEq": plain_text(margin.available_btc),
        "cashBal": plain_text(account.cash_btc),
        "ccy": instrument.settle_currency,
        "disEq": equity_usd,
        "eq": plain_text(margin.equity_btc),
        "eqUsd": equity_usd,
        "frozenBal": plain_text(frozen_btc),
        "imr": "" if flat else plain_text(margin.initial_btc),
        "mgnRatio": plain_text(margin.ratio),
        "mmr": "" if flat else plain_text(margin.maintenance_btc),
        "notionalLever": plain_text(held_btc / margin.equity_btc if margin.equity_btc > 0 else ZERO),
        "ordFrozen": plain_text(margin.order_frozen_btc),
        "uTime": millis(account.updated_at),
        "upl": plain_text(margin.unrealized_pnl_btc),
    }
    return {**dict.fromkeys(_ZERO_BALANCE_FIELDS, "0"), **values}


@exact
def _in_usd(margin: Margin, price: MarketPrice) -> Decimal:
    return margin.equity_btc * price.index_usd
