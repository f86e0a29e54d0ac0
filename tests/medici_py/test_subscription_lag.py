"""Anybody can read how far a subscription is behind."""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book, subscription_lags
from medici_py.change_events import ChangePosition
from medici_py.durable_position import JournalKey, Progress, Recovery
from medici_py.subscription_lag import lag_of

Bank = AsyncDatabase[dict[str, Any]]

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
NOWHERE = ChangePosition(None, None)


class TestRule:
    @pytest.mark.parametrize(
        ("newest_at", "seconds"),
        [
            pytest.param(None, 0.0, id="empty book"),
            pytest.param(NOON - SECOND, 0.0, id="older"),
            pytest.param(NOON, 0.0, id="the newest itself"),
            pytest.param(NOON + SECOND, 10.0, id="newer"),
        ],
    )
    def test_lag_is_the_age_of_the_position_if_there_is_more(
        self, newest_at: dt.datetime | None, seconds: float
    ) -> None:
        """It grows while a subscriber is stuck, and is 0 as soon as there is nothing to do."""
        row = {"_id": "hedging", **Progress(NOWHERE, NOON).to_document()}
        lag = lag_of(row, "engine", newest_at=newest_at, now=NOON + 10 * SECOND)
        assert (lag.name, lag.holder, lag.position_at, lag.seconds) == ("hedging", "engine", NOON, seconds)
        assert not lag.recovering

    def test_recovery_is_where_it_reads(self) -> None:
        """Not where the stream was lost."""
        key = JournalKey(NOON - SECOND, ObjectId())
        recovery = Recovery(NOON - 60 * SECOND, Timestamp(1, 1), announced=True, read_to=key)
        row = {"_id": "hedging", **Progress(NOWHERE, NOON - 50 * SECOND, recovery=recovery).to_document()}
        lag = lag_of(row, None, newest_at=NOON, now=NOON)
        assert (lag.position_at, lag.seconds, lag.recovering) == (NOON - SECOND, 1.0, True)


async def test_lags_of_a_database_are_listed_by_name(bank: Bank, book: Book, pay: Callable[..., Any]) -> None:
    """With who is active, from any process; a subscription that was never active has none."""
    assert await book.subscribe("beta").lag() is None
    async with book.subscribe("beta"):
        pass
    async with book.subscribe("alpha", holder="engine") as events:
        await pay(book)
        event = await asyncio.wait_for(anext(events), 30)
        behind = await subscription_lags(bank)
        await events.acknowledge(event)
        done = await subscription_lags(bank)
    assert [lag.name for lag in done] == ["alpha", "beta"]
    assert (done[0].holder or "").startswith("engine:")
    assert done[1].holder is None
    assert behind[0].seconds > 0
    assert done[0].seconds == 0
    assert done[1].seconds > 0
    lag = await book.subscribe("alpha").lag()
    assert lag is not None
    assert lag.holder is None
