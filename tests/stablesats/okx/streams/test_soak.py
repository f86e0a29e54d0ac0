"""Streams of an exchange whose messages are lost, doubled, reordered and cut off."""

import asyncio
import contextlib
from datetime import timedelta
from decimal import Decimal

import pytest

from stablesats.okx import (
    OkxClient,
    OkxCredentials,
    Order,
    OrderBook,
    OrderNotFoundError,
    OrderSide,
    Position,
)
from stablesats.okx.streams import (
    OkxStaleError,
    OrderFeed,
    OrderUpdate,
    PrivateStream,
    PublicStream,
    Reconcile,
    Slot,
    StreamTiming,
)
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig
from stablesats.okx_simulator.faults import (
    CloseStream,
    DropPush,
    DuplicatePush,
    Fault,
    GarbagePush,
    ReorderPush,
)

SWAP = "BTC-USD-SWAP"
# Changes of orders have no numbers: one that is lost shows when the reader asks, from time to time.
TIMING = StreamTiming(
    answer_within_secs=1.0,
    pause_first_secs=0.02,
    pause_max_secs=0.1,
    stable_after_secs=0.2,
    reconcile_secs=0.5,
)
FAULTS: list[tuple[Fault, str]] = [
    (DropPush(), "0.15"),
    (DuplicatePush(), "0.1"),
    (ReorderPush(), "0.1"),
    (GarbagePush(), "0.1"),
    (CloseStream(), "0.03"),
]
CHANNELS = ("books", "orders", "positions")


class OrderBookkeeper:
    """What a reader of the feed believes of the orders, and which ones it has to ask for."""

    def __init__(self) -> None:
        self.known: dict[str, Order] = {}
        self.reconciliations = 0

    async def read(self, feed: OrderFeed, okx: OkxClient, placed: list[str]) -> None:
        async for event in feed.events():
            match event:
                case OrderUpdate(order):
                    self.learn(order)
                case Reconcile():
                    self.reconciliations += 1
                    for client_order_id in list(placed):
                        if not self.knows_the_end_of([client_order_id]):
                            # One that is being sent this moment may not be there yet: its pushes will come.
                            with contextlib.suppress(OrderNotFoundError):
                                self.learn(await okx.order(SWAP, client_order_id))

    def knows_the_end_of(self, client_order_ids: list[str]) -> bool:
        return all(name in self.known and self.known[name].state.is_final for name in client_order_ids)

    async def until_it_knows_the_end_of(self, client_order_ids: list[str]) -> None:
        while not self.knows_the_end_of(client_order_ids):
            await asyncio.sleep(0.02)

    def learn(self, order: Order) -> None:
        held = self.known.get(order.client_order_id)
        if held is None or order.supersedes(held):
            self.known[order.client_order_id] = order


async def until_position(position: Slot[Position], size_contracts: int) -> None:
    async for seen in position.changes():
        if seen.size_contracts == size_contracts:
            return


async def until_book_is_that_of(okx: OkxClient, book: Slot[OrderBook]) -> None:
    async for kept in book.changes():
        asked = await okx.order_book(SWAP, levels=400)
        if (kept.bids, kept.asks) == (asked.bids, asked.asks):
            return


async def soak(seed: int, orders: int) -> None:
    config = SimulatorConfig(trading_btc=Decimal(10), seed=seed, rate_limits=False)
    credentials = OkxCredentials(
        api_key=config.api_key, secret_key=config.secret, passphrase=config.passphrase
    )
    async with (
        OkxSimulator(config) as simulator,
        OkxClient(base_url=simulator.base_url, credentials=credentials) as okx,
    ):
        for fault, probability in FAULTS:
            for channel in CHANNELS:
                simulator.faults.add_random(f"ws/{channel}", fault, probability=Decimal(probability))
        address = simulator.base_url.replace("http://", "ws://")
        public = PublicStream(base_url=address, timing=TIMING)
        private = PrivateStream(base_url=address, credentials=credentials, clock=okx, timing=TIMING)
        book, position, feed = public.order_book(SWAP), private.position(SWAP), private.orders(SWAP)
        keeper, placed = OrderBookkeeper(), []
        async with public, private:
            reading = asyncio.create_task(keeper.read(feed, okx, placed))
            for number in range(orders):
                price = Decimal(50_000 + number % 7)
                simulator.exchange.feed.set_by_hand(price, price + 1)
                expires_at = okx.exchange_now() + timedelta(seconds=30)
                name = f"soak{number}"
                placed.append(name)
                await okx.place_market_order(SWAP, OrderSide.SELL, 1, name, expires_at=expires_at)
                with contextlib.suppress(OkxStaleError):
                    assert not book.latest().is_crossed
                await asyncio.sleep(0.02)

            simulator.faults.clear()
            # One more of each kind, after which a loss before it cannot stay unnoticed.
            simulator.exchange.feed.set_by_hand(Decimal(51_000), Decimal(51_001))
            expires_at = okx.exchange_now() + timedelta(seconds=30)
            placed.append("last")
            await okx.place_market_order(SWAP, OrderSide.SELL, 1, "last", expires_at=expires_at)
            try:
                async with asyncio.timeout(60):
                    await until_position(position, -orders - 1)
                    await until_book_is_that_of(okx, book)
                    await keeper.until_it_knows_the_end_of(placed)
            except TimeoutError:
                pytest.fail(f"no truth in sight: {public!r} {book!r:.200} {private!r} {position!r} {feed!r}")
            assert not reading.done()
            reading.cancel()
    assert keeper.reconciliations > 1
    assert public.health.resubscriptions > 0


@pytest.mark.parametrize("seed", [1])
async def test_readers_end_up_with_the_truth(seed: int) -> None:
    """Whatever was lost, doubled or reordered on the way."""
    await soak(seed, orders=60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 12))
async def test_readers_end_up_with_the_truth_for_longer(seed: int) -> None:
    """The same, under other dice."""
    await soak(seed, orders=200)
