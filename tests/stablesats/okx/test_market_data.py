"""The calls about the market, against a scripted exchange."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stablesats.okx import OkxClient, OkxProtocolError, UnknownInstrumentError

SWAP = "BTC-USD-SWAP"
BOOKS = "GET /api/v5/market/books"


async def test_prices_need_no_signature(exchange, client: OkxClient) -> None:
    """And the clock is not asked for on their behalf."""
    exchange.rows(
        BOOKS,
        {"asks": [["50000.1", "3", "0", "1"]], "bids": [["50000", "5", "0", "1"]], "ts": "1", "seqId": 4},
    )
    exchange.rows(
        "GET /api/v5/public/mark-price", {"instType": "SWAP", "instId": SWAP, "markPx": "50000.05", "ts": "1"}
    )
    exchange.rows(
        "GET /api/v5/public/funding-rate",
        {"instId": SWAP, "fundingRate": "0.0001", "fundingTime": "1767268800000", "nextFundingTime": ""},
    )
    exchange.rows(
        "GET /api/v5/market/tickers",
        {"instId": SWAP, "last": "50000", "bidPx": "", "askPx": "", "ts": "1"},
        {"instId": "ETH-USD-SWAP", "last": "2000", "bidPx": "", "askPx": "", "ts": "1"},
    )
    exchange.rows("GET /api/v5/system/status")

    book = await client.order_book(SWAP, levels=1)
    assert (book.bids[0].price_usd, book.asks[0].size_contracts) == (50_000, 3)
    assert (await client.mark_price(SWAP)).mark_usd == Decimal("50000.05")
    assert (await client.funding_rate(SWAP)).settles_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert [ticker.inst_id for ticker in await client.tickers()] == [SWAP, "ETH-USD-SWAP"]
    assert await client.maintenance() == []
    assert not any("OK-ACCESS-SIGN" in request.headers for request in exchange.received)
    assert exchange.times_asked("GET /api/v5/public/time") == 0


async def test_an_instrument_that_does_not_exist(exchange, client: OkxClient) -> None:
    """Named as such, for every price."""
    for endpoint in (BOOKS, "GET /api/v5/public/mark-price", "GET /api/v5/public/funding-rate"):
        exchange.rows(endpoint, code="51001", msg="Instrument ID doesn't exist.")
    for asked in (client.order_book(SWAP), client.mark_price(SWAP), client.funding_rate(SWAP)):
        with pytest.raises(UnknownInstrumentError):
            await asked


async def test_a_price_of_another_instrument_is_an_error(exchange, client: OkxClient) -> None:
    """The row is looked up by what it is about."""
    exchange.rows("GET /api/v5/public/mark-price", {"instId": "ETH-USD-SWAP", "markPx": "2000", "ts": "1"})
    with pytest.raises(OkxProtocolError, match="found 0"):
        await client.mark_price(SWAP)
