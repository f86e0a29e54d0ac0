"""Reads of one cluster time, and of a newer one where the server has forgotten that."""

from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from medici_py.moving_snapshot import MovingSnapshot

Bank = AsyncDatabase[dict[str, Any]]


async def now(database: Bank) -> Timestamp:
    time: Timestamp = (await database.command("ping"))["operationTime"]
    return time


async def test_later_writes_are_not_seen(driver_database: Any, bank: Bank) -> None:
    """However many reads there are, and through each driver; dates are aware."""
    await bank["things"].insert_many([{"_id": number} for number in range(300)])
    snapshot = MovingSnapshot(driver_database, await now(bank))
    await bank["things"].insert_one({"_id": 300})
    found = await snapshot.find("things", {"_id": {"$gte": 1}}, sort={"_id": -1})
    assert [one["_id"] for one in found] == list(range(299, 0, -1))
    assert not snapshot.moved
    assert await snapshot.find("things", {}, limit=1, sort={"_id": -1}, projection={"_id": 1}) == [
        {"_id": 299}
    ]


async def test_time_that_is_forgotten_is_replaced_by_now(bank: Bank) -> None:
    """For that read and all that follow."""
    await bank["things"].insert_one({"_id": 1})
    time = await now(bank)
    snapshot = MovingSnapshot(bank, Timestamp(time.time - 100_000, 1))
    assert await snapshot.find("things", {}) == [{"_id": 1}]
    await bank["things"].insert_one({"_id": 2})
    assert len(await snapshot.find("things", {})) == 2
    assert snapshot.moved


async def test_other_errors_pass(bank: Bank) -> None:
    """A filter that cannot be read is not a matter of time."""
    snapshot = MovingSnapshot(bank, await now(bank))
    with pytest.raises(OperationFailure, match="unknown operator"):
        await snapshot.find("things", {"a": {"$nonsense": 1}})
    assert not snapshot.moved
