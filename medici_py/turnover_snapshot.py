"""The turnover of whole books at one cluster time, read once from the database."""

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bson import Int64
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from medici_py.accounts import Path
from medici_py.bson_values import hashable
from medici_py.documents import Transaction, custom_stored_names
from medici_py.driver import Database, Document, start_session
from medici_py.errors import MediciError, UnsupportedDeploymentError
from medici_py.store import TRANSACTIONS
from medici_py.sums import SumTooLargeError, fold_rows, leg_sums, sum_stages
from medici_py.turnover_table import DimensionValues, TurnoverTable

_NOT_A_REPLICA_SET = 123  # a standalone's answer to read concern snapshot
_BATCH_SIZE = 10_000
_SNAPSHOT = {"level": "snapshot"}


class SnapshotReadError(MediciError):
    """The balances could not be read from the database; trying again later may do."""


@dataclass(frozen=True, slots=True)
class BookShape:
    """How the legs of one book are told apart.

    Attributes:
        name: Name of the book.
        precision: Decimal places of its amounts.
        dimensions: Names of its dimensions.
        fields: Where a leg stores each dimension: ``("meta", "currency")``, or a field of its own.
    """

    name: str
    precision: int
    dimensions: tuple[str, ...]
    fields: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls, name: str, precision: int, dimensions: Sequence[str], transaction_model: type[Transaction]
    ) -> Self:
        """Return the shape of a book with these settings."""
        top_level = custom_stored_names(transaction_model)
        fields = tuple((one,) if one in top_level else ("meta", one) for one in dimensions)
        return cls(name, precision, tuple(dimensions), fields)

    def values_of(self, leg: Mapping[str, Any]) -> DimensionValues:
        """Return the dimension values of a stored leg."""
        return tuple(hashable(_reach(leg, field)) for field in self.fields)

    def empty_table(self) -> TurnoverTable:
        """Return a table for the book's turnover."""
        return TurnoverTable(self.dimensions)


@dataclass(frozen=True, slots=True)
class TurnoverSnapshot:
    """The sums of every leg committed at or before *cluster_time*, by book."""

    tables: Mapping[str, TurnoverTable]
    cluster_time: Timestamp


def path_of(leg: Mapping[str, Any]) -> Path:
    """Return the account of a stored leg; ``()`` where another writer left none, or something else."""
    path = leg.get("account_path")
    return tuple(str(part) for part in path) if isinstance(path, (list, tuple)) else ()


async def read_turnover(database: Database, books: Sequence[BookShape]) -> TurnoverSnapshot:
    """Read the turnover of *books* in one snapshot.

    Raises:
        UnsupportedDeploymentError: If the server has no snapshots: it is a standalone.
        SnapshotReadError: If the server cannot be asked, or does not answer.
        UnreadableDocumentError: If a leg's amount is no number.
    """
    try:
        try:
            return await _summed_by_server(database, books)
        except SumTooLargeError:
            return await _summed_here(database, books)
    except PyMongoError as exc:
        if isinstance(exc, OperationFailure) and exc.code == _NOT_A_REPLICA_SET:
            raise UnsupportedDeploymentError from exc
        raise SnapshotReadError(f"the balances of {len(books)} books could not be read: {exc}") from exc


async def _summed_by_server(database: Database, books: Sequence[BookShape]) -> TurnoverSnapshot:
    fields = list(dict.fromkeys(field for book in books for field in book.fields))
    names = ["book", "account_path", *(f"dimension{index}" for index in range(len(fields)))]
    by = dict(
        zip(names, ["$book", "$account_path", *(f"${'.'.join(field)}" for field in fields)], strict=True)
    )
    precision = max(book.precision for book in books)
    stages = [{"$match": _legs_of(books)}, *sum_stages(by, precision=precision)]
    async with _SnapshotRead(
        database, {"aggregate": TRANSACTIONS, "pipeline": stages, "allowDiskUse": True}
    ) as read:
        rows = [_with_hashable_group(row) async for row in read]
    tables = {book.name: book.empty_table() for book in books}
    shapes = {book.name: book for book in books}
    for (name, path, *values), sums in fold_rows(rows, names=names, precision=precision).items():
        shape = shapes[str(name)]
        own = tuple(values[fields.index(field)] for field in shape.fields)
        tables[shape.name].add(_as_path(path), own, sums)
    return TurnoverSnapshot(tables, read.cluster_time)


async def _summed_here(database: Database, books: Sequence[BookShape]) -> TurnoverSnapshot:
    tables = {book.name: book.empty_table() for book in books}
    shapes = {book.name: book for book in books}
    async with _SnapshotRead(database, {"find": TRANSACTIONS, "filter": _legs_of(books)}) as read:
        async for leg in read:
            shape = shapes[leg["book"]]
            tables[shape.name].add(path_of(leg), shape.values_of(leg), leg_sums(leg))
    return TurnoverSnapshot(tables, read.cluster_time)


def _legs_of(books: Sequence[BookShape]) -> dict[str, Any]:
    return {"book": {"$in": [book.name for book in books]}}


class _SnapshotRead:
    """A read command with read concern snapshot that tells at which cluster time it read.

    Drivers keep that time to themselves, so the command and its ``getMore`` are sent by hand.
    """

    cluster_time: Timestamp

    def __init__(self, database: Database, command: Mapping[str, Any]) -> None:
        self._database: Any = database
        self._command = {**command, "readConcern": _SNAPSHOT}
        self._cursor_id = 0
        self._batch: Sequence[Document] = ()

    async def __aenter__(self) -> Self:
        # Causal consistency would add a read concern to getMore, which takes none.
        self._session = await start_session(self._database.client, causal_consistency=False)
        try:
            batch_size = (
                {"batchSize": _BATCH_SIZE}
                if "find" in self._command
                else {"cursor": {"batchSize": _BATCH_SIZE}}
            )
            reply = await self._database.command({**self._command, **batch_size}, session=self._session)
        except BaseException:
            await self._session.end_session()
            raise
        self.cluster_time = reply["cursor"]["atClusterTime"]
        self._cursor_id = reply["cursor"]["id"]
        self._batch = reply["cursor"]["firstBatch"]
        return self

    async def __aexit__(self, *_: object) -> None:
        # Ending the session does not end the cursor at once; a cursor that was read to its end is gone.
        try:
            if self._cursor_id:
                await self._database.command(
                    {"killCursors": TRANSACTIONS, "cursors": [Int64(self._cursor_id)]}, session=self._session
                )
        finally:
            await self._session.end_session()

    async def __aiter__(self) -> AsyncIterator[Document]:
        while True:
            for document in self._batch:
                yield document
            if not self._cursor_id:
                return
            reply = await self._database.command(
                {"getMore": Int64(self._cursor_id), "collection": TRANSACTIONS, "batchSize": _BATCH_SIZE},
                session=self._session,
            )
            self._cursor_id = reply["cursor"]["id"]
            self._batch = reply["cursor"]["nextBatch"]


def _with_hashable_group(row: Document) -> Document:
    group = {name: hashable(value) for name, value in row["_id"]["by"].items()}
    return {**row, "_id": {**row["_id"], "by": group}}


def _as_path(value: Hashable) -> Path:
    return tuple(str(part) for part in value) if isinstance(value, tuple) else ()


def _reach(leg: Mapping[str, Any], field: tuple[str, ...]) -> Any:
    value: Any = leg
    for name in field:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
