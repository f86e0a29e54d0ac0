"""The job that rolls a book up, drops its roll-ups, and checks them against the entries.

A roll-up adds what was recorded between two midnights to the rows of `medici_py.rollup_rows`. It takes the
accounts in descending order and writes some thousand rows in a transaction, which also moves `RolledUp` in
the book's state on from exactly where the job found it. So a job that is killed goes on where it was; of two
at once one notices and stops; and who reads the state and the rows in one snapshot knows for each account
what its rows hold, also while a job is under way.

Legs are rolled up once nobody can still be recording at that time: MongoDB ends a transaction after 60
seconds by default (``transactionLifetimeLimitSeconds``) and clocks may differ; *settle_secs* is longer than
both together.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from bson import Int64
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from medici_py.accounts import Path
from medici_py.book_state import BookState
from medici_py.driver import Collection, Document
from medici_py.errors import MediciError, UnsupportedDeploymentError
from medici_py.rollup_rows import (
    ROLLUPS,
    Bucket,
    RolledUp,
    bucket_of,
    count_legs,
    path_of,
    row_id,
    row_sums,
    rows_before_generation,
    stored_sums,
)
from medici_py.rollup_stream import RecordedLegs
from medici_py.store import Store
from medici_py.sums import Sums
from medici_py.transactions import mongo_transaction

SETTLE_SECS = 300

SLICE = dt.timedelta(days=31)
"""How much recorded time one pass over the accounts takes."""

ROWS_A_TRANSACTION = 2_000


class RollUpRefusedError(MediciError):
    """The book keeps no running balances: Node's medici may write to its past, and nothing there is final."""

    code = 400


class RollUpUnderWayError(MediciError):
    """Somebody else rolls the book up, drops its roll-ups or rebuilds it; what was done so far stands."""

    code = 400


@dataclass(frozen=True, slots=True)
class RollUpProgress:
    """How far a roll-up is.

    Attributes:
        before: The midnight UTC to which this pass takes the rows.
        target: The one at which the job ends.
        accounts: Accounts that the pass has written.
    """

    before: dt.datetime
    target: dt.datetime
    accounts: int


@dataclass(frozen=True, slots=True)
class RollUpReport:
    """What a roll-up did.

    Attributes:
        book: Name of the book.
        before: The rows hold the legs recorded before this midnight UTC.
        legs: Legs that were added.
        rows: Rows that were written.
    """

    book: str
    before: dt.datetime
    legs: int
    rows: int


Progress = Callable[[RollUpProgress], None]


async def roll_up(
    store: Store,
    state: BookState,
    *,
    precision: int,
    now: dt.datetime,
    settle_secs: int = SETTLE_SECS,
    progress: Progress | None = None,
) -> RollUpReport:
    """Roll a book up to the last midnight UTC that is at least *settle_secs* ago.

    Safe while others post and read. It may be killed at any moment and run again; what was rolled up under
    other dimensions is dropped first.

    Args:
        store: The database.
        state: How the book is kept, as last read; the stored one decides.
        precision: Decimal places of the book.
        now: The time.
        settle_secs: Longer than a transaction may last and clocks may differ, together.
        progress: Called after each transaction.

    Raises:
        RollUpRefusedError: If the book keeps no running balances.
        RollUpUnderWayError: If somebody else rolls it up at this moment.
        UnreadableDocumentError: If a leg's amount is no number, or its recorded time no time.
        UnknownOutcomeError: If the server could not be asked whether a step was done; run it again.
        UnsupportedDeploymentError: If the database has no transactions.
    """
    if not store.capabilities.transactions:
        raise UnsupportedDeploymentError("Roll-ups need transactions; use a real MongoDB for this.")
    current = await read_state(store, state.book)
    rolled = RolledUp.from_document(current.rolled_up)
    if rolled.before is None and rolled.to is None:
        rolled = replace(rolled, fields=current.fields)
    elif rolled.fields != current.fields:
        await drop_rollups(store, state.book)
        rolled = replace(await _read_rolled_up(store, state.book), fields=current.fields)
    job = _Job(store, current, precision, midnight(now - dt.timedelta(seconds=settle_secs)), progress)
    return await job.run(rolled)


async def drop_rollups(store: Store, book: str) -> int:
    """Drop the roll-ups of a book; questions about its past are then answered from the entries.

    Safe at any moment: the rows stop counting in one step, and are deleted afterwards. What a killed run has
    left is deleted by the next one, or by the next roll-up.

    Returns:
        The number of rows that were deleted.

    Raises:
        RollUpUnderWayError: If somebody else changed the roll-ups at this moment.
    """
    books = _books(store)
    found = await books.find_one({"_id": book})
    if found is None:
        return 0
    rolled = RolledUp.from_document(found.get("rolled_up"))
    dropped = RolledUp(step=rolled.step + 1, generation=rolled.generation + 1)
    moved = await books.update_one(
        {"_id": book, **_standing_at(rolled)}, {"$set": {"rolled_up": dropped.to_document()}}
    )
    if not moved.matched_count:
        raise _under_way(book)
    return await _delete_dropped(store, book, dropped.generation)


async def read_state(store: Store, book: str) -> BookState:
    """Return how a book is kept, as a majority of the servers has it now.

    Raises:
        RollUpRefusedError: If it keeps no running balances.
    """
    found = await _books(store).find_one({"_id": book})
    if found is None or not found["running_balances"]:
        raise RollUpRefusedError(
            f"Book {book!r} keeps no running balances, so nothing of its past is final and nothing can be "
            "rolled up. Run rebuild_balances() (medici rebuild) first if only medici_py writes it."
        )
    return BookState.from_document(found)


