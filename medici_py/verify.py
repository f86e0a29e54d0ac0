"""The auditor of a book: recomputes everything from the journals and names every difference."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from bson import MaxKey, ObjectId
from pymongo import ASCENDING

from medici_py.audit import AuditRules
from medici_py.book_state import BookState
from medici_py.differences import Difference, KeyWithoutJournal, NotChecked
from medici_py.documents import Journal, Transaction
from medici_py.errors import UnreadableDocumentError
from medici_py.journal_audit import JournalAudit
from medici_py.long_snapshot import long_snapshot
from medici_py.rollup_check import check_rollups
from medici_py.rollups import RollUpRefusedError, RollUpUnderWayError
from medici_py.row_comparison import compared_rows, rows_of_book
from medici_py.store import Store
from medici_py.template_audit import unregistered_templates
from medici_py.void_audit import VoidAudit

MAX_DIFFERENCES = 1_000
SUSPECTS_A_LOOK = 1_000
LOOK_AGAIN_SECS = 2.0
KEYS_A_CHUNK = 1_000
ROWS_A_REPORT = 1_000


class Stage(Enum):
    """What an auditor is at."""

    JOURNALS = "journals and legs"
    VOIDS = "voids"
    KEYS = "keys"
    BALANCES = "running balances"
    ROLL_UPS = "roll-ups"


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far an auditor has come.

    Attributes:
        stage: What it is at.
        done: Legs, keys or rows of accounts that it has read in this stage.
        total: Of how many, about; None if that is not known.
    """

    stage: Stage
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What an auditor has found.

    Attributes:
        book: Name of the book.
        journals: Journals that were read.
        legs: Legs that were read.
        accounts: Running balances that were compared, accounts above others and the book included.
        differences: The first differences.
        differences_found: How many there are.
    """

    book: str
    journals: int
    legs: int
    accounts: int
    differences: tuple[Difference, ...]
    differences_found: int

    @property
    def clean(self) -> bool:
        """Whether there is no difference."""
        return not self.differences_found


Progress = Callable[[VerifyProgress], None]


class _TwoLooks(Protocol):
    def suspects(self) -> AsyncGenerator[Any]: ...

    async def differences(self, journal_ids: Sequence[Any]) -> list[Difference]: ...


async def verify_book(
    store: Store,
    book: str,
    *,
    precision: int,
    fields: tuple[str, ...] = (),
    transaction_model: type[Transaction] = Transaction,
    journal_model: type[Journal] = Journal,
    progress: Progress | None = None,
    max_differences: int = MAX_DIFFERENCES,
    look_again_secs: float = LOOK_AGAIN_SECS,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> VerifyReport:
    """Hold a book against its own journals.

    Every journal that is posted before the call is checked, in memory that does not grow with the book, while
    others post: journals and legs are read in chunks of one moment each, the running balances and the legs
    they stand for at one moment. What a writer without transactions may have left half done at that moment
    counts only if it still is a little later.

    Args:
        store: The database.
        book: Name of the book.
        precision: Decimal places of its amounts; with others the answer is the same, only slower.
        fields: Where its legs store the dimensions in each of which journals must balance.
        transaction_model: The model of its legs.
        journal_model: The model of its journals.
        progress: Told now and then how far it is.
        max_differences: How many differences are named; the others are counted.
        look_again_secs: How long what looks wrong may take to become right.
        pause: Waits so long.

    Raises:
        SnapshotExpiredError: If the server no longer had the moment that was read.
        UnsupportedDeploymentError: If the server has no snapshots.
    """
    rules = AuditRules(book, fields, transaction_model, journal_model)
    audit = _BookAudit(store, rules, precision, progress or _silent, _Findings(max_differences))
    total = await store.transactions.count_documents({"book": book})
    journals = JournalAudit(
        store, rules, lambda done: audit.progress(VerifyProgress(Stage.JOURNALS, done, max(done, total)))
    )
    await audit.look_twice(journals, look_again_secs, pause)
    audit.progress(VerifyProgress(Stage.VOIDS, 0))
    await audit.look_twice(VoidAudit(store, rules), look_again_secs, pause)
    audit.findings.add(await unregistered_templates(store, book))
    await audit.check_keys()
    accounts = await audit.check_balances()
    findings = audit.findings
    return VerifyReport(
        book, journals.journals, journals.legs, accounts, tuple(findings.named), findings.count
    )


def _silent(_: VerifyProgress) -> None:
    return


@dataclass(slots=True)
class _Findings:
    """Differences, the first of them by name."""

    at_most: int
    named: list[Difference] = field(default_factory=list)
    count: int = 0

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.count += 1
            if len(self.named) < self.at_most:
                self.named.append(difference)


@dataclass(frozen=True, slots=True)
class _BookAudit:
    """One run of the auditor."""

    store: Store
    rules: AuditRules
    precision: int
    progress: Progress
    findings: _Findings

    async def look_twice(
        self, audit: _TwoLooks, look_again_secs: float, pause: Callable[[float], Awaitable[None]]
    ) -> None:
        """Add what is wrong about those whom *audit* suspects, and still is when they are looked at again."""
        suspects: list[Any] = []

        async def look_again() -> None:
            await pause(look_again_secs)
            self.findings.add(await audit.differences(suspects))
            suspects.clear()

        found = audit.suspects()
        async with aclosing(found):
            async for suspect in found:
                suspects.append(suspect)
                if len(suspects) >= SUSPECTS_A_LOOK:
                    await look_again()
        if suspects:
            await look_again()

    async def check_keys(self) -> None:
        """Add idempotency keys whose journal is not there."""
        book = self.rules.book
        task = f"Verifying the keys of book {book!r}"
        beyond = {"book": book, "key": MaxKey()}
        after: Mapping[str, Any] = {"book": book}
        done = 0
        while True:
            async with long_snapshot(self.store.client, task=task) as session:
                cursor = self.store.keys.find({"_id": {"$gt": after, "$lt": beyond}}, session=session)
                keys = [key async for key in cursor.sort("_id", ASCENDING).limit(KEYS_A_CHUNK)]
                named = [key.get("journal") for key in keys]
                ids = [journal for journal in named if isinstance(journal, ObjectId)]
                wanted = {"_id": {"$in": ids}, "book": book}
                journals = self.store.journals.find(wanted, {"_id": 1}, session=session)
                there = {journal["_id"] async for journal in journals}
            self.findings.add(
                KeyWithoutJournal(book, key["_id"]["key"], journal)
                for key, journal in zip(keys, named, strict=True)
                if not isinstance(journal, ObjectId) or journal not in there
            )
            done += len(keys)
            self.progress(VerifyProgress(Stage.KEYS, done))
            if len(keys) < KEYS_A_CHUNK:
                return
            after = keys[-1]["_id"]

    async def check_balances(self) -> int:
        """Add running balances that are not the sums of their legs; return how many were compared."""
        book = self.rules.book
        task = f"Verifying the running balances of book {book!r}"
        accounts = 0
        async with long_snapshot(self.store.client, task=task) as session:
            stored = await self.store.books.find_one({"_id": book}, session=session)
            if stored is None or not stored["running_balances"]:
                return 0
            state = BookState.from_document(stored)
            total = await self.store.balance_rows.count_documents(rows_of_book(book), session=session)
            rows = compared_rows(self.store, book, state.fields, precision=self.precision, session=session)
            try:
                async with aclosing(rows):
                    async for row in rows:
                        self.findings.add(row.differences(book))
                        accounts += 1
                        if accounts % ROWS_A_REPORT == 0:
                            self.progress(VerifyProgress(Stage.BALANCES, accounts, max(accounts, total)))
            except UnreadableDocumentError as exc:
                self.findings.add([NotChecked(book, "running balances", str(exc))])
        self.progress(VerifyProgress(Stage.BALANCES, accounts, accounts))
        await self._check_rollups(state)
        return accounts

    async def _check_rollups(self, state: BookState) -> None:
        self.progress(VerifyProgress(Stage.ROLL_UPS, 0))
        try:
            self.findings.add(await check_rollups(self.store, state, precision=self.precision))
        except (UnreadableDocumentError, RollUpUnderWayError, RollUpRefusedError) as exc:
            self.findings.add([NotChecked(self.rules.book, "roll-ups", str(exc))])
