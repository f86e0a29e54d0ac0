"""Makes the running balances of a book what its legs give, and switches them on or off.

Whoever posts adds the same to legs and rows in one transaction, so the difference between the two does not
change while others post. A rebuild therefore computes it at one moment and adds it in later transactions, to
rows that nobody else writes.

Each of these transactions moves the book's count of ``corrections`` on by one, from where the rebuild has
seen it: of two rebuilds at once one stops, and what a killed one has done stands. The next one computes what
is left.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from bson import Int64
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from medici_py.book_state import BookState
from medici_py.book_states import REMEMBERED_SECS
from medici_py.driver import Document
from medici_py.errors import MediciError, UnsupportedDeploymentError
from medici_py.instants import utc_now
from medici_py.long_snapshot import long_snapshot
from medici_py.rollups import drop_rollups
from medici_py.row_comparison import compared_rows, rows_of_book
from medici_py.store import Store
from medici_py.transactions import mongo_transaction

ROWS_A_TRANSACTION = 500

SETTLING = dt.timedelta(minutes=6)
"""How long reads of an earlier moment may come: the server keeps one for 5 minutes, clocks differ."""


class RebuildConflictError(MediciError):
    """Somebody else rebuilds the balances of the book; what this rebuild has done so far stands."""

    code = 400


class DimensionsChangedError(MediciError):
    """The running balances of the book are kept by other dimensions than those that were given.

    Attributes:
        stored: Where legs store the dimensions that the balances are kept by.
        given: Where they would store those that were given.
    """

    code = 400

    def __init__(self, message: str, *, stored: tuple[str, ...], given: tuple[str, ...]) -> None:
        super().__init__(message)
        self.stored = stored
        self.given = given


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far a rebuild is.

    Attributes:
        accounts: Running balances compared so far, those above others included.
        corrected: How many of them were wrong and are right now.
        dropped: Rows deleted so far.
    """

    accounts: int
    corrected: int
    dropped: int


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild has done.

    Attributes:
        state: How the book is kept now.
        accounts: Running balances that were compared, those above others included.
        corrected: How many of them were wrong.
        dropped: Rows that were deleted.
    """

    state: BookState
    accounts: int
    corrected: int
    dropped: int


READERS_FORGET_SECS = REMEMBERED_SECS + 1
"""After this long nobody remembers that a book kept running balances."""

Progress = Callable[[RebuildProgress], None]


async def rebuild_balances(
    store: Store,
    book: str,
    *,
    running_balances: bool,
    fields: tuple[str, ...],
    precision: int,
    progress: Progress | None = None,
    clock: Callable[[], dt.datetime] = utc_now,
) -> RebuildReport:
    """Make the running balances of a book the sums of its legs; begin to keep them, or stop.

    In a book that keeps them already this is safe at any moment, while others post. **To begin or to stop,
    stop all who write to the book first**, Node's medici too, and start them again 10 seconds after this
    returns: until then a process may remember how the book was kept before.

    Memory does not grow with the book. Killed at any line it leaves a book whose answers are right, or are as
    wrong as they were; run it again to finish.

    Args:
        store: The database.
        book: Name of the book.
        running_balances: Whether the book is to keep them.
        fields: Where its legs store the dimensions by which they are told apart.
        precision: Decimal places of its amounts; with others the answer is the same, only slower.
        progress: Told now and then, and after each transaction, how far it is.
        clock: The time.

    Raises:
        RebuildConflictError: If another rebuild of the book runs.
        RollUpUnderWayError: If a roll-up of the book ended at this moment; run it again.
        DimensionsChangedError: If the book keeps them by other dimensions: stop first, then begin anew.
        UnreadableDocumentError: If a leg's amount is no number, or a row cannot be read.
        CorrectionTooLargeError: If a balance cannot be held exactly.
        SnapshotExpiredError: If comparing took longer than the server keeps a moment.
        UnsupportedDeploymentError: If the server has no snapshots.
    """
    if not store.capabilities.transactions:
        raise UnsupportedDeploymentError("Rebuilding balances needs transactions, which mongomock has not.")
    run = _Rebuild(store, book, precision, progress, clock)
    state = await run.begin(fields, running_balances=running_balances)
    if not running_balances:
        await run.switch_off()
    elif state.running_balances:
        await run.correct(state)
    else:
        await run.correct(await run.prepare(state, fields))
        await run.switch_on()
    return RebuildReport(await run.state(), run.accounts, run.corrected, run.dropped)


@dataclass(slots=True)
class _Rebuild:
    """One run; where reads and writes matter they go to the primary, as a majority has it."""

    given: Store
    book: str
    precision: int
    progress: Progress | None
    clock: Callable[[], dt.datetime]
    accounts: int = 0
    corrected: int = 0
    dropped: int = 0
    corrections: int = 0
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        latest = self.given.database.with_options(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )
        self.store = Store(latest)

    async def state(self) -> BookState:
        """Return how the book is kept now."""
        stored = await self.store.books.find_one({"_id": self.book})
        if stored is None:
            raise self._conflict()
        return BookState.from_document(stored)

    async def begin(self, fields: tuple[str, ...], *, running_balances: bool) -> BookState:
        """Return how the book is kept, which is stored if nothing has been yet."""
        unknown = BookState(self.book, running_balances=False, fields=fields)
        with contextlib.suppress(DuplicateKeyError):
            await self.store.books.insert_one(unknown.to_document())
        state = await self.state()
        if running_balances and state.running_balances and state.fields != fields:
            raise DimensionsChangedError(
                f"The running balances of book {self.book!r} are kept by {_shown(state.fields)}, the rebuild "
                f"was asked for {_shown(fields)}. To change that, stop all who write to the book and rebuild "
                "it twice: with running_balances=False, which drops them, then with True.",
                stored=state.fields,
                given=fields,
            )
        self.corrections = state.corrections
        return state

    async def prepare(self, state: BookState, fields: tuple[str, ...]) -> BookState:
        """Make a book without running balances ready to keep them by the dimensions in *fields*."""
        if state.fields == fields:
            return state
        await self._drop_rows()  # What a killed rebuild may have left is told apart by other dimensions.
        await self._step({"fields": list(fields)})
        return replace(state, fields=fields)

    async def correct(self, state: BookState) -> None:
        """Make every row what the legs give."""
        task = f"Rebuilding the running balances of book {self.book!r}"
        waiting: list[Document] = []
        async with long_snapshot(self.store.client, task=task) as session:
            seen = await self.store.books.find_one({"_id": self.book}, session=session)
            # The rows that were seen are those that the corrections are added to.
            if seen is None or int(seen["corrections"]) != self.corrections:
                raise self._conflict()
            rows = compared_rows(
                self.store, self.book, state.fields, precision=self.precision, session=session
            )
            async with aclosing(rows):
                async for row in rows:
                    self.accounts += 1
                    if not row.is_right:
                        waiting.append(row.correction(self.book))
                    if len(waiting) == ROWS_A_TRANSACTION:
                        await self._write(waiting)
                        waiting = []
                    elif self.accounts % ROWS_A_TRANSACTION == 0:
                        self._tell()
        if waiting:
            await self._write(waiting)
        self._tell()

    async def switch_on(self) -> None:
        """Keep running balances from now on."""
        await drop_rollups(self.store, self.book)
        await self._step({"running_balances": True, "usable_from": self.clock() + SETTLING})

    async def switch_off(self) -> None:
        """Keep no running balances from now on, and drop those there are."""
        await self._step({"running_balances": False})
        # Readers that remember the old state would find nothing, or half.
        await asyncio.sleep(READERS_FORGET_SECS)
        await drop_rollups(self.store, self.book)
        await self._drop_rows()

    async def _drop_rows(self) -> None:
        while True:
            found = self.store.balance_rows.find(rows_of_book(self.book), {"_id": 1}).limit(
                ROWS_A_TRANSACTION
            )
            ids = [row["_id"] async for row in found]
            if not ids:
                return

            async def drop(session: AsyncClientSession, ids: list[Any] = ids) -> None:
                await self.store.balance_rows.delete_many({"_id": {"$in": ids}}, session=session)

            await self._step({}, drop)
            self.dropped += len(ids)
            self._tell()

    async def _write(self, corrections: list[Document]) -> None:
        async def write(session: AsyncClientSession) -> None:
            await self.store.update_rows(corrections, session=session)

        # Reads of a moment before the correction go to the entries.
        await self._step({"usable_from": self.clock() + SETTLING}, write)
        self.corrected += len(corrections)
        self._tell()

    async def _step(
        self,
        changes: Mapping[str, Any],
        write: Callable[[AsyncClientSession], Awaitable[None]] | None = None,
    ) -> None:
        """Change the state and write, in one transaction, unless another rebuild has done so meanwhile."""
        unchanged = {"_id": self.book, "corrections": self.corrections}
        update: Document = {"$inc": {"corrections": Int64(1)}}
        if changes:
            update["$set"] = dict(changes)

        async def step(session: AsyncClientSession) -> None:
            moved = await self.store.books.update_one(unchanged, update, session=session)
            if not moved.matched_count:
                raise self._conflict()
            if write is not None:
                await write(session)

        await mongo_transaction(self.store.client, step)
        self.corrections += 1

    def _conflict(self) -> RebuildConflictError:
        return RebuildConflictError(
            f"Another rebuild of the balances of book {self.book!r} runs; what this one has done so far "
            "stands. Run it again when the other one has ended."
        )

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(RebuildProgress(self.accounts, self.corrected, self.dropped))


def _shown(fields: tuple[str, ...]) -> str:
    return ", ".join(fields) or "no dimension"
