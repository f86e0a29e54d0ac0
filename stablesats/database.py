"""Opening the dealer's database: checked before it is relied on, closed whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import InvalidName

from medici_py.mongo_uri import check_deployment
from stablesats.errors import ConfigurationError


@asynccontextmanager
async def open_database(uri: str, name: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Connect to the database *name* at *uri*, for as long as the block lasts.

    Raises:
        ConfigurationError: If *name* is not one MongoDB allows.
        InvalidMongoUriError: If the URI cannot be read.
        MongoUnreachableError: If no MongoDB answers there within five seconds.
        UnsupportedDeploymentError: If it is a standalone ``mongod``, which has no transactions.
    """
    await asyncio.to_thread(check_deployment, uri)
    async with AsyncMongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        try:
            database = client[name]
        except InvalidName as error:
            msg = f"{name!r} is no name for a MongoDB database: {error}"
            raise ConfigurationError(msg) from error
        yield database
