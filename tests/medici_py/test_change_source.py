"""A source completes entries, and knows when it has seen everything of a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from medici_py.book import Book
from medici_py.change_entries import JournalEntry
from medici_py.change_events import ChangePosition
from medici_py.change_feed import ChangeFeed, FeedSettings
from medici_py.change_source import ChangeSource
from medici_py.driver import is_sharded
from medici_py.store import Store


@pytest.fixture(params=[True, False], ids=["sharded", "replica set"])
async def source(
    request: pytest.FixtureRequest, bank: AsyncDatabase[dict[str, Any]]
) -> AsyncIterator[ChangeSource]:
    settings = FeedSettings(max_await_time_ms=50)
    source = ChangeSource(Store(bank), after=None, settings=settings, is_sharded=request.param)
    source.merges = request.param  # type: ignore[attr-defined]
    await source.open()
    yield source
    await source.close()


async def test_place_of_a_change_is_only_certain_to_end_its_moment_without_shards(
    source: ChangeSource, bank: AsyncDatabase[dict[str, Any]], pay: Any
) -> None:
    """One server that has nothing more has nothing more of the commit; of several, one may be late."""
    await pay(Book("B", bank))
    while not (entries := await source.next()):
        pass
    [journal] = entries
    assert await source.next() is None
    everything = ChangePosition(None, journal.position.cluster_time).sort_key
    if source.position.token == journal.position.token:
        assert (source.idle_sort_key >= everything) is not source.merges  # type: ignore[attr-defined]
    await bank["elsewhere"].insert_one({})
    while source.position.token == journal.position.token:
        assert await source.next() is None
    assert source.idle_sort_key >= everything


async def test_replica_set_is_not_sharded(driver_database: Any) -> None:
    """Whatever the driver."""
    assert not await is_sharded(driver_database.client)


async def test_legs_that_are_looked_up_are_as_they_were_inserted(
    bank: AsyncDatabase[dict[str, Any]], book: Book, pay: Any
) -> None:
    """A stream that begins in the middle of a journal shows it as one from its beginning does."""
    settings = FeedSettings(max_await_time_ms=50)
    feed = ChangeFeed(bank, None, settings=settings)
    await feed.open()
    journal = await pay(book)
    await book.void(journal.id)
    while (leg := await feed.next()) is None:
        pass
    await feed.close()
    source = ChangeSource(Store(bank), after=leg.position, settings=settings, is_sharded=False)
    while not (entries := await source.next()):
        pass
    await source.close()
    [entry] = entries
    assert isinstance(entry, JournalEntry)
    assert len(entry.legs) == 2
    assert not any(leg.get("voided") for leg in entry.legs)
