"""One shape of call over three drivers."""

import datetime as dt
from typing import Any

import pymongo
import pytest
from bson import DatetimeMS, ObjectId
from mongomock_motor import AsyncMongoMockClient
from pymongo import MongoClient

from medici_py.driver import (
    adopt,
    aggregate,
    capabilities,
    driver_secs_left,
    driver_time_is_up,
    has_no_transactions,
    is_database,
    snapshot_session,
    start_session,
    watch,
)
from medici_py.errors import UnsupportedDeploymentError


async def test_aggregate_iterates(driver_database: Any) -> None:
    """Awaited or not by the driver, the rows come."""
    await driver_database.things.insert_many([{"n": 1}, {"n": 2}])
    cursor = await aggregate(driver_database.things, [{"$group": {"_id": None, "n": {"$sum": "$n"}}}])
    assert [row async for row in cursor] == [{"_id": None, "n": 3}]


async def test_change_stream_is_open_when_watch_returns(driver_database: Any) -> None:
    """What is inserted right afterwards is seen, and close() ends it."""
    stream = await watch(driver_database, [{"$match": {"operationType": "insert"}}], max_await_time_ms=50)
    assert stream.resume_token is not None
    await driver_database.things.insert_one({"_id": 1})
    assert (await stream.next())["fullDocument"] == {"_id": 1}
    assert None is await stream.try_next()
    await stream.close()
    assert not stream.alive


async def test_session_is_a_context(driver_database: Any) -> None:
    """Also with options."""
    async with await start_session(driver_database.client, snapshot=True) as session:
        assert await driver_database.things.count_documents({}, session=session) == 0


async def test_reads_in_a_snapshot_session_are_of_one_moment(driver_database: Any) -> None:
    """Its first read fixes it; what is written afterwards is not seen in it."""
    await driver_database.things.insert_one({"_id": 1})
    async with snapshot_session(driver_database.client) as session:
        assert await driver_database.things.count_documents({}, session=session) == 1
        await driver_database.things.insert_one({"_id": 2})
        assert await driver_database.things.count_documents({}, session=session) == 1
    assert await driver_database.things.count_documents({}) == 2


async def test_mock_has_no_sessions() -> None:
    """To ask for one is refused in our own words; one moment needs none, where nothing runs meanwhile."""
    with pytest.raises(UnsupportedDeploymentError, match="mongomock has no sessions"):
        await start_session(AsyncMongoMockClient())
    async with snapshot_session(AsyncMongoMockClient()) as session:
        assert session is None


async def test_adopted_database_reads_aware_utc_dictionaries(driver_database: Any) -> None:
    """Dates beyond Python's years are the nearest one inside, instead of an error in a whole page."""
    adopted = adopt(driver_database)
    await adopted.command(
        {"insert": "things", "documents": [{"_id": 1, "at": dt.datetime(2024, 5, 1, tzinfo=dt.UTC)}]}
    )
    found = await adopted.things.find_one()
    assert {"_id": 1, "at": dt.datetime(2024, 5, 1, tzinfo=dt.UTC)} == found
    assert found is not None
    assert found["at"].utcoffset() == dt.timedelta(0)


async def test_databases_are_told_from_anything_else(driver_database: Any, mongodb: Any) -> None:
    """Asynchronous databases of the three drivers are accepted; the blocking PyMongo is not."""
    assert is_database(driver_database)
    assert is_database(AsyncMongoMockClient()["x"])
    with MongoClient[dict[str, Any]](mongodb.uri) as blocking:
        assert not is_database(blocking["x"])
    assert not is_database(driver_database.client)


async def test_mock_has_neither_transactions_nor_exact_sums(driver_database: Any) -> None:
    """A server has both."""
    assert (
        capabilities(driver_database).transactions,
        capabilities(driver_database.client).exact_sums,
    ) == (True, True)
    assert not capabilities(AsyncMongoMockClient()).transactions
    assert not capabilities(AsyncMongoMockClient()["x"]).exact_sums


@pytest.mark.parametrize("error", [ValueError(), ObjectId])
def test_other_errors_are_no_answer_of_a_standalone(error: Any) -> None:
    """Only the server's code 20 is."""
    assert not has_no_transactions(error)


@pytest.mark.parametrize(
    ("milliseconds", "year"),
    [(-62_135_596_800_001, 1), (253_402_300_800_000, 9999), (8_640_000_000_000_000, 9999)],
)
async def test_date_beyond_pythons_years_is_read_as_the_nearest(
    milliseconds: int, year: int, driver_database: Any
) -> None:
    """Node's dates reach further; one of them must not break a whole page."""
    await driver_database.things.insert_one({"at": DatetimeMS(milliseconds)})
    found = await adopt(driver_database).things.find_one()
    assert found is not None
    assert found["at"].year == year


def test_time_that_a_caller_gave_the_driver_can_be_asked_for() -> None:
    """By ``pymongo.timeout``; it is over when nothing is left of it, and nobody need have given any."""
    assert driver_secs_left() is None
    assert not driver_time_is_up()
    with pymongo.timeout(3_600):
        left_secs = driver_secs_left()
        assert left_secs is not None
        assert 0 < left_secs <= 3_600
        assert not driver_time_is_up()
    with pymongo.timeout(1e-9):
        assert driver_time_is_up()
        with pymongo.timeout(None):
            assert not driver_time_is_up()
