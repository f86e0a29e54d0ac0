"""Collections and indexes are medici's, and nobody else's index is touched."""

import asyncio
from typing import Any

import pytest

from medici_py import IndexConflictError, init_models, sync_indexes

MEDICI_INDEXES = {
    "medici_journals": {"_id_": ([("_id", 1)], {})},
    "medici_transactions": {
        "_id_": ([("_id", 1)], {}),
        "_journal_1": ([("_journal", 1)], {}),
        "book_1_accounts_1_datetime_-1": ([("book", 1), ("accounts", 1), ("datetime", -1)], {}),
        "book_1_account_path.0_1_account_path.1_1_account_path.2_1_datetime_-1": (
            [
                ("book", 1),
                ("account_path.0", 1),
                ("account_path.1", 1),
                ("account_path.2", 1),
                ("datetime", -1),
            ],
            {},
        ),
    },
    "medici_locks": {
        "_id_": ([("_id", 1)], {}),
        "account_1_book_1": ([("account", 1), ("book", 1)], {"unique": True}),
        "updatedAt_1": ([("updatedAt", 1)], {"expireAfterSeconds": 86_400}),
    },
    "medici_balances": {
        "_id_": ([("_id", 1)], {}),
        "key_1": ([("key", 1)], {}),
        "expireAt_1": ([("expireAt", 1)], {"expireAfterSeconds": 0}),
    },
}


OUR_INDEXES = {"medici_py_recorded", "medici_py_effective"}


async def indexes_of(database: Any) -> dict[str, dict[str, Any]]:
    return {
        collection: {
            name: (
                [(field, int(direction)) for field, direction in index["key"]],
                {option: index[option] for option in ("unique", "expireAfterSeconds") if option in index},
            )
            for name, index in (await database[collection].index_information()).items()
            if name not in OUR_INDEXES
        }
        for collection in MEDICI_INDEXES
    }


async def test_set_up_creates_what_medici_creates_from_many_processes_at_once(mongo_database: Any) -> None:
    """Names, order, options; any number of times and at the same time."""
    await asyncio.gather(*(init_models(mongo_database) for _ in range(6)))
    await init_models(mongo_database)
    assert await indexes_of(mongo_database) == MEDICI_INDEXES


async def test_set_up_works_through_every_driver(driver_database: Any) -> None:
    """Motor's database is as good as PyMongo's."""
    await init_models(driver_database)
    assert await sync_indexes(driver_database) == []


async def test_sync_replaces_what_carries_our_name_and_leaves_the_rest(mongo_database: Any) -> None:
    """Medici drops every index it does not declare; here the user's stays."""
    legs, locks = mongo_database["medici_transactions"], mongo_database["medici_locks"]
    await legs.create_index([("meta.client", 1)])
    await locks.create_index([("updatedAt", 1)], expireAfterSeconds=60)
    with pytest.raises(IndexConflictError, match="medici_locks"):
        await init_models(mongo_database)
    assert await sync_indexes(mongo_database) == ["medici_locks.updatedAt_1"]
    found = await indexes_of(mongo_database)
    assert "meta.client_1" in found["medici_transactions"]
    assert MEDICI_INDEXES["medici_locks"] == found["medici_locks"]


async def test_sync_replaces_an_index_whose_keys_are_in_another_order(mongo_database: Any) -> None:
    """The order of the keys is what an index is."""
    legs = mongo_database["medici_transactions"]
    name = "book_1_accounts_1_datetime_-1"
    await legs.create_index([("accounts", 1), ("book", 1), ("datetime", -1)], name=name)
    assert await sync_indexes(mongo_database) == [f"medici_transactions.{name}"]
    assert MEDICI_INDEXES["medici_transactions"] == (await indexes_of(mongo_database))["medici_transactions"]
