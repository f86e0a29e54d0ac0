"""The one place that tells PyMongo Async, Motor and mongomock-motor apart.

The three offer the same methods, but not the same shape of call: what is a coroutine in one is a plain
call in another. Everything above this module is written against PyMongo Async; a Motor or mongomock
database is accepted wherever a database is, passes through `adopt` once, and every call whose shape
differs goes through a function here.

mongomock-motor has no sessions, no transactions, no change streams and no Decimal128 arithmetic on the
server: `Capabilities` says so, and the layers above then do without.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions, DatetimeConversion
from pymongo import _csot
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from medici_py.errors import UnsupportedDeploymentError

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
    from pymongo.asynchronous.mongo_client import AsyncMongoClient

    Client: TypeAlias = AsyncMongoClient[Any] | AsyncIOMotorClient[Any]
    Database: TypeAlias = AsyncDatabase[Any] | AsyncIOMotorDatabase[Any]
    Session: TypeAlias = AsyncClientSession | AsyncIOMotorClientSession
else:
    Client = Database = Session = Any

Document: TypeAlias = dict[str, Any]
"""A document as the driver hands it over: stored names, BSON values."""

Collection: TypeAlias = AsyncCollection[Document]

T = TypeVar("T")

STANDALONE_ANSWERS = frozenset({20, 123})
"""A standalone's codes for a transaction (IllegalOperation) and a snapshot read (NotAReplicaSet)."""

BAD_FILTER_ANSWERS = frozenset({2, 9, 14, 51091})
"""A server's codes for a filter it cannot read: BadValue, FailedToParse, TypeMismatch, an invalid regex."""

TRANSACTION_READ_CONCERN = ReadConcern("snapshot")
TRANSACTION_WRITE_CONCERN = WriteConcern(w="majority", j=True)


class ChangeStream(Protocol):
    """An open change stream: an asynchronous iterator of change documents."""

    @property
    def alive(self) -> bool:
        """Whether more changes can come."""

    @property
    def resume_token(self) -> Mapping[str, Any] | None:
        """The position after the newest change handed out, or after the newest empty batch."""

    def __aiter__(self) -> AsyncIterator[Document]: ...

    async def next(self) -> Document:
        """Wait for the next change; StopAsyncIteration once the stream is closed."""

    async def try_next(self) -> Document | None:
        """Return the next change, or None after one empty batch from the server."""

    async def close(self) -> None:
        """Close the cursor on the server."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a database can do beyond plain reads and writes."""

    transactions: bool
    exact_sums: bool


_SERVER = Capabilities(transactions=True, exact_sums=True)
_MOCK = Capabilities(transactions=False, exact_sums=False)


def capabilities(target: object) -> Capabilities:
    """Say what *target*, a client or database of any of the three drivers, can do."""
    return _MOCK if _is_mock(target) else _SERVER


def _is_mock(target: object) -> bool:
    return any(kind.__module__.split(".")[0] == "mongomock_motor" for kind in type(target).__mro__)


def is_database(target: object) -> bool:
    """Whether *target* is an asynchronous database of one of the three drivers."""
    if isinstance(target, AsyncDatabase) or _is_mock(target):
        return True
    return any(kind.__name__ == "AgnosticDatabase" for kind in type(target).__mro__)


def adopt(database: Database) -> AsyncDatabase[Document]:
    """Return *database* so that it reads plain dictionaries and aware UTC datetimes.

    The caller's codec options keep everything else (UUID representation, custom types). A stored date
    outside Python's years 1 to 9999 is read as the nearest one inside.
    """
    if _is_mock(database):
        return cast("AsyncDatabase[Document]", database)
    options = database.codec_options.with_options(
        document_class=dict,
        tz_aware=True,
        tzinfo=UTC,
        datetime_conversion=DatetimeConversion.DATETIME_CLAMP,
    )
    return cast("AsyncDatabase[Document]", database.with_options(codec_options=options))


def codec_options(database: AsyncDatabase[Document]) -> CodecOptions[Document]:
    """Return how values of an adopted database become BSON."""
    return DEFAULT_CODEC_OPTIONS if _is_mock(database) else database.codec_options


def belongings(client: Client, name: str, make: Callable[[], T]) -> T:
    """Return what this library keeps with *client* under *name*, for as long as the client lives."""
    kept: dict[str, Any] = vars(client).setdefault("_medici_py", {})
    if name not in kept:
        kept[name] = make()
    return cast("T", kept[name])


