"""Node's medici, driven from Python: `NodeBook` is its ``Book`` under the names of `medici_py.Book`.

The tests write a scenario once, against those names, and run it on either library. Arguments reach Node as
they are given; answers come back as medici_py's values, read from the documents and numbers that Node has.
"""

import asyncio
import itertools
import re
import shutil
import subprocess
import threading
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from bson import ObjectId, json_util

from medici_py import Balance, Journal, LedgerPage, Transaction

NODE_MEDICI = Path(__file__).parents[3] / ".tools" / "node-medici"
BRIDGE = Path(__file__).with_name("bridge.mjs")
ANSWER_TIMEOUT_SECS = 60


def why_missing() -> str | None:
    """Say what is missing to run Node's medici; None if it can be run."""
    if shutil.which("node") is None:
        return "node is missing: run scripts/fetch-node-medici"
    if not (NODE_MEDICI / "node_modules" / "medici").is_dir():
        return "Node's medici is missing: run scripts/fetch-node-medici"
    return None


class NodeError(Exception):
    """What Node threw.

    Attributes:
        name: Its class.
        code: Its ``code``.
        total: Its ``total``, as medici's TransactionError has one.
        labels: The labels of a MongoDB error.
    """

    def __init__(self, *, name: str, message: str, code: int | None, total: Any, labels: list[str]) -> None:
        super().__init__(message)
        self.name = name
        self.code = code
        self.total = total
        self.labels = labels


