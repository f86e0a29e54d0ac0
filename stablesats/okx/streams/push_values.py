"""From the rows of a push to our values; pure.

Each function returns None where the rows say nothing about what is asked for, and raises `OkxProtocolError`
where they cannot be understood. Rows are read by the rules of the REST answers.
"""

from datetime import datetime
from typing import TypeVar

from pydantic import Field

from stablesats.okx import answers
from stablesats.okx.call import Call
from stablesats.okx.endpoints import Allowance, Endpoint, Priority
from stablesats.okx.envelope import not_understood, read_row
from stablesats.okx.fields import Message, OptionalAmount, OptionalInstant, OptionalPrice, Text
from stablesats.okx.market_messages import FundingRate, MarkPrice
from stablesats.okx.messages import Order, Position, Ticker, TradingBalance
from stablesats.okx.streams.channel import Channel
from stablesats.okx.streams.frames import Push, Row
from stablesats.okx.streams.order_feed import OrderFill, OrderUpdate

M = TypeVar("M", bound=Message)


class _Stamp(Message):
    """When a row was made; OKX has three names for it."""

    pushed_at: OptionalInstant = Field(default=None, validation_alias="pTime")
    updated_at: OptionalInstant = Field(default=None, validation_alias="uTime")
    at: OptionalInstant = Field(default=None, validation_alias="ts")


class _PushedFill(Message):
    trade_id: Text = Field(default="", validation_alias="tradeId")
    size_contracts: OptionalAmount = Field(default=None, validation_alias="fillSz")
    price_usd: OptionalPrice = Field(default=None, validation_alias="fillPx")
    fee_btc: OptionalAmount = Field(default=None, validation_alias="fillFee")
    fee_currency: Text = Field(default="", validation_alias="fillFeeCcy")
    at: OptionalInstant = Field(default=None, validation_alias="fillTime")


def ticker_in(push: Push, channel: Channel) -> Ticker | None:
    """Return the ticker."""
    return _newest(Ticker, push, channel)


def mark_price_in(push: Push, channel: Channel) -> MarkPrice | None:
    """Return the mark price."""
    return _newest(MarkPrice, push, channel)


def funding_rate_in(push: Push, channel: Channel) -> FundingRate | None:
    """Return the funding rate."""
    return _newest(FundingRate, push, channel)


def position_in(push: Push, channel: Channel) -> Position | None:
    """Return the net position; a snapshot without one is flat."""
    call = _pushed(channel)
    rows = rows_in(push, channel)
    if not rows and not push.is_snapshot:
        return None
    return answers.net_position_of(rows, call)


def balance_in(push: Push, channel: Channel) -> TradingBalance | None:
    """Return the bitcoin in the trading account; a snapshot without any is a balance of zeros."""
    call = _pushed(channel)
    if not push.rows:
        return TradingBalance.empty() if push.is_snapshot else None
    if not push.is_snapshot and not _speaks_of(push.rows[0], channel.currency):
        return None
    return answers.trading_balance_of(list(push.rows), call, channel.currency)


def order_updates_in(push: Push, channel: Channel) -> list[OrderUpdate]:
    """Return each change, in OKX's order: one for each of `rows_in`."""
    call = _pushed(channel)
    return [_order_update(row, call) for row in rows_in(push, channel)]


def rows_in(push: Push, channel: Channel) -> list[Row]:
    """Return the rows about the instrument of *channel*."""
    return [row for row in push.rows if row.get("instId") == channel.inst_id]


def time_of(push: Push, channel: Channel) -> datetime | None:
    """Return when the newest row was made; None if OKX does not say."""
    stamps = (read_row(_Stamp, row, _pushed(channel)) for row in push.rows)
    times = [stamp.pushed_at or stamp.updated_at or stamp.at for stamp in stamps]
    return max((at for at in times if at is not None), default=None)


def _newest(model: type[M], push: Push, channel: Channel) -> M | None:
    rows = rows_in(push, channel)
    return read_row(model, rows[-1], _pushed(channel)) if rows else None


def _order_update(row: Row, call: Call) -> OrderUpdate:
    order = read_row(Order, row, call)
    fill = read_row(_PushedFill, row, call)
    if not fill.trade_id or not fill.size_contracts or fill.price_usd is None:
        return OrderUpdate(order)
    if fill.fee_currency not in ("", "BTC"):
        not_understood(call, f"expected a fee in BTC, found {fill.fee_currency!r}")
    return OrderUpdate(
        order, OrderFill(fill.trade_id, fill.size_contracts, fill.price_usd, fill.fee_btc, fill.at)
    )


def _speaks_of(row: Row, currency: str) -> bool:
    details = row.get("details")
    return not isinstance(details, list) or any(
        isinstance(detail, dict) and detail.get("ccy") == currency for detail in details
    )


def _pushed(channel: Channel) -> Call:
    """Return *channel* as the context of the rules for REST answers."""
    allowance = Allowance("pushes", 2)
    endpoint = Endpoint("PUSH", f"channel {channel}", allowance, Priority.POLL)
    return Call(endpoint, endpoint.path, inst_id=channel.inst_id)
