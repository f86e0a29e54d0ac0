"""Rows of the account's own channels: what the REST rows show, with what only the pushes have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator import market
from stablesats.okx_simulator.amounts import exact, plain_text
from stablesats.okx_simulator.asset_rows import deposit_row, withdrawal_history_row
from stablesats.okx_simulator.chain_payments import Deposit, Withdrawal
from stablesats.okx_simulator.rows import (
    ACCOUNT_UID,
    account_row,
    execution_type,
    flat_position_row,
    millis,
    order_row,
    position_row,
)

if TYPE_CHECKING:
    from datetime import datetime

    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.order_log import OrderChange
    from stablesats.okx_simulator.rows import Row

# What some chains want beside an address; bitcoin wants none of it.
_ADDRESS_EXTRAS: Final = {"addrEx": None, "memo": "", "pmtId": "", "tag": "", "toAddrType": "1"}


def account_rows(exchange: Exchange, is_event: bool) -> list[Row]:  # noqa: ARG001
    """Return the trading account, valued at the mark."""
    at = exchange.clock.now()
    return [account_row(exchange.account, exchange.margin, exchange.price, exchange.instrument, at)]


def position_rows(exchange: Exchange, is_event: bool) -> list[Row]:
    """Return the position; one that has just been closed is shown once more, with ``pos`` ``0``."""
    account, instrument = exchange.account, exchange.instrument
    if account.position is not None:
        row = position_row(account, account.position, exchange.margin, exchange.price, instrument)
    elif is_event and account.last_position is not None:
        row = flat_position_row(account.last_position, account.updated_at, instrument)
    else:
        return []
    return [row | {"pTime": millis(exchange.clock.now())}]


@exact
def order_push_row(change: OrderChange, exchange: Exchange) -> Row:
    """Return an order after one change; only a fill has a price, a size and a fee of its own."""
    order, fill, instrument, price = change.order, change.fill, exchange.instrument, exchange.price
    contracts = order.ticket.contracts
    row = order_row(order, instrument) | {
        "amendResult": "",
        "amendSource": "",
        "code": "0",
        "execType": "",
        "fillFee": "0",
        "fillFeeCcy": "",
        "fillIdxPx": "",
        "fillMarkPx": "",
        "fillMarkVol": "",
        "fillNotionalUsd": "",
        "fillPnl": "0",
        "fillPx": "",
        "fillSz": "0",
        "fillTime": "",
        "lastPx": plain_text(price.last_usd),
        "msg": "",
        "notionalUsd": plain_text(
            market.notional_usd(contracts, price.mark_usd, price.index_usd, instrument)
        ),
        "reqId": "",
        "tradeId": "",
    }
    if fill is None:
        return row
    return row | {
        "execType": execution_type(fill),
        "fillFee": plain_text(fill.fee_btc),
        "fillFeeCcy": instrument.settle_currency,
        "fillIdxPx": plain_text(price.index_usd),
        "fillMarkPx": plain_text(price.mark_usd),
        "fillNotionalUsd": plain_text(
            market.notional_usd(fill.contracts, price.mark_usd, price.index_usd, instrument)
        ),
        "fillPnl": plain_text(fill.pnl_btc),
        "fillPx": plain_text(fill.price_usd),
        "fillSz": plain_text(fill.contracts),
        "fillTime": millis(fill.at),
        "tradeId": fill.trade_id,
    }


def payment_push_row(payment: Deposit | Withdrawal, at: datetime) -> Row:
    """Return a deposit or a withdrawal as it was after a change, pushed *at*."""
    pushed = {"pTime": millis(at), "subAcct": "", "uid": ACCOUNT_UID}
    match payment:
        case Deposit():
            row = deposit_row(payment)
        case Withdrawal():
            row = withdrawal_history_row(payment) | _ADDRESS_EXTRAS
    return {name: value for name, value in row.items() if name != "type"} | pushed
