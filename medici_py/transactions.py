"""MongoDB transactions with MongoDB's own retry rules (here a *session*; a transaction is a leg)."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar, cast

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.backoff import backoff_secs
from medici_py.driver import (
    Client,
    begin_transaction,
    capabilities,
    driver_time_is_up,
    has_no_transactions,
    is_standalone,
    start_session,
)
from medici_py.errors import UnknownOutcomeError, UnsupportedDeploymentError
from medici_py.retry import (
    DEADLINE_SECS,
    FIRST_DELAY_SECS,
    MAX_DELAY_SECS,
    Retry,
    after_callback_error,
    after_commit_error,
    conflict_pause_secs,
    is_unknown_commit,
    is_write_conflict,
)

T = TypeVar("T")

_ABORT_WITHIN_SECS = 1.0
"""For how long to try to abort when the caller's time is up."""

Body = Callable[[AsyncClientSession], Awaitable[T]]
"""What runs inside; it may run many times, so it must keep nothing from a try that failed."""


async def mongo_transaction(client: Client, callback: Body[T], *, deadline_secs: float = DEADLINE_SECS) -> T:
    """Run *callback* in a transaction and return its answer.

    Reads inside come from one snapshot; the commit waits for a journaled majority. An error of the
    callback aborts the transaction and is passed on, except transient ones (a write conflict, an
    election), after which the callback runs again from the start. On mongomock-motor, which has no
    transactions, the callback runs once, with None for a session.

    Args:
        client: The client whose databases the callback uses.
        callback: ``async def callback(session)``; passes the session to everything it does.
        deadline_secs: An error that comes after this many seconds, or when the time that
            ``pymongo.timeout`` gives is over, is passed on, whatever it is.

    Raises:
        UnsupportedDeploymentError: If the server is a standalone mongod.
        UnknownOutcomeError: If the server could not be asked whether the transaction committed.
    """
    if not capabilities(client).transactions:
        return await callback(cast("AsyncClientSession", None))
    async with await start_session(client) as session:
        return await run_in_session(session, callback, deadline_secs=deadline_secs)


async def run_in_session(
    session: AsyncClientSession,
    callback: Body[T],
    *,
    deadline_secs: float = DEADLINE_SECS,
    conflicts: int | None = None,
    turn: Callable[[], AbstractAsyncContextManager[object]] = contextlib.nullcontext,
) -> T:
    """Run *callback* in a transaction of *session*, which has none open; as `mongo_transaction`.

    Args:
        session: The session.
        callback: What runs inside.
        deadline_secs: As there.
        conflicts: The write conflict of so many tries is passed on; None for no such bound.
        turn: What a try needs for as long as it lasts: entered before each, and left before the pause.
    """
    deadline = time.monotonic() + deadline_secs
    tries = met = 0
    while True:
        tries += 1
        async with turn():
            await begin_transaction(session)
            try:
                answer = await callback(session)
            except BaseException as exc:
                await _abort(session)
                if has_no_transactions(exc) and await is_standalone(session.client):
                    raise UnsupportedDeploymentError from exc
                if _is_over(deadline) or after_callback_error(exc) is Retry.NOTHING:
                    raise
                met = met + 1 if is_write_conflict(exc) else 0
                if met and conflicts is not None and tries >= conflicts:
                    raise
            else:
                # A callback that ended the transaction itself meant to.
                if not session.in_transaction or await _commit(session, deadline):
                    return answer
                met = 0
        await (_pause_after_conflict(met) if met else _pause(tries))


def _is_over(deadline: float) -> bool:
    return time.monotonic() >= deadline or driver_time_is_up()


async def _abort(session: AsyncClientSession) -> None:
    """Abort, also when the caller's time is up: what was written stays locked until the server knows."""
    if not session.in_transaction:
        return
    if not driver_time_is_up():
        await session.abort_transaction()
        return
    with contextlib.suppress(TimeoutError), pymongo.timeout(None):
        async with asyncio.timeout(_ABORT_WITHIN_SECS):
            await session.abort_transaction()


async def _commit(session: AsyncClientSession, deadline: float) -> bool:
    """Commit; False if the transaction was lost for a transient reason and must run again."""
    tries = 0
    while True:
        tries += 1
        try:
            await session.commit_transaction()
        except PyMongoError as exc:
            retry = Retry.NOTHING if _is_over(deadline) else after_commit_error(exc)
            if retry is Retry.TRANSACTION:
                return False
            if retry is Retry.NOTHING and is_unknown_commit(exc):
                raise UnknownOutcomeError(
                    f"The server did not confirm whether the transaction committed: {exc}. Look for what it "
                    "would have written before you run it again."
                ) from exc
            if retry is Retry.NOTHING:
                raise
        else:
            return True
        await _pause(tries)


async def _pause_after_conflict(conflicts: int) -> None:
    jitter = random.random()  # noqa: S311 - spreads retries, no secret
    await asyncio.sleep(conflict_pause_secs(conflicts, jitter))


async def _pause(tries: int) -> None:
    jitter = random.random()  # noqa: S311 - spreads retries, no secret
    await asyncio.sleep(
        backoff_secs(tries, first_secs=FIRST_DELAY_SECS, max_secs=MAX_DELAY_SECS, jitter=jitter)
    )
