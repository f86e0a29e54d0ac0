"""The rows that a strict typed client reads: every key it demands is there, and numbers where it demands them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.rows import millis

BALANCE_KEYS = "adjEq details imr isoEq mgnRatio mmr notionalUsd ordFroz totalEq uTime"
DETAIL_KEYS = (
    "availBal availEq cashBal ccy crossLiab disEq eq eqUsd frozenBal interest isoEq isoLiab isoUpl liab maxLoan "
    "mgnRatio notionalLever ordFrozen twap uTime upl uplLiab stgyEq spotInUseAmt"
)
POSITION_KEYS = (
    "adl availPos avgPx cTime ccy deltaBS deltaPA gammaBS gammaPA imr instId instType interest usdPx last lever "
    "liab liabCcy liqPx markPx margin mgnMode mgnRatio mmr notionalUsd optVal pos posCcy posId posSide thetaBS "
    "thetaPA tradeId uTime upl uplRatio vegaBS vegaPA"
)
ORDER_KEYS = "clOrdId ordId avgPx fee sz state"
TICKER_KEYS = "instType instId last lastSz askPx askSz bidPx bidSz"


async def test_rows_have_every_key_that_a_strict_client_demands(client: Any) -> None:
    """A missing key makes such a client fail, so none may be missing, flat or not."""
    await client.market_order("sell", "10", "a")
    balance = (await client.get("account/balance")).json["data"][0]
    position = (await client.get("account/positions?instId=BTC-USD-SWAP")).json["data"][0]
    order = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"][0]
    ticker = (await client.public("market/ticker?instId=BTC-USD-SWAP")).json["data"][0]
    await client.market_order("buy", "10")
    closed = (await client.get("account/positions?instId=BTC-USD-SWAP")).json["data"][0]

    assert set(BALANCE_KEYS.split()) <= set(balance)
    assert set(DETAIL_KEYS.split()) <= set(balance["details"][0])
    assert set(POSITION_KEYS.split()) <= set(position)
    assert set(closed) == set(position)
    assert all(Decimal(balance["details"][0][name]) >= 0 for name in ("availEq", "eq", "frozenBal"))
    assert all(Decimal(order[name]).is_finite() for name in ("avgPx", "fee", "sz"))
    assert set(ORDER_KEYS.split()) <= set(order)
    assert all(Decimal(ticker[name]) > 0 for name in TICKER_KEYS.split()[2:])


async def test_every_value_of_a_position_and_an_order_is_a_text(client: Any) -> None:
    """Except the documented lists and objects; in particular reduceOnly."""
    await client.market_order("sell", "10", "a")
    position = (await client.get("account/positions")).json["data"][0]
    order = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"][0]
    other = {name for row in (position, order) for name, value in row.items() if not isinstance(value, str)}
    assert other == {"closeOrderAlgo", "attachAlgoOrds", "linkedAlgoOrd"}


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_time_is_written_in_whole_milliseconds_rounded_down(at: datetime) -> None:
    """Never in the future of the instant it stands for."""
    written = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(millis(at)))
    assert at - timedelta(milliseconds=1) < written <= at
