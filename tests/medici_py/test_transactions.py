"""`mongo_transaction` retries what MongoDB says may be retried, and nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError, OperationFailure

from medici_py import UnknownOutcomeError, mongo_transaction

Fail = Callable[..., Any]


async def test_answer_of_the_callback_is_returned_and_its_writes_stand(driver_database: Any) -> None:
    """What the callback did counts once it returned."""

    async def insert(session: Any) -> str:
        await driver_database.things.insert_one({"_id": 1}, session=session)
        return "done"

    assert await mongo_transaction(driver_database.client, insert) == "done"
    assert await driver_database.things.count_documents({}) == 1


async def test_error_of_the_callback_aborts_and_is_passed_on(driver_database: Any) -> None:
    """The caller's own error comes out unchanged, and nothing is written."""

    async def fail(session: Any) -> None:
        await driver_database.things.insert_one({"_id": 1}, session=session)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await mongo_transaction(driver_database.client, fail)
    assert await driver_database.things.count_documents({}) == 0


async def test_transaction_that_the_callback_ended_is_left_alone(driver_database: Any) -> None:
    """A callback may abort by itself and still return."""

    async def abort(session: Any) -> str:
        await driver_database.things.insert_one({"_id": 1}, session=session)
        await session.abort_transaction()
        return "aborted"

    assert await mongo_transaction(driver_database.client, abort) == "aborted"
    assert await driver_database.things.count_documents({}) == 0


async def test_conflicting_transactions_run_again_until_each_has_counted(driver_database: Any) -> None:
    """Read-modify-write from many tasks loses no update: a conflict runs the callback from the start."""
    await driver_database.counters.insert_one({"_id": "c", "n": 0})
    runs = 0

    async def increment(session: Any) -> None:
        nonlocal runs
        runs += 1
        before = await driver_database.counters.find_one({"_id": "c"}, session=session)
        await driver_database.counters.update_one(
            {"_id": "c"}, {"$set": {"n": before["n"] + 1}}, session=session
        )

    await asyncio.gather(*(mongo_transaction(driver_database.client, increment) for _ in range(8)))
    assert (await driver_database.counters.find_one())["n"] == 8
    assert runs >= 8


async def test_cancelled_transaction_leaves_nothing(driver_database: Any) -> None:
    """Cancelling between two writes aborts."""
    written = asyncio.Event()

    async def insert_and_wait(session: Any) -> None:
        await driver_database.things.insert_one({"_id": 1}, session=session)
        written.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(mongo_transaction(driver_database.client, insert_and_wait))
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await driver_database.things.count_documents({}) == 0


@pytest.mark.parametrize(
    "failure",
    [
        {"command": "insert", "closeConnection": True},
        {"command": "insert", "errorCode": 112, "errorLabels": ["TransientTransactionError"]},
        {"command": "insert", "errorCode": 10107},  # NotWritablePrimary
        {"command": "commitTransaction", "closeConnection": True},
        {"command": "commitTransaction", "times": 3, "closeConnection": True},
        {"command": "commitTransaction", "errorCode": 251, "errorLabels": ["TransientTransactionError"]},
        {"command": "commitTransaction", "writeConcernError": {"code": 91, "errmsg": "shutting down"}},
    ],
    ids=str,
)
async def test_transient_failure_is_ridden_out(failure: dict[str, Any], faulty_bank: Any, fail: Fail) -> None:
    """A lost connection, a conflict, an election, a lost answer to the commit: the write stands once."""

    async def insert(session: Any) -> None:
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    await fail(**failure)
    await mongo_transaction(faulty_bank.client, insert)
    assert await faulty_bank.things.count_documents({}) == 1


async def test_lasting_failure_is_passed_on(faulty_bank: Any, fail: Fail) -> None:
    """An error without a retry label ends the transaction at once."""
    runs = 0

    async def insert_twice(session: Any) -> None:
        nonlocal runs
        runs += 1
        await faulty_bank.things.insert_one({"_id": 1}, session=session)
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    with pytest.raises(DuplicateKeyError):
        await mongo_transaction(faulty_bank.client, insert_twice)
    assert (runs, await faulty_bank.things.count_documents({})) == (1, 0)


async def test_commit_without_an_answer_says_that_the_outcome_is_unknown(
    faulty_bank: Any, fail: Fail
) -> None:
    """After the deadline the caller is told what is not known, and what to do."""

    async def insert(session: Any) -> None:
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    await fail("commitTransaction", times=None, closeConnection=True)
    with pytest.raises(UnknownOutcomeError, match="did not confirm"):
        await mongo_transaction(faulty_bank.client, insert, deadline_secs=0.3)


async def test_error_that_comes_after_the_deadline_is_passed_on(faulty_bank: Any, fail: Fail) -> None:
    """However transient: a try that began in time does not earn another one by lasting."""
    runs = 0

    async def insert_slowly(session: Any) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.3)
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    await fail("insert", times=1, errorCode=112, errorLabels=["TransientTransactionError"])
    with pytest.raises(OperationFailure):
        await mongo_transaction(faulty_bank.client, insert_slowly, deadline_secs=0.2)
    assert runs == 1


async def test_illegal_operation_of_the_callback_is_its_own(faulty_bank: Any, fail: Fail) -> None:
    """Code 20 is not only a standalone's answer; on a replica set the error is passed on."""

    async def insert(session: Any) -> None:
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    await fail("insert", errorCode=20)
    with pytest.raises(OperationFailure) as caught:
        await mongo_transaction(faulty_bank.client, insert)
    assert caught.value.code == 20
