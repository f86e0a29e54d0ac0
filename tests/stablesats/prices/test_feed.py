"""The newest price, and how old it may be: unknown is not zero."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stablesats.okx import OkxError, OkxUnreachableError, Ticker
from stablesats.prices import PriceUnknownError, TickerFeed

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def ticker(price: int, at: datetime = NOON) -> Ticker:
    return Ticker(inst_id="BTC-USD-SWAP", last_usd=Decimal(price), at=at)


@dataclass
class Exchange:
    """Answers with what the test says, the last answer again and again."""

    answers: list[Ticker | OkxError]
    now: datetime = NOON
    asked: int = 0
    on_asked: Callable[[int], None] = field(default=lambda _: None)

    async def ticker(self, inst_id: str) -> Ticker:
        assert inst_id == "BTC-USD-SWAP"
        self.asked += 1
        self.on_asked(self.asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OkxError):
            raise answer
        return answer

    def feed(self, stale_after_secs: float = 20) -> TickerFeed:
        return TickerFeed(
            self,
            "BTC-USD-SWAP",
            poll_interval_secs=0.001,
            stale_after=timedelta(seconds=stale_after_secs),
            now=lambda: self.now,
        )


def test_price_before_the_first_answer_is_unknown() -> None:
    """Not zero, and not an old one."""
    with pytest.raises(PriceUnknownError, match="no price of BTC-USD-SWAP has been received yet"):
        Exchange([ticker(1)]).feed().latest()


@pytest.mark.parametrize(("age_secs", "is_known"), [(19.9, True), (20, True), (20.1, False)])
async def test_price_is_known_until_it_is_stale(age_secs: float, is_known: bool) -> None:
    """Below, at and above the limit."""
    exchange = Exchange([ticker(50_000)])
    feed = exchange.feed()
    await feed.refresh()
    exchange.now += timedelta(seconds=age_secs)
    if is_known:
        assert feed.latest() == ticker(50_000)
    else:
        with pytest.raises(PriceUnknownError, match=r"is 20\.1 s old, more than 20 s"):
            feed.latest()


async def test_failed_refresh_lets_the_known_price_age() -> None:
    """It neither disappears nor becomes young again."""
    exchange = Exchange([ticker(50_000), OkxUnreachableError("away")])
    feed = exchange.feed()
    await feed.refresh()
    exchange.now += timedelta(seconds=15)
    with pytest.raises(OkxUnreachableError):
        await feed.refresh()
    assert feed.latest() == ticker(50_000)
    exchange.now += timedelta(seconds=6)
    with pytest.raises(PriceUnknownError):
        feed.latest()


async def test_older_answer_does_not_replace_a_newer_price() -> None:
    """An exchange may answer from a copy that trails."""
    older, newer = ticker(49_000, NOON - timedelta(seconds=1)), ticker(50_000, NOON)
    feed = Exchange([newer, older]).feed()
    await feed.refresh()
    assert await feed.refresh() == older
    assert feed.latest() == newer


async def test_ticker_that_stands_still_grows_stale() -> None:
    """The exchange answers, but with the same old price: no news is not a fresh price."""
    exchange = Exchange([ticker(50_000)])
    feed = exchange.feed()
    for _ in range(3):
        await feed.refresh()
        exchange.now += timedelta(seconds=10)
    with pytest.raises(PriceUnknownError, match=r"is 30\.0 s old"):
        feed.latest()


@pytest.mark.parametrize(("off_secs", "is_known"), [(-21, False), (-20, True), (20, True), (21, False)])
async def test_price_with_a_stamp_far_from_our_clock_is_unknown(off_secs: int, is_known: bool) -> None:
    """The first answer may be an old one already, and one from the future cannot be aged."""
    feed = Exchange([ticker(50_000, NOON + timedelta(seconds=off_secs))]).feed()
    await feed.refresh()
    if is_known:
        assert feed.latest().last_usd == 50_000
    else:
        with pytest.raises(
            PriceUnknownError, match=r"is 21\.0 s old, more than 20 s, or this machine's clock"
        ):
            feed.latest()


async def test_stamp_from_the_far_future_does_not_keep_later_prices_out() -> None:
    """The next sane answer replaces it."""
    feed = Exchange([ticker(1, NOON + timedelta(days=365)), ticker(50_000)]).feed()
    await feed.refresh()
    await feed.refresh()
    assert feed.latest() == ticker(50_000)


async def test_polling_goes_on_after_failures_and_counts_them() -> None:
    """Until it is stopped."""
    stop = asyncio.Event()
    exchange = Exchange([OkxUnreachableError("away"), OkxUnreachableError("away"), ticker(50_000)])
    exchange.on_asked = lambda asked: stop.set() if asked == 4 else None
    feed = exchange.feed()
    async with asyncio.timeout(30):
        await feed.run(stop)
    assert (feed.failures, feed.latest()) == (2, ticker(50_000))


async def test_stopped_feed_does_not_ask() -> None:
    """A stop before the start is not lost."""
    stop = asyncio.Event()
    stop.set()
    exchange = Exchange([ticker(1)])
    await exchange.feed().run(stop)
    assert exchange.asked == 0
