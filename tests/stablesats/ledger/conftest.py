"""What the tests of the dealer's books share: waiting, and the books as another process sees them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Ask until the answer is yes; fail at a generous deadline."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await condition():
                await asyncio.sleep(0.02)

    return wait


@pytest.fixture
async def elsewhere(ledger: Ledger, mongodb: EmbeddedMongo) -> AsyncIterator[Ledger]:
    """The same books through a client of their own, which shares nothing with the first one's."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        yield Ledger(client[ledger.database.name])
