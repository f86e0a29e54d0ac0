"""`mongo_transaction` retries what MongoDB says may be retried, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pymongo
import pytest
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from medici_py import UnknownOutcomeError, mongo_transaction, transactions
from medici_py.retry import begin_again

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


@pytest.mark.parametrize("command", ["insert", "find"])
async def test_time_that_the_caller_gave_the_driver_ends_the_tries(
    faulty_bank: Any, fail: Fail, command: str
) -> None:
    """Once it is over every try fails at once, with errors that look as if they could pass."""
    runs = 0

    async def read_and_insert(session: Any) -> None:
        nonlocal runs
        runs += 1
        await faulty_bank.things.find_one({"_id": 1}, session=session)
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    await fail(command, times=None, blockConnection=True, blockTimeMS=600)
    async with asyncio.timeout(20):
        with pymongo.timeout(0.2), pytest.raises(PyMongoError) as caught:
            await mongo_transaction(faulty_bank.client, read_and_insert)
    assert caught.value.timeout
    assert runs == 1


async def test_nothing_stays_locked_when_the_time_of_the_caller_is_over(
    faulty_bank: Any, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is told of the abort all the same; else it would keep what was written for a minute."""
    monkeypatch.setattr(transactions, "_ABORT_WITHIN_SECS", 30)
    await faulty_bank.things.insert_one({"_id": 1, "n": 0})
    runs = 0

    async def add(session: Any) -> None:
        nonlocal runs
        runs += 1
        await faulty_bank.things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        await faulty_bank.things.find_one({"_id": 1}, session=session)

    await fail("find", times=1, blockConnection=True, blockTimeMS=400)
    with pymongo.timeout(0.2), pytest.raises(PyMongoError):
        await mongo_transaction(faulty_bank.client, add)
    await mongo_transaction(faulty_bank.client, add)
    assert (await faulty_bank.things.find_one())["n"] == 1
    assert runs == 2  # the second one met nothing that the first one has left


async def test_commit_that_outlasts_the_time_of_the_caller_has_an_unknown_outcome(
    faulty_bank: Any, fail: Fail
) -> None:
    """It was sent, and what came of it was not waited for."""

    async def insert(session: Any) -> None:
        await faulty_bank.things.insert_one({"_id": 1}, session=session)

    await faulty_bank.things.insert_one({"_id": 0})  # To make a collection may take a while.
    await fail("commitTransaction", times=None, blockConnection=True, blockTimeMS=2_500)
    async with asyncio.timeout(20):
        with pymongo.timeout(1.5), pytest.raises(UnknownOutcomeError, match="did not confirm"):
            await mongo_transaction(faulty_bank.client, insert)


async def test_turn_of_a_try_ends_before_the_pause(bank: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a try needs others can have meanwhile."""
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        events.append("begins")
        yield
        events.append("ends")

    async def conflict_twice(_session: Any) -> str:
        if events.count("begins") < 3:
            raise begin_again("a conflict")
        return "done"

    async def pause(conflicts: int) -> None:
        events.append(f"pause {conflicts}")

    monkeypatch.setattr(transactions, "_pause_after_conflict", pause)
    async with bank.client.start_session() as session:
        assert await transactions.run_in_session(session, conflict_twice, turn=turn) == "done"
    assert events == ["begins", "ends", "pause 1", "begins", "ends", "pause 2", "begins", "ends"]
