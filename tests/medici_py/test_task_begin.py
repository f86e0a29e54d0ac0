"""What is done for everybody carries nothing of whoever happened to begin it."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

from medici_py import Book, LiveBalances
from medici_py.embedded import EmbeddedMongo
from medici_py.leases import Lease
from medici_py.task_begin import begin_task

trace: ContextVar[str] = ContextVar("trace", default="nobody's")


class CommandLog(monitoring.CommandListener):
    """In whose context which commands were sent."""

    def __init__(self) -> None:
        self.sent: set[tuple[str, str]] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent.add((event.command_name, trace.get()))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not looked at."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not looked at."""

    async def until_sent(self, command: str, by: str) -> None:
        async with asyncio.timeout(30):
            while (command, by) not in self.sent:
                await asyncio.sleep(0.01)


@pytest.fixture
def log() -> CommandLog:
    return CommandLog()


@pytest.fixture
async def watched(bank: Any, mongodb: EmbeddedMongo, log: CommandLog) -> AsyncIterator[Any]:
    """The fresh database through a client whose commands are logged."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri, event_listeners=[log]) as client:
        yield client[bank.name]


async def test_task_inherits_no_context_and_gives_its_answer() -> None:
    """Neither deadline nor trace of its maker; its name is the one given."""

    async def work() -> str:
        return trace.get()

    trace.set("mine")
    task = begin_task(work(), name="for everybody")
    assert task.get_name() == "for everybody"
    assert await task == "nobody's"


async def test_entries_that_share_a_transaction_carry_no_callers_trace(watched: Any, log: CommandLog) -> None:
    """Nor, which is the same, the deadline that one of them gave PyMongo."""
    trace.set("a caller's")
    await Book("Bank", watched).entry("x").debit("A", 1).credit("B", 1).commit()
    assert {by for command, by in log.sent if command == "commitTransaction"} == {"nobody's"}


async def test_stream_that_all_subscribers_share_carries_no_subscribers_trace(
    watched: Any, log: CommandLog
) -> None:
    """It goes on when whoever opened it has long left."""
    trace.set("a subscriber's")
    async with Book("Bank", watched).changes():
        await log.until_sent("getMore", "nobody's")
    assert ("getMore", "a subscriber's") not in log.sent


async def test_live_balances_follow_in_nobodys_trace(watched: Any, log: CommandLog) -> None:
    """They live as long as the process."""
    trace.set("the starter's")
    async with LiveBalances(Book("Bank", watched)):
        await log.until_sent("getMore", "nobody's")
    assert ("getMore", "the starter's") not in log.sent


async def test_lease_is_renewed_in_nobodys_trace(watched: Any, log: CommandLog) -> None:
    """A deadline of the one who acquired it would end it."""
    trace.set("the holder's")
    lease = Lease(watched, "only-one", ttl_secs=0.9)
    await lease.acquire(timeout_secs=20)
    try:
        await log.until_sent("update", "nobody's")
        assert ("update", "the holder's") not in log.sent
    finally:
        await lease.release()
