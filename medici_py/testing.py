"""Pytest fixtures for the tests of applications that embed ``medici_py``.

Name them in the root ``conftest.py``::

    pytest_plugins = ["medici_py.testing"]

`mongodb` and `mongo_database` are the real thing and need, on a machine without MongoDB, the extra
``embedded``. `mongomock_database` lives in memory and needs ``mongomock-motor``; what it cannot do is said
there. All need ``pytest`` and ``pytest-asyncio`` (auto or strict mode).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from medici_py.embedded import EmbeddedMongo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pymongo.asynchronous.database import AsyncDatabase


@pytest.fixture(scope="session")
def mongodb() -> Iterator[EmbeddedMongo]:
    """Give a MongoDB with transactions and change streams, one for the whole run."""
    with EmbeddedMongo() as mongo:
        yield mongo


@pytest_asyncio.fixture(loop_scope="function")
async def mongo_database(mongodb: EmbeddedMongo) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Give an empty database of its own to a test; it is dropped afterwards."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        name = f"medici_test_{secrets.token_hex(8)}"
        yield client[name]
        await client.drop_database(name)


@pytest.fixture
def mongomock_database() -> AsyncDatabase[dict[str, Any]]:
    """Give an empty database in memory, of a client of its own: no server, a few milliseconds a test.

    Books post, void and answer on it as they do on MongoDB, with these differences:

    - there are no transactions and no sessions: `medici_py.mongo_transaction` runs its callback once, with
      None for the session, and an error in it rolls nothing back; write locks do nothing;
    - nothing is isolated from what other tasks write at the same time;
    - ``book.changes()`` and `medici_py.LiveBalances` raise `medici_py.UnsupportedDeploymentError`;
    - `medici_py.odm` does not work: Beanie 2 needs PyMongo Async.

    ``medici_py.driver.capabilities(database).transactions`` tells the two kinds apart. What depends on
    atomicity belongs into a test with `mongo_database`.

    Raises:
        ImportError: If ``mongomock-motor`` is not installed.
    """
    try:
        from mongomock_motor import AsyncMongoMockClient  # noqa: PLC0415 - only who asks for it needs it
    except ModuleNotFoundError as exc:
        if exc.name != "mongomock_motor":
            raise
        raise ImportError(
            "The fixture mongomock_database needs mongomock-motor: pip install mongomock-motor", name=exc.name
        ) from exc
    return cast("AsyncDatabase[dict[str, Any]]", AsyncMongoMockClient()["medici_test"])
