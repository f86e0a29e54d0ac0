"""How far the books are behind, as numbers that any process can read."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from stablesats.trades import ReceivedTrade, RevertRequest, TradeLag, trade_lag
from stablesats.trades.trade_store import TradeStore

NOW = datetime(2026, 9, 2, tzinfo=UTC)


async def test_nothing_to_do_is_no_lag(mongo_database: AsyncDatabase[dict[str, Any]]) -> None:
    """Also in a database without any trades."""
    assert await trade_lag(mongo_database) == TradeLag(
        unbooked=0, reverts_pending=0, reverts_waiting=0, oldest_secs=0.0
    )


async def test_what_waits_is_counted_and_the_oldest_has_an_age(
    mongo_database: AsyncDatabase[dict[str, Any]],
    store: TradeStore,
    received: Callable[..., ReceivedTrade],
    revert: Callable[[str], RevertRequest],
) -> None:
    """A revert whose trade has not come is counted apart: nobody is late with it."""
    await store.request_reverts([revert("never comes")], at=NOW - timedelta(days=9))
    await store.receive([received("t1"), received("t2")], at=NOW - timedelta(seconds=5))
    assert await trade_lag(mongo_database, now=NOW) == TradeLag(
        unbooked=2, reverts_pending=0, reverts_waiting=1, oldest_secs=5.0
    )
    await store.request_reverts([revert("t1")], at=NOW - timedelta(seconds=8))
    assert await trade_lag(mongo_database, now=NOW) == TradeLag(
        unbooked=2, reverts_pending=1, reverts_waiting=1, oldest_secs=8.0
    )


async def test_age_is_never_negative(
    mongo_database: AsyncDatabase[dict[str, Any]], store: TradeStore, received: Callable[..., ReceivedTrade]
) -> None:
    """Two machines' clocks differ."""
    await store.receive([received("t1")], at=NOW + timedelta(seconds=5))
    assert (await trade_lag(mongo_database, now=NOW)).oldest_secs == 0.0
