"""A database that is handed out again has no trace of the test that had it before."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import ASCENDING, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database

from medici_py import init_models
from medici_py.embedded import EmbeddedMongo
from medici_py.store import INDEXES, JOURNALS, LOCKS, TRANSACTIONS

Rows = Database[dict[str, Any]]
PREPARATION = frozenset({"bank"})


@pytest.fixture
def client(mongodb: EmbeddedMongo) -> Iterator[MongoClient[dict[str, Any]]]:
    if not mongodb.owned:
        pytest.skip("on a server of others every test has a new database")
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        yield client


@pytest.fixture
def own_databases(databases: Any, mongodb: EmbeddedMongo) -> Iterator[Any]:
    """Databases that the other tests are not given, the first of which may be used again at once."""
    own = type(databases)(mongodb)
    own.RESTING = 1
    yield own
    own.close()


@pytest.fixture
async def used(mongo_database: AsyncDatabase[dict[str, Any]], own_databases: Any) -> str:
    """The name of a database that was prepared; its test is not over."""
    await own_databases.prepare(mongo_database, init_models)
    return mongo_database.name


def test_rows_are_gone_and_collections_and_indexes_are_there(
    used: str, own_databases: Any, client: MongoClient[dict[str, Any]]
) -> None:
    for collection in INDEXES:
        client[used][collection].insert_one({"left": "behind"})
    own_databases.give_back(used, PREPARATION)
    assert own_databases.take(PREPARATION) == used
    assert set(client[used].list_collection_names()) == set(INDEXES)
    assert not any(client[used][collection].find_one() for collection in INDEXES)
    assert len(client[used][TRANSACTIONS].index_information()) == len(INDEXES[TRANSACTIONS]) + 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows["another"].insert_one({}), id="collection added"),
        pytest.param(lambda rows: rows.drop_collection(JOURNALS), id="collection dropped"),
        pytest.param(lambda rows: rows[JOURNALS].create_index("memo"), id="index added"),
        pytest.param(lambda rows: rows[TRANSACTIONS].drop_index("_journal_1"), id="index dropped"),
        pytest.param(
            lambda rows: (
                rows[TRANSACTIONS].drop_index("_journal_1"),
                rows[TRANSACTIONS].create_index([("_journal", ASCENDING)]),
            ),
            id="index made again",
        ),
        pytest.param(
            lambda rows: rows.command(
                "collMod", LOCKS, index={"name": "updatedAt_1", "expireAfterSeconds": 9}
            ),
            id="lifetime changed",
        ),
        pytest.param(lambda rows: rows.command("collMod", JOURNALS, validator={"a": 1}), id="validator"),
        pytest.param(lambda rows: rows.client.drop_database(rows.name), id="dropped"),
    ],
)
def test_what_is_no_longer_as_it_was_prepared_is_never_used_again(
    used: str, own_databases: Any, client: MongoClient[dict[str, Any]], change: Callable[[Rows], object]
) -> None:
    change(client[used])
    own_databases.give_back(used, PREPARATION)
    assert own_databases.take(PREPARATION) != used


def test_database_rests_before_it_is_used_again(used: str, own_databases: Any) -> None:
    """What a test left under way has come to its end before the database is emptied."""
    own_databases.RESTING = 2
    own_databases.give_back(used, PREPARATION)
    assert own_databases.take(PREPARATION) != used


def test_another_preparation_has_databases_of_its_own(used: str, own_databases: Any) -> None:
    own_databases.give_back(used, PREPARATION)
    assert own_databases.take(frozenset({"ledger"})) != used
