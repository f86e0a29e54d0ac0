"""Both streams against the simulated exchange: what OKX pushes, as the dealer reads it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import pytest

from stablesats.okx import OkxClient, OkxCredentials, OrderSide, OrderState
from stablesats.okx.streams import (
    OkxLoginRefusedError,
    OkxSubscriptionRefusedError,
    OrderUpdate,
    PrivateStream,
    PublicStream,
    Reconcile,
    StreamTiming,
)
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig

SWAP = "BTC-USD-SWAP"
CONFIG = SimulatorConfig(price_usd=Decimal(50_000), trading_btc=Decimal("0.2"), lever=Decimal(2))
CREDENTIALS = OkxCredentials(api_key=CONFIG.api_key, secret_key=CONFIG.secret, passphrase=CONFIG.passphrase)
QUICK = StreamTiming(pause_first_secs=0.05, pause_max_secs=0.2)


@pytest.fixture
async def simulator() -> AsyncIterator[OkxSimulator]:
    async with OkxSimulator(CONFIG) as running:
        yield running


@pytest.fixture
async def okx(simulator: OkxSimulator) -> AsyncIterator[OkxClient]:
    async with OkxClient(base_url=simulator.base_url, credentials=CREDENTIALS) as client:
        yield client


def stream_base(simulator: OkxSimulator) -> str:
    return simulator.base_url.replace("http://", "ws://")


async def test_prices(simulator: OkxSimulator, okx: OkxClient) -> None:
    """Each channel has a value at once, and it is what REST answers."""
    stream = PublicStream(base_url=stream_base(simulator), timing=QUICK, now=okx.exchange_now)
    ticker, mark = stream.ticker(SWAP), stream.mark_price(SWAP)
    rate, book = stream.funding_rate(SWAP), stream.order_book(SWAP)
    async with stream, asyncio.timeout(30):
        assert (await ticker.first()).last_usd == (await okx.ticker(SWAP)).last_usd == 50_000
        assert (await mark.first()).mark_usd == (await okx.mark_price(SWAP)).mark_usd
        assert (await rate.first()).rate == (await okx.funding_rate(SWAP)).rate
        pushed, asked = await book.first(), await okx.order_book(SWAP, levels=5)
        assert (pushed.bids[:5], pushed.asks[:5]) == (asked.bids, asked.asks)


async def test_an_order_from_its_placement_to_the_position(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime
) -> None:
    """Its end comes through the feed, its effect through position and balance."""
    stream = PrivateStream(base_url=stream_base(simulator), credentials=CREDENTIALS, clock=okx, timing=QUICK)
    position, balance, feed = stream.position(SWAP), stream.trading_balance(), stream.orders(SWAP)
    async with stream, asyncio.timeout(30):
        assert (await position.first()).is_flat
        assert (await balance.first()).cash_btc == Decimal("0.2")
        events = feed.events()
        assert isinstance(await anext(events), Reconcile)

        await okx.place_market_order(SWAP, OrderSide.SELL, 100, "open1", expires_at=soon)
        update = await anext(events)
        while isinstance(update, OrderUpdate) and not update.order.state.is_final:
            update = await anext(events)
        assert isinstance(update, OrderUpdate)
        assert (update.order.client_order_id, update.order.state) == ("open1", OrderState.FILLED)
        assert update.order == await okx.order(SWAP, "open1")
        assert update.fill is not None

        async for now in position.changes():
            if now.size_contracts == -100:
                break
        async for held in balance.changes():
            if held.cash_btc == Decimal("0.1999"):
                break


async def test_the_exchange_goes_away_and_comes_back(
    simulator: OkxSimulator, okx: OkxClient, soon: datetime
) -> None:
    """A position that changed meanwhile is in the snapshot after the reconnection."""
    stream = PrivateStream(base_url=stream_base(simulator), credentials=CREDENTIALS, clock=okx, timing=QUICK)
    position, feed = stream.position(SWAP), stream.orders(SWAP)
    async with stream, asyncio.timeout(60):
        events = feed.events()
        assert isinstance(await anext(events), Reconcile)
        await position.first()
        await simulator.stop()
        while stream.health.is_ready:
            await asyncio.sleep(0.01)
        await simulator.start()
        assert isinstance(await anext(events), Reconcile)
        await okx.place_market_order(SWAP, OrderSide.SELL, 5, "open2", expires_at=soon)
        async for now in position.changes():
            if now.size_contracts == -5:
                break


async def test_wrong_credentials(simulator: OkxSimulator, okx: OkxClient) -> None:
    """A typed error that ends the stream."""
    wrong = OkxCredentials(api_key=CONFIG.api_key, secret_key="wrong", passphrase=CONFIG.passphrase)
    stream = PrivateStream(base_url=stream_base(simulator), credentials=wrong, clock=okx, timing=QUICK)
    stream.position(SWAP)
    with pytest.raises(OkxLoginRefusedError, match="60007"):
        await asyncio.wait_for(stream.run(asyncio.Event()), 30)


async def test_an_instrument_that_does_not_exist(simulator: OkxSimulator) -> None:
    """Refused by itself, with OKX's code."""
    stream = PublicStream(base_url=stream_base(simulator), timing=QUICK)
    missing, ticker = stream.ticker("DOGE-USD-SWAP"), stream.ticker(SWAP)
    async with stream, asyncio.timeout(30):
        with pytest.raises(OkxSubscriptionRefusedError, match="60018"):
            await missing.first()
        assert (await ticker.first()).last_usd == 50_000
