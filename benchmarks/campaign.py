"""One run of benches on one server: what they share, and what each of them gives back."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from benchmarks.filled_ledger import FilledLedgers
from benchmarks.journals import Database, Document
from benchmarks.scale import Scale
from benchmarks.table import Table
from medici_py import init_models
from medici_py.embedded import EmbeddedMongo

CACHE_GB = 8.0
"""WiredTiger's cache of the private server, so that no disk is measured: the largest ledger fits, and what a
side writes in a round is less than a fortieth of it, beyond which WiredTiger begins to make room."""

DATABASE_PREFIX = "medici_py_bench_"
LEDGER_PREFIX = DATABASE_PREFIX + "ledger_"

_UNAUTHORIZED = 13

OURS = "medici_py"
ALONE = "medici_py, group_commit=False"
NODE = "Node medici"
RAW = "raw driver"


@dataclass(frozen=True)
class Outcome:
    """What a bench found.

    Attributes:
        tables: For people.
        figures: For the targets and for programs, by dotted name, units in the name.
    """

    tables: Sequence[Table]
    figures: Mapping[str, float] = field(default_factory=dict)


class Campaign:
    """A server, a client of it, the filled ledgers, and how much to do.

    Attributes:
        server_pid: The server's process, if it is a private one.
    """

    def __init__(
        self, uri: str, server_pid: int | None, client: AsyncMongoClient[Document], scale: Scale
    ) -> None:
        self.uri = uri
        self.server_pid = server_pid
        self.client = client
        self.scale = scale
        self.ledgers = FilledLedgers(client, LEDGER_PREFIX)

    async def fresh_database(self, name: str) -> Database:
        """Return an empty database with the library's collections and indexes."""
        database = await self.empty_database(name)
        await init_models(database)
        return database

    async def empty_database(self, name: str) -> Database:
        """Return a database with nothing in it, where Node's medici makes its own collections and indexes."""
        database = self.client[DATABASE_PREFIX + name]
        await self.client.drop_database(database.name)
        return database

    async def settle(self) -> None:
        """Have the server write what it holds to disk: it would otherwise do so while the next one posts."""
        try:
            await self.client.admin.command("fsync")
        except OperationFailure as exc:
            if exc.code != _UNAUTHORIZED:
                raise

    async def drop_databases(self, *, keep_ledgers: bool = False) -> None:
        """Remove every database that a campaign makes; all but the filled ledgers if told so."""
        for name in await self.client.list_database_names():
            kept = keep_ledgers and name.startswith(LEDGER_PREFIX)
            if name.startswith(DATABASE_PREFIX) and not kept:
                await self.client.drop_database(name)


@asynccontextmanager
async def open_campaign(scale: Scale) -> AsyncIterator[Campaign]:
    """Start a private MongoDB, or use the one that MONGODB_URI names, and leave nothing behind on it."""
    async with (
        EmbeddedMongo(cache_size_gb=CACHE_GB, oplog_size_mb=2_048) as mongo,
        AsyncMongoClient[Document](mongo.uri) as client,
    ):
        campaign = Campaign(mongo.uri, mongo.pid, client, scale)
        await campaign.drop_databases()
        try:
            yield campaign
        finally:
            await campaign.drop_databases()
