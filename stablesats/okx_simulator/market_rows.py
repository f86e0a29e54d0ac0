"""Tickers, books, mark prices and funding rates in the shape in which OKX shows them.

Source: OKX API v5, "Get ticker", "Get order book", "Get mark price", "Get funding rate"; the WebSocket
channels of the same names have the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.funding_schedule import FUNDING_INTERVAL
from stablesats.okx_simulator.rows import millis

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from stablesats.okx_simulator.book import Book, Level
    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.rows import Row

_MAX_FUNDING_RATE: Final = "0.00375"


def ticker_row(exchange: Exchange) -> Row:
    """Return best bid, best ask and last price; the day's figures are the last price: no history is kept."""
    price, instrument, book = exchange.price, exchange.instrument, exchange.feed.book()
    fill = exchange.last_fill
    last = plain_text(price.last_usd)
    return {
        "askPx": plain_text(price.ask_usd),
        "askSz": _best_size(book.asks),
        "bidPx": plain_text(price.bid_usd),
        "bidSz": _best_size(book.bids),
        "high24h": last,
        "instId": instrument.inst_id,
        "instType": "SWAP",
        "last": last,
        "lastSz": plain_text(fill.contracts if fill else instrument.min_contracts),
        "low24h": last,
        "open24h": last,
        "sodUtc0": last,
        "sodUtc8": last,
        "ts": millis(exchange.clock.now()),
        "vol24h": "0",
        "volCcy24h": "0",
    }


def book_row(book: Book, depth: int, *, sequence: int, at: datetime) -> Row:
    """Return the best *depth* levels of each side."""
    return {
        "asks": level_rows(book.asks[:depth]),
        "bids": level_rows(book.bids[:depth]),
        "ts": millis(at),
        "seqId": sequence,
    }


def level_rows(levels: Iterable[Level]) -> list[list[str]]:
    """Return levels as ``[price, contracts, "0", orders]``."""
    return [
        [plain_text(level.price_usd), plain_text(level.contracts), "0", str(level.orders)] for level in levels
    ]


def mark_price_row(exchange: Exchange) -> Row:
    """Return the mark price."""
    return {
        "instId": exchange.instrument.inst_id,
        "instType": "SWAP",
        "markPx": plain_text(exchange.price.mark_usd),
        "ts": millis(exchange.clock.now()),
    }


def funding_rate_row(exchange: Exchange) -> Row:
    """Return the forecast for the next settlement, and the rate of the last one."""
    settles_at = exchange.timeline.funding_at
    return {
        "formulaType": "withRate",
        "fundingRate": plain_text(exchange.timeline.funding_rate),
        "fundingTime": millis(settles_at),
        "impactValue": "",
        "instId": exchange.instrument.inst_id,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": _MAX_FUNDING_RATE,
        "method": "current_period",
        "minFundingRate": f"-{_MAX_FUNDING_RATE}",
        "nextFundingRate": "",
        "nextFundingTime": millis(settles_at + FUNDING_INTERVAL),
        "premium": "",
        "prevFundingTime": millis(settles_at - FUNDING_INTERVAL),
        "settFundingRate": plain_text(exchange.timeline.settled_funding_rate),
        "settState": "settled",
        "ts": millis(exchange.clock.now()),
    }


def _best_size(levels: tuple[Level, ...]) -> str:
    return plain_text(levels[0].contracts) if levels else "0"
