"""The calls about the trading account, against a scripted exchange."""

from decimal import Decimal

import pytest

from stablesats.okx import LeverageError, OkxClient, OkxOutcomeUnknownError, OkxRefusedError, Page

SWAP = "BTC-USD-SWAP"
SET_LEVERAGE = "POST /api/v5/account/set-leverage"
SET_MODE = "POST /api/v5/account/set-position-mode"


async def test_bounds_and_fees(exchange, client: OkxClient) -> None:
    """Contracts, bitcoin, and rates that are negative when charged."""
    exchange.rows(
        "GET /api/v5/account/max-size", {"instId": SWAP, "maxBuy": "99.9", "maxSell": "1", "ccy": "BTC"}
    )
    exchange.rows("GET /api/v5/account/max-withdrawal", {"ccy": "BTC", "maxWd": "0.0749", "maxWdEx": ""})
    exchange.rows("GET /api/v5/account/trade-fee", {"maker": "-0.0002", "taker": "-0.0005", "level": "Lv1"})
    assert (await client.max_order_size(SWAP)).buy_contracts == Decimal("99.9")
    assert (await client.max_withdrawal()).amount == Decimal("0.0749")
    assert (await client.trade_fees()).taker_rate == Decimal("-0.0005")


async def test_bills(exchange, client: OkxClient) -> None:
    """Of one type, page by page; the archive is another list."""
    bill = {"billId": "7", "ccy": "BTC", "type": "8", "balChg": "0.1", "bal": "1", "ts": "1"}
    exchange.rows("GET /api/v5/account/bills", bill)
    exchange.rows("GET /api/v5/account/bills-archive")
    (found,) = await client.bills(Page(older_than="9", limit=1), kind="8")
    assert (found.bill_id, found.balance_change) == ("7", Decimal("0.1"))
    assert exchange.received[-1].target == "/api/v5/account/bills?ccy=BTC&type=8&after=9&limit=1"
    assert await client.bills(archive=True) == []


async def test_setting_leverage_and_position_mode(exchange, client: OkxClient) -> None:
    """Sent once, accepted."""
    exchange.rows(SET_LEVERAGE, {"lever": "2", "mgnMode": "cross", "instId": SWAP, "posSide": ""})
    exchange.rows(SET_MODE, {"posMode": "net_mode"})
    await client.set_leverage(SWAP, 2)
    await client.set_net_mode()
    assert (exchange.times_asked(SET_LEVERAGE), exchange.times_asked(SET_MODE)) == (1, 1)


async def test_a_setting_that_is_refused(exchange, client: OkxClient) -> None:
    """With a leaf where a caller can act on it."""
    exchange.rows(SET_LEVERAGE, code="59102", msg="Leverage exceeds the maximum limit.")
    exchange.rows(SET_MODE, code="59000", msg="Settings failed.")
    with pytest.raises(LeverageError):
        await client.set_leverage(SWAP, 1000)
    with pytest.raises(OkxRefusedError, match="59000"):
        await client.set_net_mode()


async def test_a_setting_without_an_answer_is_unknown(exchange, client: OkxClient) -> None:
    """Read it back; it is not sent again by itself."""
    exchange.drop(SET_LEVERAGE)
    with pytest.raises(OkxOutcomeUnknownError, match="read back"):
        await client.set_leverage(SWAP, 2)
    assert exchange.times_asked(SET_LEVERAGE) == 1