def midnight(instant: dt.datetime) -> dt.datetime:
    """Return the beginning of the day of *instant*, in UTC."""
    return instant.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def rollups_of(store: Store) -> Collection:
    """Return the rows of roll-ups as a majority of the servers has them now."""
    return _latest(store.database[ROLLUPS])


@dataclass(slots=True)
class _Job:
    """One run of the roll-up of one book."""

    store: Store
    state: BookState
    precision: int
    target: dt.datetime
    progress: Progress | None
    legs: int = 0
    rows: int = 0
    accounts: int = 0
    waiting: list[tuple[Path, Bucket, Sums]] = field(default_factory=list)

    async def run(self, rolled: RolledUp) -> RollUpReport:
        await _delete_dropped(self.store, self.state.book, rolled.generation)
        while rolled.to is not None or rolled.before is None or rolled.before < self.target:
            rolled = await self._slice(rolled)
        assert rolled.before is not None
        return RollUpReport(self.state.book, rolled.before, self.legs, self.rows)

    async def _slice(self, rolled: RolledUp) -> RolledUp:
        """Take all accounts from one midnight to another."""
        recorded = RecordedLegs(self.store, self.state.book, rolled.fields, precision=self.precision)
        before = rolled.to or self._end_of_slice(await recorded.oldest(rolled.before))
        self.accounts = 0
        if rolled.before is None:
            await recorded.refuse_undated()
        accounts = recorded.by_account(rolled.before, before)
        async with aclosing(accounts):
            async for path, buckets in accounts:
                if rolled.done is not None and path >= rolled.done:
                    continue  # An earlier run, or the last transaction of this one, has written it.
                self.waiting.extend((path, bucket, sums) for bucket, sums in buckets.items())
                self.accounts += 1
                if not path:
                    self.legs += count_legs(buckets)
                elif len(self.waiting) >= ROWS_A_TRANSACTION:
                    rolled = await self._write(
                        rolled, replace(rolled, step=rolled.step + 1, to=before, done=path)
                    )
        finished = replace(rolled, step=rolled.step + 1, before=before, to=None, done=None)
        return await self._write(rolled, finished)

    def _end_of_slice(self, oldest: dt.datetime | None) -> dt.datetime:
        if oldest is None or oldest >= self.target - SLICE:
            return self.target
        return midnight(oldest) + SLICE

    async def _write(self, rolled: RolledUp, moved: RolledUp) -> RolledUp:
        """Add what is waiting to the rows, and move the state on, in one transaction."""
        added = self.waiting

        async def write(session: AsyncClientSession) -> None:
            await self._move(rolled, moved, session)
            if added:
                await self._add_to_rows(rolled.generation, added, session)

        await mongo_transaction(self.store.client, write)
        self.waiting = []
        self.rows += len(added)
        if self.progress is not None and (before := moved.to or moved.before) is not None:
            self.progress(RollUpProgress(before, self.target, self.accounts))
        return moved

    async def _move(self, rolled: RolledUp, moved: RolledUp, session: AsyncClientSession) -> None:
        book = self.state.book
        unchanged = {
            "_id": book,
            "running_balances": True,
            "fields": list(moved.fields),
            **_standing_at(rolled),
        }
        update = {"$set": {"rolled_up": moved.to_document()}}
        result = await self.store.books.update_one(unchanged, update, session=session)
        if not result.matched_count:
            raise _under_way(book)

    async def _add_to_rows(
        self, generation: int, added: list[tuple[Path, Bucket, Sums]], session: AsyncClientSession
    ) -> None:
        # Read and written back rather than incremented: the server would round what 34 digits do not hold.
        collection = self.store.database[ROLLUPS]
        ids = [row_id(self.state.book, generation, path, bucket) for path, bucket, _ in added]
        found = collection.find({"_id": {"$in": ids}}, session=session)
        present = {(path_of(row), bucket_of(row)): row_sums(row) async for row in found}
        fresh: list[Document] = []
        changed: list[UpdateOne] = []
        for identity, (path, bucket, sums) in zip(ids, added, strict=True):
            before = present.get((path, bucket))
            if before is None:
                fresh.append({"_id": identity, **stored_sums(sums)})
            else:
                changed.append(UpdateOne({"_id": identity}, {"$set": stored_sums(before + sums)}))
        if fresh:
            await collection.insert_many(fresh, ordered=False, session=session)
        if changed:
            await collection.bulk_write(changed, ordered=False, session=session)


async def _read_rolled_up(store: Store, book: str) -> RolledUp:
    return RolledUp.from_document((await read_state(store, book)).rolled_up)


async def _delete_dropped(store: Store, book: str, generation: int) -> int:
    deleted = await rollups_of(store).delete_many(rows_before_generation(book, generation))
    return deleted.deleted_count


def _standing_at(rolled: RolledUp) -> Document:
    return {"rolled_up.step": Int64(rolled.step)} if rolled.step else {"rolled_up": None}


def _under_way(book: str) -> RollUpUnderWayError:
    return RollUpUnderWayError(
        f"The roll-ups of book {book!r} were changed by somebody else: another roll-up, or a rebuild, runs. "
        "What was rolled up so far stands; run it again later to be sure that all of it is."
    )


def _books(store: Store) -> Collection:
    return _latest(store.books)


def _latest(collection: Any) -> Collection:
    latest: Collection = collection.with_options(
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", j=True),
    )
    return latest
