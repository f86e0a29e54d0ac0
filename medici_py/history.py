"""Answers what a book said at a past moment, or of a past date, from roll-ups and the legs at their edges."""

import datetime as dt
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

from medici_py.balances import EntrySums
from medici_py.book_state import BookState
from medici_py.driver import Collection, Document, has_transaction, snapshot_session
from medici_py.history_plan import Reading, plan_reading
from medici_py.instants import utc_now
from medici_py.query import LegQuery
from medici_py.rollup_rows import ROLLUPS, RolledUp, row_sums, rows_in
from medici_py.running_balances import wanted_dimensions
from medici_py.running_rows import ROOT, matching, rows_of
from medici_py.store import ReadOptions, Store
from medici_py.sums import Sums


class History:
    """Turnover as of a moment; the same answer as the entries give, at the cost of few rows and one day.

    Everything of one answer is read in one snapshot, the state of the roll-ups too, so that it is exact while
    others post and while a roll-up is under way.

    Args:
        store: The database.
        precision: Decimal places of the book.
        clock: The time, which decides what is quicker to read.
    """

    def __init__(self, store: Store, *, precision: int, clock: Callable[[], dt.datetime] = utc_now) -> None:
        self._store = store
        self._entries = EntrySums(store, precision=precision)
        self._clock = clock

    async def turnover(self, query: LegQuery, state: BookState, options: ReadOptions) -> Sums | None:
        """Return the sums over the legs that *query* matches, or None where roll-ups do not help.

        They do not if it asks for anything but accounts, dimension values and time; with a read concern of
        its own, or in a session that has neither a transaction nor a snapshot; if the book keeps no running
        balances; and where the entries are as quick.

        Args:
            query: The question; bounded by ``at``, ``start`` or ``end``.
            state: How the book is kept, as last read.
            options: How to read.
        """
        if not self._may_answer(query, state, options):
            return None
        if options.session is not None:
            return await self._answer(query, options)
        async with snapshot_session(self._store.client) as session:
            return await self._answer(query, replace(options, session=session))

    def _may_answer(self, query: LegQuery, state: BookState, options: ReadOptions) -> bool:
        session = options.session
        return (
            state.running_balances
            and self._store.capabilities.transactions
            and query.after_leg is None
            and query.until_leg is None
            and options.read_concern is None
            and (session is None or has_transaction(session) or bool(session.options.snapshot))
        )

    async def _answer(self, query: LegQuery, options: ReadOptions) -> Sums | None:
        books = self._reading(self._store.books, options)
        found = await books.find_one({"_id": query.book}, session=options.session)
        if found is None:
            return None
        state, now = BookState.from_document(found), self._clock()
        wanted = wanted_dimensions(query, state.fields)
        if wanted is None or not state.running_balances or now < state.usable_from:
            return None
        rolled = RolledUp.from_document(state.rolled_up)
        if rolled.fields != state.fields:
            rolled = RolledUp()
        total = Sums()
        for covered, part in _by_coverage(query, rolled).items():
            reading = plan_reading(part, covered=covered, now=now)
            if reading is None:
                return None
            total += await self._read(part, reading, rolled.generation, wanted, options)
        return total

    async def _read(
        self,
        query: LegQuery,
        reading: Reading,
        generation: int,
        wanted: Mapping[int, Hashable],
        options: ReadOptions,
    ) -> Sums:
        paths = query.paths or (ROOT,)
        if reading.from_running:
            rows = await self._rows(
                self._store.balance_rows, [rows_of(query.book, path) for path in paths], options
            )
            total = matching(rows, wanted)
        else:
            spans = rows_in(query.book, generation, paths, reading.kind, reading.spans)
            rows = await self._rows(self._store.database[ROLLUPS], spans, options)
            total = sum((row_sums(row) for row in rows if _matches(row, wanted)), Sums())
        for added in reading.added:
            total += await self._entries.turnover(added, options)
        for removed in reading.removed:
            total += _negative(await self._entries.turnover(removed, options))
        return total

    async def _rows(
        self, collection: Collection, ranges: list[Document], options: ReadOptions
    ) -> list[Document]:
        wanted = ranges[0] if len(ranges) == 1 else {"$or": ranges}
        found = self._reading(collection, options).find(wanted, session=options.session)
        return [row async for row in found]

    def _reading(self, collection: Collection, options: ReadOptions) -> Collection:
        if has_transaction(options.session):
            return collection
        return collection.with_options(read_preference=options.read_preference)


def _by_coverage(query: LegQuery, rolled: RolledUp) -> dict[dt.datetime | None, LegQuery]:
    """Divide a question by how far its accounts are rolled up: while a roll-up is under way, in two."""
    if query.paths is None:
        return {rolled.covered(ROOT): query}
    covered = {path: rolled.covered(path) for path in query.paths}
    return {
        bound: replace(query, paths=tuple(path for path in query.paths if covered[path] == bound))
        for bound in dict.fromkeys(covered.values())
    }


def _matches(row: Document, wanted: Mapping[int, Hashable]) -> bool:
    return all(row["_id"]["dims"][place] == value for place, value in wanted.items())


def _negative(sums: Sums) -> Sums:
    return Sums(sums.debit.copy_negate(), sums.credit.copy_negate(), -sums.notes)
