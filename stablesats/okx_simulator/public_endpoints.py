"""Endpoints that anybody may call: time, instruments and market data.

Source: OKX API v5, "Public data" and "Market data".
"""

from __future__ import annotations

from typing import Final

from stablesats.okx_simulator.endpoints import (
    INSTRUMENT_TYPES,
    Answer,
    Call,
    Endpoint,
    Handler,
    flat,
    whole_number,
)
from stablesats.okx_simulator.market_rows import book_row, funding_rate_row, mark_price_row, ticker_row
from stablesats.okx_simulator.rate_limits import Limit
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rows import millis

_MAX_LEVELS: Final = 400


def server_time(call: Call) -> Answer:
    """Answer the wall clock, by which signatures are judged."""
    return Answer([{"ts": millis(call.started_at)}])


def instruments(call: Call) -> Answer:
    """List the swap; every other kind of instrument exists but has no rows."""
    kind = call.required("instType")
    if kind not in INSTRUMENT_TYPES:
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
    return Answer([ticker_row(call.exchange)])


def tickers(call: Call) -> Answer:
    """Answer the tickers of one kind of instrument."""
    kind = call.required("instType")
    if kind not in INSTRUMENT_TYPES:
        raise RefusalError("51000", "instType")
    return Answer([ticker_row(call.exchange)] if kind == "SWAP" else [])


def order_book(call: Call) -> Answer:
    """Answer the depth that the next order would meet."""
    call.instrument_only(call.required("instId"))
    asked = whole_number(call.query, "sz")
    depth = 1 if asked is None else asked
    if not 1 <= depth <= _MAX_LEVELS:
        raise RefusalError("51000", "sz")
    book, sequence = call.exchange.book_tape.current()
    return Answer([book_row(book, depth, sequence=sequence, at=call.now)])


def mark_price(call: Call) -> Answer:
    """Answer the mark price; one of ``instType`` and ``instId`` is enough."""
    inst_id = call.query.get("instId", "")
    if inst_id:
        call.instrument_only(inst_id)
    elif call.required("instType") != "SWAP":
        return Answer([])
    return Answer([mark_price_row(call.exchange)])


def funding_rate(call: Call) -> Answer:
    """Answer the forecast for the next settlement at 00:00, 08:00 or 16:00 UTC."""
    call.instrument_only(call.required("instId"))
    call.exchange.advance()
    return Answer([funding_rate_row(call.exchange)])


def system_status(call: Call) -> Answer:
    """Answer the maintenance that is under way, if the operator has announced one."""
    if call.maintenance_since is None:
        return Answer([])
    row = {
        "begin": millis(call.maintenance_since),
        "end": "",
        "env": "1",
        "href": "",
        "maintType": "1",
        "preOpenBegin": "",
        "scheDesc": "",
        "serviceType": "0",
        "state": "ongoing",
        "system": "unified",
        "title": "Maintenance",
    }
    return Answer([row])


def _public(path: str, handler: Handler, burst: int | None, *, keyed_by: str = "") -> Endpoint:
    limits = () if burst is None else (Limit(path, burst, keyed_by=keyed_by),)
    return Endpoint(
        method="GET", path=f"/api/v5/{path}", handler=handler, charges=flat(*limits), is_private=False
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
