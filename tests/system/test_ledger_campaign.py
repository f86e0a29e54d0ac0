"""Trades are booked and followed by processes that are killed all the time, on a server that is killed, too.

Two processes read the same trade files, as an operator would start them, and two durable subscribers follow
the books. What must hold at the end is checked against the trades themselves, and against the order of the
commits, which the test reads from the stream of changes.
"""

import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from medici_py import open_changes
from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger
from tests.system.ledger_campaign.campaign import Campaign, Size
from tests.system.ledger_campaign.checks import (
    check_at_least_once,
    check_books,
    check_exactly_once,
    check_trades,
    in_commit_order,
)
from tests.system.ledger_campaign.crew import SUBSCRIBERS, Crew, Start
from tests.system.ledger_campaign.flow import TradeFiles, flow_of
from tests.system.ledger_campaign.mongod import KillableMongod

SEED = int(os.environ.get("LEDGER_CAMPAIGN_SEED", time.time_ns() % 2**32))


@pytest.fixture
def mongod() -> Iterator[KillableMongod]:
    """A server for this test alone.

    A killed client's open transaction keeps what it has written locked until MongoDB ends it, after 60 s by
    default: here soon, so that the others get something done in the time there is.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(
        environment=environment, set_parameters={"transactionLifetimeLimitSeconds": 2}
    ) as mongo:
        server = KillableMongod(mongo)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
async def campaign_of(
    mongod: KillableMongod, stablesats: Start, tmp_path: Path
) -> AsyncIterator[Callable[[Size], Campaign]]:
    """Make a campaign on that server."""
    async with AsyncMongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:

        def campaign(size: Size) -> Campaign:
            print(f"LEDGER_CAMPAIGN_SEED={SEED}")  # noqa: T201 - shown if the test fails
            rng = random.Random(SEED)
            ledger, flow = Ledger(client["campaign"]), flow_of(size.trades, rng)
            files = TradeFiles(tmp_path / "trades", flow.lines)
            crew = Crew(stablesats, mongod.uri, "campaign", files.folder, tmp_path)
            return Campaign(ledger, flow, files, crew, mongod, rng)

        yield campaign


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(trades=150, kills=5, freezes=1, server_kills=1, pause_secs=0.2), id="five-kills"),
        pytest.param(
            Size(trades=2_500, kills=200, freezes=8, server_kills=3, pause_secs=0.1),
            id="hundreds-of-kills",
            marks=pytest.mark.slow,
        ),
    ],
)
async def test_trades_are_booked_and_followed_once_through_kills(
    campaign_of: Callable[[Size], Campaign], stablesats: Start, size: Size
) -> None:
    """Every trade is booked once, allocated, and seen by every subscriber in the order of the commits."""
    campaign = campaign_of(size)
    ledger = campaign.ledger
    async with open_changes(ledger.database) as changes:
        begin = changes.position
    for name in SUBSCRIBERS:
        async with ledger.stablesats.subscribe(name):
            pass  # From now on, before there is anything.

    try:
        await campaign.run(size)
        await campaign.finish()
    except BaseException:
        print(campaign.crew.last_words())  # noqa: T201 - shown if the test fails
        raise

    committed = await in_commit_order(ledger, begin)
    await check_trades(campaign, committed)
    check_at_least_once(campaign, committed)
    await check_exactly_once(campaign, committed)
    await check_books(campaign, stablesats)