def adopt_session(session: Session | None) -> AsyncClientSession | None:
    """Return a caller's session under the one type that is used inside; Motor's has the same methods."""
    return cast("AsyncClientSession | None", session)


def has_transaction(session: AsyncClientSession | None) -> bool:
    """Whether *session* has a transaction open."""
    return session is not None and bool(session.in_transaction)


async def settled(result: Any) -> Any:
    """Await *result* if this driver made it awaitable, else return it."""
    return await result if inspect.isawaitable(result) else result


async def aggregate(
    collection: Collection, pipeline: Sequence[Mapping[str, Any]], **options: Any
) -> AsyncIterator[Document]:
    """Run an aggregation and return its cursor; *options* are the driver's."""
    cursor: AsyncIterator[Document] = await settled(collection.aggregate(list(pipeline), **options))
    return cursor


async def watch(
    target: Any, pipeline: Sequence[Mapping[str, Any]] | None = None, **options: Any
) -> ChangeStream:
    """Open a change stream on a collection, database or client.

    It is open on the server when this returns: what is committed afterwards will be seen. The caller
    closes it.
    """
    stream = await settled(target.watch(list(pipeline or ()), **options))
    # Motor opens lazily; entering it is what sends the command. PyMongo's is open already.
    await stream.__aenter__()
    return cast("ChangeStream", stream)


def driver_secs_left() -> float | None:
    """Return what is left of the time that the caller gave the driver by ``pymongo.timeout``, if it gave any.

    Once that is zero or less, whatever is sent fails at once, with errors that look as if they could pass.
    """
    return _csot.remaining()


def driver_time_is_up() -> bool:
    """Whether the time is over that the caller gave the driver by ``pymongo.timeout``."""
    left_secs = driver_secs_left()
    return left_secs is not None and left_secs <= 0


async def start_session(client: Client, **options: Any) -> AsyncClientSession:
    """Start a session; the caller ends it (``async with`` does).

    Raises:
        UnsupportedDeploymentError: If *client* is mongomock's, which has no sessions.
    """
    if _is_mock(client):
        raise UnsupportedDeploymentError("mongomock has no sessions; use a real MongoDB for this.")
    return cast("AsyncClientSession", await settled(client.start_session(**options)))


@asynccontextmanager
async def snapshot_session(client: Client) -> AsyncIterator[AsyncClientSession | None]:
    """Give a session all of whose reads are of one moment; None on mongomock, which has no sessions."""
    if _is_mock(client):
        yield None
        return
    async with await start_session(client, snapshot=True) as session:
        yield session


async def begin_transaction(session: AsyncClientSession) -> None:
    """Begin a transaction with explicit concerns: those of the database do not count inside one.

    Reads come from one snapshot, the commit waits for a journaled majority, all on the primary.
    """
    await settled(
        session.start_transaction(
            read_concern=TRANSACTION_READ_CONCERN,
            write_concern=TRANSACTION_WRITE_CONCERN,
            read_preference=ReadPreference.PRIMARY,
        )
    )


async def is_standalone(client: Client) -> bool:
    """Ask whether the server is neither of a replica set nor a ``mongos``; False if it does not say."""
    try:
        hello = await client.admin.command("hello")
    except PyMongoError:
        return False
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


async def is_sharded(client: Client) -> bool:
    """Ask whether *client* talks to a ``mongos``; True if the server does not say."""
    try:
        hello = await client.admin.command("hello")
    except PyMongoError:
        return True
    return hello.get("msg") == "isdbgrid"


def has_no_transactions(error: BaseException) -> bool:
    """Whether *error* may be a standalone mongod's answer to a transaction or a snapshot read.

    Code 20 has other meanings, too: where commands of a caller can be its cause, ask `is_standalone`.
    """
    return isinstance(error, OperationFailure) and error.code in STANDALONE_ANSWERS


def refuses_filter(error: BaseException) -> bool:
    """Whether *error* is a server's answer to a filter that it cannot read."""
    return isinstance(error, OperationFailure) and error.code in BAD_FILTER_ANSWERS


@contextmanager
def refusing_standalone() -> Iterator[None]:
    """Turn a standalone mongod's answer into `UnsupportedDeploymentError`, which says what to do."""
    try:
        yield
    except OperationFailure as exc:
        if has_no_transactions(exc):
            raise UnsupportedDeploymentError from exc
        raise
