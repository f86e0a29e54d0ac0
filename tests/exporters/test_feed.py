"""The feed: loads once, follows, answers at any time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from exporters import feed as feed_module
from exporters.feed import LedgerFeed
from medici_py.errors import MediciError

NOON = datetime(2022, 11, 8, 12, 0, tzinfo=UTC)


async def test_snapshot_while_loading_has_no_figures(books, until) -> None:
    """Until the ledger is in memory the feed claims nothing, not even a live stream."""
    loading = asyncio.Event()
    books.load = loading.wait
    feed = LedgerFeed(books, now=lambda: NOON)
    running = asyncio.create_task(feed.run())
    await asyncio.sleep(0)
    assert feed.snapshot().figures is None
    assert not feed.snapshot().stream.is_live

    loading.set()
    await until(lambda: feed.snapshot().figures is not None)
    assert feed.snapshot().stream.is_live
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert books.closed


async def test_ledger_that_cannot_be_loaded_ends_the_run(books) -> None:
    """The error reaches whoever runs the feed."""

    async def fail() -> None:
        raise MediciError("no such ledger")

    books.load = fail
    with pytest.raises(MediciError, match="no such ledger"):
        await LedgerFeed(books, now=lambda: NOON).run()


async def test_snapshot_follows_the_books(feed: LedgerFeed, books) -> None:
    """What was applied to the balances is in the next snapshot."""
    books.user_buys_usd(sats=100, cents=3)
    figures = feed.snapshot().figures
    assert figures is not None
    assert figures.dealer.users_liability_cents == 3


async def test_confirmed_time_is_when_the_stream_was_last_seen_live(books, until, monkeypatch) -> None:
    """A running feed notes a live stream without being asked; once the stream is down the time stands still."""
    monkeypatch.setattr(feed_module, "CONFIRM_INTERVAL_SECS", 0.001)
    readings: list[datetime] = []

    def now() -> datetime:
        readings.append(NOON + timedelta(seconds=len(readings)))
        return readings[-1]

    feed = LedgerFeed(books, now=now)
    running = asyncio.create_task(feed.run())
    await until(lambda: len(readings) >= 10)

    books.is_live = False
    confirmed_at = feed.snapshot().stream.confirmed_at
    assert confirmed_at == readings[-1]
    assert feed.snapshot().stream.confirmed_at == confirmed_at

    books.is_live = True
    assert feed.snapshot().stream.confirmed_at > confirmed_at
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
