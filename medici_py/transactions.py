"""MongoDB transactions with MongoDB's own retry rules (here a *session*; a transaction is a leg)."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.backoff import backoff_secs
from medici_py.driver import (
    Client,
    begin_transaction,
    capabilities,
    has_no_transactions,
    is_standalone,
    start_session,
)
from medici_py.errors import UnknownOutcomeError, UnsupportedDeploymentError
from medici_py.retry import (
    CONFLICT_PAUSE_SECS,
    DEADLINE_SECS,
    FIRST_DELAY_SECS,
    MAX_DELAY_SECS,
    Retry,
    after_callback_error,
    after_commit_error,
    is_unknown_commit,
    is_write_conflict,
)

T = TypeVar("T")

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
        deadline_secs: An error that comes after this many seconds is passed on, whatever it is.

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
) -> T:
    """Run *callback* in a transaction of *session*, which has none open; as `mongo_transaction`.

    Args:
        session: The session.
        callback: What runs inside.
        deadline_secs: As there.
        conflicts: The write conflict of so many tries is passed on; None for no such bound.
    """
    deadline = time.monotonic() + deadline_secs
    tries = 0
    while True:
        tries += 1
        await begin_transaction(session)
        try:
            answer = await callback(session)
        except BaseException as exc:
            if session.in_transaction:
                await session.abort_transaction()
            if has_no_transactions(exc) and await is_standalone(session.client):
                raise UnsupportedDeploymentError from exc
            if time.monotonic() >= deadline or after_callback_error(exc) is Retry.NOTHING:
                raise
            if conflicts is not None and tries >= conflicts and is_write_conflict(exc):
                raise
            if is_write_conflict(exc):
                await _pause_briefly()
                continue
        else:
            # A callback that ended the transaction itself meant to.
            if not session.in_transaction or await _commit(session, deadline):
                return answer
        await _pause(tries)


async def _commit(session: AsyncClientSession, deadline: float) -> bool:
    """Commit; False if the transaction was lost for a transient reason and must run again."""
    tries = 0
    while True:
        tries += 1
        try:
            await session.commit_transaction()
        except PyMongoError as exc:
            retry = after_commit_error(exc) if time.monotonic() < deadline else Retry.NOTHING
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


async def _pause_briefly() -> None:
    """Wait for about as long as another posting takes.

    After a conflict only a moment decides: where others write one account all the time, growing pauses
    would only miss the gaps between them.
    """
    await asyncio.sleep(CONFLICT_PAUSE_SECS * random.random())  # noqa: S311 - spreads retries, no secret


async def _pause(tries: int) -> None:
    jitter = random.random()  # noqa: S311 - spreads retries, no secret
    await asyncio.sleep(
        backoff_secs(tries, first_secs=FIRST_DELAY_SECS, max_secs=MAX_DELAY_SECS, jitter=jitter)
    )
