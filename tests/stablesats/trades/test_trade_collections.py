"""The trade collections of several databases in one process; what is in them lasts."""

from collections.abc import Callable
from typing import Any

import pytest
from beanie import init_beanie
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from medici_py.embedded import EmbeddedMongo
from stablesats.errors import ConfigurationError
from stablesats.ledger import Ledger
from stablesats.trades import (
    QuarantineDocument,
    ReceivedTrade,
    SourcePositionDocument,
    TradeRevertDocument,
    TradeState,
    UserTradeDocument,
    trade_lag,
)
from stablesats.trades.trade_collections import TradeDocuments, bind_documents
from stablesats.trades.trade_store import TradeStore

Factory = Callable[..., ReceivedTrade]


async def test_two_databases_at_once_are_kept_apart(
    mongo_database: AsyncDatabase[dict[str, Any]], received: Factory
) -> None:
    """Each has classes of its own; Beanie itself binds one class to one database."""
    other = mongo_database.client[f"{mongo_database.name}_other"]
    here = await bind_documents(mongo_database, make_indexes=True)
    there = await bind_documents(other, make_indexes=True)
    try:
        trade = received("t1")
        await TradeStore(here).receive([trade], at=trade.trade.timestamp)
        assert [row.id for row in await here.trades.find({}).to_list()] == ["t1"]
        assert await there.trades.find({}).to_list() == []
    finally:
        await other.client.drop_database(other)


async def test_an_application_binds_the_public_classes_itself(
    mongo_database: AsyncDatabase[dict[str, Any]], received: Factory
) -> None:
    """The services never bind those, so they stay where the application put them."""
    application = mongo_database.client[f"{mongo_database.name}_application"]
    models = [UserTradeDocument, TradeRevertDocument, QuarantineDocument, SourcePositionDocument]
    try:
        await init_beanie(database=application, document_models=models)
        own = await bind_documents(mongo_database, make_indexes=True)
        trade = received("t1", btc="b1")
        await TradeStore(own).receive([trade], at=trade.trade.timestamp)
        assert await UserTradeDocument.find({}).count() == 0
        assert UserTradeDocument.get_pymongo_collection().database.name == application.name
        await init_beanie(database=mongo_database, document_models=models)
        found = await UserTradeDocument.get("t1")
        assert found is not None
        assert (found.to_trade(), found.state) == (trade.trade, TradeState.RECEIVED)
    finally:
        await application.client.drop_database(application)


@pytest.mark.parametrize(
    "options", ["w=1", "w=1&journal=false", "readPreference=secondary", "readConcernLevel=local"]
)
async def test_what_is_read_and_written_lasts_whatever_the_uri_says(
    mongodb: EmbeddedMongo, mongo_database: AsyncDatabase[dict[str, Any]], options: str
) -> None:
    """A row that a new primary has never seen must not count as stored."""
    separator = "&" if "?" in mongodb.uri else "?"
    async with AsyncMongoClient[dict[str, Any]](f"{mongodb.uri}{separator}{options}") as client:
        bound = await bind_documents(client[mongo_database.name], make_indexes=True)
        for document in (bound.trades, bound.reverts, bound.quarantine, bound.positions):
            collection = document.get_pymongo_collection()
            assert collection.write_concern == WriteConcern("majority", j=True)
            assert collection.read_concern == ReadConcern("majority")
            assert collection.read_preference == ReadPreference.PRIMARY
        assert (await trade_lag(client[mongo_database.name])).unbooked == 0


async def test_database_of_another_driver_is_refused() -> None:
    """Beanie would fail later, and not say why."""
    with pytest.raises(ConfigurationError, match="PyMongo Async"):
        await bind_documents({})


async def test_making_indexes_again_is_harmless(ledger: Ledger, documents: TradeDocuments) -> None:
    """Every process does it at its start; an index that was replaced by a stricter one is dropped."""
    trades = documents.trades.get_pymongo_collection()
    await trades.create_index("live_reference", name="live_reference_once", unique=True, sparse=True)
    for _ in range(2):
        await bind_documents(ledger.database, make_indexes=True)
    assert (await trades.index_information()).keys() == {
        "_id_",
        "correction_journal_id_once",
        "ledger_journal_id_once",
        "live_reference_btc_tx_id_once",
        "live_reference_usd_tx_id_once",
        "received",
    }