class NodeProcess:
    """One Node process; requests to it run concurrently, from any event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["node", str(BRIDGE), str(NODE_MEDICI)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Run one of the bridge's operations.

        Raises:
            NodeError: If Node threw, or has ended.
        """
        answer: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            request = {"id": number, "operation": operation, "arguments": arguments}
            assert self._process.stdin is not None
            self._process.stdin.write(json_util.dumps(request) + "\n")
            self._process.stdin.flush()
        return await asyncio.wait_for(asyncio.wrap_future(answer), ANSWER_TIMEOUT_SECS)

    def close(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json_util.loads(line)
            answer = self._waiting.pop(message["id"])
            # A caller that gave up has cancelled it.
            if not answer.set_running_or_notify_cancel():
                continue
            if "error" in message:
                answer.set_exception(NodeError(**message["error"]))
            else:
                answer.set_result(message["result"])
        gone = NodeError(name="Gone", message="Node has ended", code=None, total=None, labels=[])
        for answer in self._waiting.values():
            if answer.set_running_or_notify_cancel():
                answer.set_exception(gone)


class NodeSession:
    """A Node session with an open transaction."""

    def __init__(self, process: NodeProcess, number: int) -> None:
        self.number = number
        self._process = process

    async def commit_transaction(self) -> None:
        await self._process.call("commitTransaction", session=self.number)

    async def abort_transaction(self) -> None:
        await self._process.call("abortTransaction", session=self.number)


class NodeMedici:
    """medici in one Node process, connected to one database."""

    def __init__(self, process: NodeProcess, uri: str, database: str) -> None:
        self._process = process
        self._uri = uri
        self._database = database

    async def open(self, **transaction_fields: str) -> None:
        """Connect, and create collections and indexes as a Node service does when it starts.

        Args:
            **transaction_fields: Fields of a custom transaction schema, and their types in mongoose.
        """
        await self._process.call(
            "open", uri=self._uri, database=self._database, transactionFields=transaction_fields or None
        )

    async def close(self) -> None:
        await self._process.call("close")

    async def sync_indexes(self) -> None:
        await self._process.call("syncIndexes")

    async def start_transaction(self) -> NodeSession:
        return NodeSession(self._process, await self._process.call("startTransaction"))

    def book(
        self,
        name: str = "MainBook",
        *,
        precision: int | None = None,
        max_account_path: int | None = None,
        balance_snapshot_sec: float | None = None,
        expire_balance_snapshot_sec: float | None = None,
    ) -> "NodeBook":
        options = {
            "precision": precision,
            "maxAccountPath": max_account_path,
            "balanceSnapshotSec": balance_snapshot_sec,
            "expireBalanceSnapshotSec": expire_balance_snapshot_sec,
        }
        return NodeBook(self._process, {"name": name, "options": options})


class NodeBook:
    """Node's ``Book``."""

    def __init__(self, process: NodeProcess, book: dict[str, Any]) -> None:
        self.name: str = book["name"]
        self._process = process
        self._book = book

    def entry(
        self, memo: Any, *, date: Any = None, original_journal: ObjectId | str | None = None
    ) -> "NodeEntry":
        header = {"book": self._book, "memo": memo, "date": date, "originalJournal": original_journal}
        return NodeEntry(self._process, header)

    async def balance(
        self, account: Any = None, extra: dict[str, Any] | None = None, **bounds: Any
    ) -> Balance:
        answer = await self._call("balance", account, extra, bounds)
        return Balance(_as_printed(answer["balance"]), int(answer["notes"]))

    async def ledger(
        self,
        account: Any = None,
        extra: dict[str, Any] | None = None,
        *,
        per_page: int | None = None,
        page: int | None = None,
        **bounds: Any,
    ) -> LedgerPage[Transaction]:
        pages = {name: value for name, value in (("perPage", per_page), ("page", page)) if value is not None}
        answer = await self._call("ledger", account, extra, bounds | pages)
        return LedgerPage(
            [Transaction.from_document(document) for document in answer["results"]], int(answer["total"])
        )

    async def void(
        self,
        journal_id: ObjectId | str,
        reason: str | None = None,
        *,
        use_original_date: bool = False,
        session: NodeSession | None = None,
    ) -> Journal:
        journal = await self._process.call(
            "void",
            book=self._book,
            journal=journal_id,
            reason=reason,
            useOriginalDate=use_original_date,
            session=_number(session),
        )
        return Journal.from_document(journal)

    async def list_accounts(self) -> list[str]:
        accounts: list[str] = await self._process.call("listAccounts", book=self._book)
        return accounts

    async def writelock_accounts(self, accounts: list[str], *, session: NodeSession) -> None:
        await self._process.call(
            "writelockAccounts", book=self._book, accounts=accounts, session=_number(session)
        )

    async def _call(
        self, operation: str, account: Any, extra: dict[str, Any] | None, others: dict[str, Any]
    ) -> Any:
        session = _number(others.pop("session", None))
        query = others | (extra or {}) | ({} if account is None else {"account": account})
        return await self._process.call(operation, book=self._book, query=query, session=session)


class NodeEntry:
    """Node's ``Entry``; it comes into being when it is first committed."""

    def __init__(self, process: NodeProcess, header: dict[str, Any]) -> None:
        self._process = process
        self._header = header
        self._legs: list[tuple[Any, ...]] = []
        self._number: int | None = None

    def debit(self, account: Any, amount: Any, extra: dict[str, Any] | None = None) -> Self:
        self._legs.append(("debit", account, amount, extra))
        return self

    def credit(self, account: Any, amount: Any, extra: dict[str, Any] | None = None) -> Self:
        self._legs.append(("credit", account, amount, extra))
        return self

    async def commit(
        self,
        *,
        session: NodeSession | None = None,
        writelock_accounts: list[str] | re.Pattern[str] | None = None,
    ) -> Journal:
        locks: Any = writelock_accounts
        if isinstance(locks, re.Pattern):
            # With the flag that JavaScript programmers give a pattern they use for many texts.
            locks = {"pattern": locks.pattern, "flags": "g"}
        if self._number is None:
            self._number = await self._process.call("begin", **self._header, legs=self._legs)
        journal = await self._process.call(
            "commit", entry=self._number, session=_number(session), writelockAccounts=locks
        )
        # medici leaves a hole where a leg brought its own _id.
        journal["_transactions"] = [leg_id for leg_id in journal["_transactions"] if leg_id is not None]
        return Journal.from_document(journal)


def _number(session: NodeSession | None) -> int | None:
    return None if session is None else session.number


def _as_printed(number: float) -> Decimal:
    """Return a number of Node as Node prints it."""
    return Decimal(repr(number))
