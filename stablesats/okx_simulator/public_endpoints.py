"""Endpoints that anybody may call: time, instruments and market data.

Source: OKX API v5, "Public data" and "Market data".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.endpoints import Answer, Call, Endpoint, Handler
from stablesats.okx_simulator.rate_limits import Charge, Limit
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rows import millis

if TYPE_CHECKING:
    from stablesats.okx_simulator.rows import Row

_FUNDING_INTERVAL: Final = timedelta(hours=8)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTRUMENT_TYPES: Final = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})
_MAX_LEVELS: Final = 400
_SYNTHETIC_LEVELS: Final = 25


def server_time(call: Call) -> Answer:
    """Answer the wall clock, by which signatures are judged."""
    return Answer([{"ts": millis(call.started_at)}])


def instruments(call: Call) -> Answer:
    """List the swap; every other kind of instrument exists but has no rows."""
    kind = call.required("instType")
    if kind not in _INSTRUMENT_TYPES:
        raise RefusalError("51000", "instType")
    instrument = call.exchange.instrument
    if kind != "SWAP":
        return Answer([])
    inst_id = call.query.get("instId", "")
    if inst_id:
        call.instrument_only(inst_id)
    families = {call.query.get("instFamily", ""), call.query.get("uly", "")} - {""}
    return Answer([instrument.row] if families <= {instrument.family} else [])


def ticker(call: Call) -> Answer:
    """Answer best bid, best ask and last price of the swap."""
    call.instrument_only(call.required("instId"))
    return Answer([_ticker_row(call)])


def tickers(call: Call) -> Answer:
    """Answer the tickers of one kind of instrument."""
    kind = call.required("instType")
    if kind not in _INSTRUMENT_TYPES:
        raise RefusalError("51000", "instType")
    return Answer([_ticker_row(call)] if kind == "SWAP" else [])


def order_book(call: Call) -> Answer:
    """Answer a thin synthetic depth around bid and ask; its sizes are decided by the seed."""
    call.instrument_only(call.required("instId"))
    text = call.query.get("sz") or "1"
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MAX_LEVELS:
        raise RefusalError("51000", "sz")
    price, depth = call.exchange.price, min(int(text), _SYNTHETIC_LEVELS)
    row = {
        "asks": _levels(call, price.ask_usd, 1, depth),
        "bids": _levels(call, price.bid_usd, -1, depth),
        "ts": millis(call.started_at),
        "seqId": int(millis(call.started_at)),
    }
    return Answer([row])


def mark_price(call: Call) -> Answer:
    """Answer the mark price; one of ``instType`` and ``instId`` is enough."""
    inst_id = call.query.get("instId", "")
    if inst_id:
        call.instrument_only(inst_id)
    elif call.required("instType") != "SWAP":
        return Answer([])
    row = {
        "instId": call.exchange.instrument.inst_id,
        "instType": "SWAP",
        "markPx": plain_text(call.exchange.price.mark_usd),
        "ts": millis(call.started_at),
    }
    return Answer([row])


def funding_rate(call: Call) -> Answer:
    """Answer the configured forecast for the next settlement at 00:00, 08:00 or 16:00 UTC."""
    call.instrument_only(call.required("instId"))
    passed = (call.started_at - _EPOCH) // _FUNDING_INTERVAL
    settles_at = _EPOCH + (passed + 1) * _FUNDING_INTERVAL
    rate = plain_text(call.config.funding_rate)
    row = {
        "formulaType": "withRate",
        "fundingRate": rate,
        "fundingTime": millis(settles_at),
        "impactValue": "",
        "instId": call.exchange.instrument.inst_id,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": millis(settles_at + _FUNDING_INTERVAL),
        "premium": "",
        "prevFundingTime": millis(settles_at - _FUNDING_INTERVAL),
        "settFundingRate": rate,
        "settState": "settled",
        "ts": millis(call.started_at),
    }
    return Answer([row])


def system_status(_call: Call) -> Answer:
    """Answer that no maintenance is planned."""
    return Answer([])


def _ticker_row(call: Call) -> Row:
    price, instrument = call.exchange.price, call.exchange.instrument
    fill = call.exchange.last_fill
    last = plain_text(price.last_usd)
    size = plain_text(instrument.max_market_contracts)
    return {
        "askPx": plain_text(price.ask_usd),
        "askSz": size,
        "bidPx": plain_text(price.bid_usd),
        "bidSz": size,
        "high24h": last,
        "instId": instrument.inst_id,
        "instType": "SWAP",
        "last": last,
        "lastSz": plain_text(fill.contracts if fill else instrument.min_contracts),
        "low24h": last,
        "open24h": last,
        "sodUtc0": last,
        "sodUtc8": last,
        "ts": millis(call.started_at),
        "vol24h": "0",
        "volCcy24h": "0",
    }


def _levels(call: Call, best_usd: Decimal, direction: int, depth: int) -> list[list[str]]:
    """Build one side of the book: the whole of a market order fits the best level, the rest is decoration.

    Deeper levels are one tick apart; their sizes are the same in every answer under one seed.
    """
    instrument = call.exchange.instrument
    sizes = Random(f"{call.config.seed}/{direction}")  # noqa: S311
    levels = [[plain_text(best_usd), plain_text(instrument.max_market_contracts), "0", "1"]]
    for distance in range(1, depth):
        price_usd = best_usd + direction * distance * instrument.tick_usd
        contracts = Decimal(sizes.randint(1, 500))
        if price_usd > 0:
            levels.append([plain_text(price_usd), plain_text(contracts), "0", str(sizes.randint(1, 9))])
    return levels


def _public(path: str, handler: Handler, burst: int | None, *, keyed_by: str = "") -> Endpoint:
    charges = () if burst is None else (Charge(Limit(path, burst, keyed_by=keyed_by)),)
    return Endpoint(
        method="GET",
        path=f"/api/v5/{path}",
        handler=handler,
        charges=lambda _body: charges,
        is_private=False,
    )


PUBLIC_ENDPOINTS: Final = (
    _public("public/time", server_time, 10),
    _public("public/instruments", instruments, 20, keyed_by="instType"),
    _public("public/mark-price", mark_price, 10, keyed_by="instId"),
    _public("public/funding-rate", funding_rate, 10, keyed_by="instId"),
    _public("market/ticker", ticker, 20),
    _public("market/tickers", tickers, 20),
    _public("market/books", order_book, 40),
    _public("system/status", system_status, None),
)
