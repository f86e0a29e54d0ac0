"""Books, entries and the databases they are tried on."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book, Journal, init_models, rebuild
from medici_py.embedded import EmbeddedMongo

sys.path.append(str(Path(__file__).parent / "node"))

from node_medici import NodeMedici, NodeProcess, why_missing

BookFactory = Callable[..., Book]

BANK = frozenset({"bank"})


@pytest.fixture
async def bank(
    mongo_database: AsyncDatabase[dict[str, Any]], databases: Any
) -> AsyncDatabase[dict[str, Any]]:
    """An empty database with medici's collections and indexes, through PyMongo Async."""
    await databases.prepare(mongo_database, init_models)
    return mongo_database


@pytest.fixture(params=["pymongo", "motor"])
async def driver_database(
    request: pytest.FixtureRequest, mongodb: EmbeddedMongo, bank: AsyncDatabase[dict[str, Any]]
) -> AsyncIterator[Any]:
    """The same fresh database through each driver: what holds for one holds for the other."""
    if request.param == "pymongo":
        yield bank
        return
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(mongodb.uri)
    yield client[bank.name]
    client.close()


@pytest.fixture(autouse=True)
def readers_forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else reads the books of a test, so that switching running balances off need not wait."""
    monkeypatch.setattr(rebuild, "READERS_FORGET_SECS", 0.0)


@pytest.fixture
def book_factory(bank: AsyncDatabase[dict[str, Any]]) -> BookFactory:
    """Open a book in the fresh database."""

    def open_book(name: str = "MainBook", **parameters: Any) -> Book:
        return Book(name, bank, **parameters)

    return open_book


@pytest.fixture
def book(book_factory: BookFactory) -> Book:
    """The book ``MainBook`` with default parameters."""
    return book_factory()


@pytest.fixture
def pay() -> Callable[..., Any]:
    """Post *amount* from one account (debited) to another (credited)."""

    async def post(
        book: Book, amount: Any = 100, *, debit: str = "Assets:Cash", credit: str = "Income", **entry: Any
    ) -> Journal:
        memo = entry.pop("memo", "payment")
        return await book.entry(memo, **entry).debit(debit, amount).credit(credit, amount).commit()

    return post


@pytest.fixture
async def faulty_bank(
    failing_mongodb: EmbeddedMongo, faulty_databases: Any
) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """An empty database on a server whose commands can be made to fail; whatever was made to fail is mended afterwards."""
    name = faulty_databases.take(BANK)
    # After some errors the driver waits for the next news of the server, by default for ten seconds.
    async with AsyncMongoClient[dict[str, Any]](failing_mongodb.uri, heartbeatFrequencyMS=500) as client:
        database = client[name]
        await faulty_databases.prepare(database, init_models)
        yield database
        await client.admin.command("configureFailPoint", "failCommand", mode="off")
        await client.admin.command(
            "killAllSessions", []
        )  # transactions left open would hold up the next test
    faulty_databases.give_back(name, BANK)


@pytest.fixture
def fail(faulty_bank: AsyncDatabase[dict[str, Any]]) -> Callable[..., Any]:
    """Make a command fail so many times, on one collection if named; times=None fails it from now on."""

    async def configure(
        command: str, *, collection: str | None = None, times: int | None = 1, **how: Any
    ) -> None:
        data: dict[str, Any] = {"failCommands": [command], **how}
        if collection is not None:
            data["namespace"] = f"{faulty_bank.name}.{collection}"
        mode = "alwaysOn" if times is None else {"times": times}
        await faulty_bank.client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)

    return configure


@pytest.fixture(scope="session")
def node_process() -> Iterator[NodeProcess]:
    """A Node process with medici in it; where CI is set it has to be there, elsewhere its tests are skipped."""
    if missing := why_missing():
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    process = NodeProcess()
    yield process
    process.close()


@pytest.fixture
async def node(
    node_process: NodeProcess, mongodb: EmbeddedMongo, mongo_database: AsyncDatabase[dict[str, Any]]
) -> AsyncIterator[NodeMedici]:
    """Node's medici, connected to the fresh database."""
    medici = NodeMedici(node_process, mongodb.uri, mongo_database.name)
    await medici.open()
    yield medici
    await medici.close()
