"""A process of the ledger campaign: a durable subscriber to the dealer's books, until SIGTERM.

``python worker.py URI DATABASE LOG NAME``; NAME is the subscription, ``hedging`` (at least
once) or ``archive`` (exactly once, together with what it writes into the collection ``archive``).

It appends a JSON object a line to LOG, on the disk before it goes on: ``began`` when it became the active one,
``seen`` for each event it was given, ``acknowledged`` once the server has stored that, and ``interrupted`` when
it has to begin again. ``at`` is the machine's monotonic clock, which all processes have in common.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from pymongo import AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py import (
    ChangeStreamError,
    DurableSubscription,
    JournalPosted,
    LeaseLostError,
    UnknownOutcomeError,
)
from medici_py.durable_events import SubscriptionEvent
from stablesats.ledger import Ledger

EXACTLY_ONCE = "archive"
LEASE_SECS = 1.0
ACKNOWLEDGED_SHARE = 0.3


class Log:
    """What this process saw, kept whatever happens to it."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, event: str, **facts: Any) -> None:
        os.write(self._file, json.dumps({"event": event, "at": time.monotonic(), **facts}).encode() + b"\n")
        os.fsync(self._file)

    def write_seen(self, event: SubscriptionEvent) -> None:
        journal = str(event.journal.id) if isinstance(event, JournalPosted) else None
        self.write("seen", kind=type(event).__name__, journal=journal, position=event.position.sort_key)


async def follow_at_least_once(subscription: DurableSubscription, log: Log) -> None:
    """Acknowledge some of the events, and with each of them those before it."""
    async with subscription as events:
        log.write("began")
        async for event in events:
            log.write_seen(event)
            if random.random() < ACKNOWLEDGED_SHARE:
                await events.acknowledge(event)
                log.write("acknowledged", position=event.position.sort_key)


async def follow_exactly_once(subscription: DurableSubscription, log: Log, database: Any) -> None:
    """Number the events in a collection, in the transaction that stores the position."""

    async def handle(event: SubscriptionEvent, session: AsyncClientSession) -> None:
        log.write_seen(event)
        counter = await database["archive_counter"].find_one_and_update(
            {"_id": 0},
            {"$inc": {"events": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        assert isinstance(event, JournalPosted), event
        await database["archive"].insert_one(
            {"_id": counter["events"], "journal": event.journal.id}, session=session
        )

    await subscription.run_in_transaction(handle)


async def follow(uri: str, name: str, path: str, subscription: str) -> None:
    """Follow the dealer's trades; begin again, as an application would, after whatever can pass."""
    log = Log(path)  # That the file is there says that the signal is listened to.
    async with AsyncMongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        database = client[name]
        while True:
            durable = Ledger(database).stablesats.subscribe(subscription, lease_ttl_secs=LEASE_SECS)
            try:
                if subscription == EXACTLY_ONCE:
                    await follow_exactly_once(durable, log, database)
                else:
                    await follow_at_least_once(durable, log)
            except (LeaseLostError, ChangeStreamError, UnknownOutcomeError, PyMongoError) as exc:
                log.write("interrupted", error=type(exc).__name__, text=str(exc))


async def follow_until_terminated(arguments: list[str]) -> None:
    """Return at SIGTERM."""
    following = asyncio.ensure_future(follow(*arguments))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
    with suppress(asyncio.CancelledError):
        await following


if __name__ == "__main__":
    asyncio.run(follow_until_terminated(sys.argv[1:]))
