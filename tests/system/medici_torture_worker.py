"""A process of the torture test: posters who try everything that a bank's clients do, until SIGTERM.

``python medici_torture_worker.py URI DATABASE LOG SEED MODE``; MODE is ``shared`` (group commit and running
balances) or ``alone`` (neither).

It appends a JSON object a line to LOG: ``intended`` before it asks for something, then ``posted``, ``voided``
or ``refused`` once it knows the answer, on the disk before it goes on. An intention without an answer, or one
that ``failed``, may have come true or not; whatever was answered must hold.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py import (
    Book,
    ConsistencyError,
    Entry,
    JournalAlreadyVoidedError,
    TransactionError,
    UnknownOutcomeError,
    mongo_transaction,
)

POSTERS = 24
PAUSE_SECS = 0.05
HELD_SECS = 0.1
PAYMENTS = 150
VOIDABLE = 20

OMNIBUS = "Assets:Omnibus"
WALLETS = [f"Wallets:{number}" for number in range(8)]


class Log:
    """What this process was told, kept whatever happens to it."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "at": time.time(), **facts}, default=str)
        os.write(self._file, line.encode() + b"\n")
        os.fsync(self._file)


class Client:
    """One poster: does one thing after another, chosen at random."""

    def __init__(
        self, main: Book, side: Book, log: Log, rng: random.Random, voidable: deque[ObjectId]
    ) -> None:
        self._main = main
        self._side = side
        self._log = log
        self._rng = rng
        self._voidable = voidable

    async def run(self, stop: asyncio.Event) -> None:
        deeds = {
            self.deposit: 3, self.withdraw: 5, self.pay: 6, self.transfer: 2, self.void: 2, self.hold: 1,
        }  # fmt: skip
        while not stop.is_set():
            (deed,) = self._rng.choices(list(deeds), list(deeds.values()))
            try:
                await deed()
            except PyMongoError as exc:  # The server is away: no answer, so it may have come true or not.
                self._log.write("failed", kind=deed.__name__, error=type(exc).__name__, text=str(exc))
            await asyncio.sleep(self._rng.uniform(0, PAUSE_SECS))

    async def deposit(self) -> None:
        """Less on average than `withdraw` asks for, so that wallets are empty again and again."""
        entry = self._main.entry("deposit")
        self._move(entry, OMNIBUS, self._rng.choice(WALLETS), self._rng.randint(1, 60))
        await self._commit("deposit", entry)

    async def withdraw(self) -> None:
        journal = await self._commit("withdrawal", self._withdrawal())
        if journal is not None:
            self._voidable.append(journal)

    async def pay(self) -> None:
        """Under a key that other posters and other processes use, mostly but not always for the same."""
        number = self._rng.randrange(PAYMENTS)
        key = f"payment-{number}"
        amount = 1 + number % 97 + (self._rng.random() < 0.05)
        entry = self._main.entry(key, key=key)
        self._move(entry, OMNIBUS, f"Merchants:{number % 7}", amount)
        journal = await self._commit("payment", entry, key=key)
        if journal is not None and self._rng.random() < 0.3:
            self._voidable.append(journal)

    async def transfer(self) -> None:
        """Out of a wallet in one book into another book: both entries or none."""
        key = f"transfer-{ObjectId()}"
        wallet, amount = self._rng.choice(WALLETS), self._rng.randint(1, 40)

        async def commit() -> Sequence[ObjectId]:
            async with self._main.batch() as batch:
                out = self._main.entry(key, key=key).debit(wallet, amount, min_balance=0)
                batch.add(out.credit("Clearing:Side", amount))
                batch.add(self._move(self._side.entry(key, key=key), OMNIBUS, wallet, amount))
            return [journal.id for journal in batch.journals]

        await self._do("transfer", commit, books=[self._main.name, self._side.name], key=key)

    async def void(self) -> None:
        if not self._voidable:
            return
        journal = self._rng.choice(self._voidable)
        self._log.write("intended", kind="void", journal=journal)
        while True:
            try:
                reversal = await self._main.void(journal, "torture")
            except UnknownOutcomeError:
                continue
            except JournalAlreadyVoidedError:
                self._log.write("voided", journal=journal)
            except (TransactionError, ConsistencyError) as exc:
                self._log.write("refused", kind="void", error=type(exc).__name__, text=str(exc))
            else:
                self._log.write("voided", journal=journal)
                self._log.write(
                    "posted", kind="void", books=[self._main.name], journals=[reversal.id], key=None
                )
            with suppress(ValueError):
                self._voidable.remove(journal)
            return

    async def hold(self) -> None:
        """In a transaction of the caller's own, open for longer than a client should keep it."""
        entry = self._withdrawal()

        async def commit_and_hold(session: AsyncClientSession) -> None:
            await entry.commit(session=session)
            await asyncio.sleep(self._rng.uniform(0, HELD_SECS))

        self._log.write("intended", kind="held", journals=[entry.id])
        try:
            await mongo_transaction(self._main.database.client, commit_and_hold)
        except UnknownOutcomeError:
            return  # Unlike an entry's commit this cannot just be repeated; either outcome is right.
        except TransactionError as exc:
            self._refused("held", exc, journals=[entry.id], key=None)
        else:
            self._log.write(
                "posted", kind="held", books=[self._main.name], journals=[entry.id], key=None, replayed=False
            )

    def _withdrawal(self) -> Entry:
        entry, amount = self._main.entry("withdrawal"), self._rng.randint(1, 100)
        return entry.debit(self._rng.choice(WALLETS), amount, min_balance=0).credit(OMNIBUS, amount)

    @staticmethod
    def _move(entry: Entry, debited: str, credited: str, amount: int) -> Entry:
        return entry.debit(debited, amount).credit(credited, amount)

    async def _commit(self, kind: str, entry: Entry, *, key: str | None = None) -> ObjectId | None:
        async def commit() -> Sequence[ObjectId]:
            return [(await entry.commit()).id]

        journals = await self._do(kind, commit, books=[self._main.name], ids=[entry.id], key=key)
        return journals[0] if journals else None

    async def _do(
        self,
        kind: str,
        commit: Callable[[], Awaitable[Sequence[ObjectId]]],
        *,
        books: list[str],
        ids: Sequence[ObjectId] = (),
        key: str | None,
    ) -> Sequence[ObjectId]:
        self._log.write("intended", kind=kind, journals=ids, key=key)
        while True:
            try:
                journals = await commit()
            except UnknownOutcomeError:
                continue  # The way out that the error names: the same entry again.
            except TransactionError as exc:
                self._refused(kind, exc, journals=ids, key=key)
                return ()
            self._log.write(
                "posted",
                kind=kind,
                books=books,
                journals=journals,
                key=key,
                replayed=bool(ids) and list(ids) != list(journals),
            )
            return journals

    def _refused(
        self, kind: str, error: TransactionError, *, journals: Sequence[ObjectId], key: str | None
    ) -> None:
        self._log.write(
            "refused", kind=kind, error=type(error).__name__, text=str(error), journals=journals, key=key
        )


async def work(uri: str, database: str, path: str, rng: random.Random, *, shared: bool) -> None:
    """Post until SIGTERM, then wait for every answer that is still to come."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log = Log(path)  # That the file is there says that the signal is listened to.
    mode = {"running_balances": shared, "group_commit": shared}
    voidable: deque[ObjectId] = deque(maxlen=VOIDABLE)
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        bank = client[database]
        async with (
            Book("Main", bank, **mode) as main,  # type: ignore[arg-type]
            Book("Side", bank, **mode) as side,  # type: ignore[arg-type]
            asyncio.TaskGroup() as posters,
        ):
            for _ in range(POSTERS):
                posters.create_task(Client(main, side, log, rng, voidable).run(stop))


if __name__ == "__main__":
    _, uri, database, path, seed, mode = sys.argv
    asyncio.run(work(uri, database, path, random.Random(int(seed)), shared=mode == "shared"))
