"""The trade collections of one database, as classes that read and write what lasts.

Beanie binds a document class to one database. An application that asks its own questions binds
`UserTradeDocument` and its neighbours with ``init_beanie`` as usual; the services of this package never
touch those: for every database they make classes of their own out of the same fields (`bind_documents`), so
that one process may work with any number of databases.
"""

from dataclasses import dataclass
from typing import Any, Final

from beanie import Document, init_beanie
from pydantic import BaseModel, Field
from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from medici_py.driver import adopt
from stablesats.errors import ConfigurationError
from stablesats.trades.trade_documents import (
    TRADE_REVERTS,
    USER_TRADES,
    QuarantineDocument,
    QuarantineFields,
    SourcePositionDocument,
    SourcePositionFields,
    TradeRevertDocument,
    TradeRevertFields,
    UserTradeDocument,
    UserTradeFields,
)

_INDEX_NOT_FOUND: Final = 27

_REPLACED_INDEXES: Final = (
    (USER_TRADES, "live_reference_once"),  # let one payment through in two pairs
    (TRADE_REVERTS, "pending"),  # had the requests in it whose trade never comes
)


@dataclass(frozen=True, slots=True)
class TradeDocuments:
    """The document classes of one database."""

    trades: type[UserTradeDocument]
    reverts: type[TradeRevertDocument]
    quarantine: type[QuarantineDocument]
    positions: type[SourcePositionDocument]


def durable(database: Any) -> AsyncDatabase[dict[str, Any]]:
    """*database* as trades are kept in it: what is written lasts, and what is read does.

    A position is saved because the rows before it were found. Were one of them not on a majority yet, a
    change of the primary could take it back, and nobody would read it again.
    """
    return adopt(database).with_options(
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    )


async def bind_documents(database: Any, *, make_indexes: bool = False) -> TradeDocuments:
    """Make document classes for *database*; with *make_indexes* also collections and indexes, idempotently.

    They read and write as `durable` says, whatever the connection string does.

    Raises:
        ConfigurationError: If *database* is not one of PyMongo Async; Beanie works on no other.
    """
    if not isinstance(database, AsyncDatabase):
        msg = (
            f"user trades need a database of PyMongo Async (AsyncMongoClient), got {type(database).__name__}"
        )
        raise ConfigurationError(msg)
    bound = TradeDocuments(
        trades=_own(UserTradeDocument, UserTradeFields),
        reverts=_own(TradeRevertDocument, TradeRevertFields),
        quarantine=_own(QuarantineDocument, QuarantineFields),
        positions=_own(SourcePositionDocument, SourcePositionFields),
    )
    classes = [bound.trades, bound.reverts, bound.quarantine, bound.positions]
    await init_beanie(database=durable(database), document_models=classes, skip_indexes=not make_indexes)
    if make_indexes:
        for collection, index in _REPLACED_INDEXES:
            await _drop_index(durable(database)[collection], index)
    return bound


async def _drop_index(collection: AsyncCollection[dict[str, Any]], name: str) -> None:
    # Dropping waits for every open transaction, and all others wait behind it: not at every start.
    if name not in await collection.index_information():
        return
    try:
        await collection.drop_index(name)
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:
            raise


def _own(public: type[Any], fields: type[BaseModel]) -> type[Any]:
    """A class with the fields of *public* that is not it: Beanie would bind a base class as well."""
    annotations = {"id": public.model_fields["id"].annotation}
    return type(
        public.__name__,
        (fields, Document),
        {"__module__": __name__, "__annotations__": annotations, "id": Field(alias="_id")},
    )
