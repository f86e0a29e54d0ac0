"""What a subscription missed in the stream of changes, read from the journals themselves.

Read are the journals committed until the cluster time of the recovery, after which the stream goes on, in
pages and constant memory. If that takes longer than the server keeps the moment (five minutes by default),
later pages are of newer moments: a journal that was committed after the cluster time may then come here, and
again from the stream, but none is left out.

A journal comes as it was inserted. A void comes where its reversal was recorded, before that; one whose
reversal never came, as a writer without transactions may leave it, does not come. If balances are asked for,
each account that was touched comes once, after the journals.
"""

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import ASCENDING

from medici_py.audit import Relation, WithLegs, relation
from medici_py.change_assembly import as_inserted, book_of, in_posting_order, is_complete, named_legs
from medici_py.change_entries import Entry, JournalEntry, VoidEntry, template_code
from medici_py.change_events import BalanceChanged, BookEvent, ChangePosition, JournalFlagged, JournalInserted
from medici_py.change_filter import ChangeFilter
from medici_py.driver import Document
from medici_py.durable_position import CLOCK_MARGIN, JournalKey, Progress, Recovery, read_to
from medici_py.errors import IncompleteJournalError
from medici_py.missed_balances import missed_balances
from medici_py.moving_snapshot import MovingSnapshot
from medici_py.recorded_page import RecordedPage, begins_at, crowded_page, legs_after, page_of
from medici_py.store import JOURNALS, TRANSACTIONS, Store
from medici_py.turnover_snapshot import path_of

LEGS_A_PAGE = 500

_EVERYTHING = Recovery(since=None, until=Timestamp(0, 0))


class DamagedJournalError(Exception):
    """A missed journal cannot be shown, for the reason in ``__cause__``; the rest follows *progress*."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.progress = progress


@dataclass(frozen=True, slots=True)
class _Page:
    """The documents of some journals, and of those that they may reverse.

    Attributes:
        journals: The journals.
        originals: Voided ones that they follow.
        reversed_exactly: Of those, by journals that only have the text of a reversal, the ones that another
            journal reverses.
    """

    journals: Mapping[ObjectId, WithLegs]
    originals: Mapping[ObjectId, WithLegs]
    reversed_exactly: Collection[ObjectId]


class MissedJournals:
    """Reads what subscriptions missed.

    Args:
        store: The database.
        wanted: Which events are asked for.
        legs_a_page: How many legs are looked at together.
    """

    def __init__(self, store: Store, wanted: ChangeFilter, *, legs_a_page: int = LEGS_A_PAGE) -> None:
        self._store = store
        self._wanted = wanted
        self._wanted_of_journals = replace(wanted, kinds=wanted.kinds - {BalanceChanged})
        self._books = [book.shape.name for book in wanted.books]
        self._legs_a_page = legs_a_page

    async def events(self, progress: Progress) -> AsyncGenerator[tuple[BookEvent, Progress]]:
        """Yield what the recovery of *progress* has still to hand out, and where each event leads.

        Raises:
            DamagedJournalError: If a journal cannot be shown.
        """
        recovery = progress.recovery
        if recovery is None:
            raise AssertionError("there is a recovery")
        snapshot = MovingSnapshot(self._store.database, recovery.until)
        skip, after, page = progress.skip, recovery.read_to, RecordedPage((), last=False)
        while not page.last:
            page = await self._next_page(snapshot, recovery, after)
            documents = await self._read(snapshot, [key.journal_id for key in page.keys])
            for key in page.keys:
                events = self._events_of(key, documents, recovery)
                for number, event in enumerate(events, start=1):
                    done = read_to(progress, key) if number == len(events) else replace(progress, skip=number)
                    if isinstance(event, Exception):
                        raise DamagedJournalError(done) from event
                    if number > skip:
                        yield event, done
                if events:
                    skip = 0
                progress, after = read_to(progress, key), key
        if after is not None and BalanceChanged in self._wanted.kinds:
            async for balance in missed_balances(self._store, self._wanted, recovery, last=after):
                yield balance, progress

    async def _next_page(
        self, snapshot: MovingSnapshot, recovery: Recovery, after: JournalKey | None
    ) -> RecordedPage:
        until = recovery.until.as_datetime() + CLOCK_MARGIN if snapshot.moved else None
        matches = legs_after(self._books, recovery, after, until=until)
        legs = await self._legs(snapshot, matches, {"timestamp": ASCENDING})
        page = page_of(legs, self._legs_a_page)
        if page is None:
            crowded = {"$and": [matches, {"timestamp": legs[0]["timestamp"]}]}
            page = crowded_page(await self._legs(snapshot, crowded, {"_journal": ASCENDING}))
        return page

    async def _legs(
        self, snapshot: MovingSnapshot, matches: Document, order: Mapping[str, int]
    ) -> list[Document]:
        return await snapshot.find(
            TRANSACTIONS,
            matches,
            sort=order,
            limit=self._legs_a_page,
            projection={"_id": 0, "timestamp": 1, "_journal": 1},
        )

    async def _read(self, snapshot: MovingSnapshot, journal_ids: Sequence[ObjectId]) -> _Page:
        journals = await self._with_legs(snapshot, {"_id": {"$in": list(journal_ids)}})
        followed = {
            leg["_original_journal"]
            for journal in journals.values()
            for leg in journal.legs
            if isinstance(leg.get("_original_journal"), ObjectId)
        }
        originals = await self._with_legs(snapshot, {"_id": {"$in": list(followed)}, "voided": True})
        doubtful = {
            original_id: original
            for original_id, original in originals.items()
            if any(_is(Relation.DIFFERS, original, journal) for journal in journals.values())
        }
        return _Page(journals, originals, await self._reversed_exactly(snapshot, doubtful))

    async def _reversed_exactly(
        self, snapshot: MovingSnapshot, originals: Mapping[ObjectId, WithLegs]
    ) -> Collection[ObjectId]:
        """Return which of *originals* a journal reverses, on whatever page that is.

        Reads the legs of the books from the first of *originals* on: no index leads to those who follow one.
        """
        times = [time for one in originals.values() if (time := begins_at(one.legs, _EVERYTHING)) is not None]
        if not times:
            return ()
        matches = {
            "book": {"$in": self._books},
            "timestamp": {"$gte": min(times) - CLOCK_MARGIN},
            "_original_journal": {"$in": list(originals)},
        }
        found = await snapshot.find(TRANSACTIONS, matches, projection={"_journal": 1})
        followers = await self._with_legs(snapshot, {"_id": {"$in": [leg.get("_journal") for leg in found]}})
        return {
            original_id
            for original_id, original in originals.items()
            if any(_is(Relation.REVERSES, original, follower) for follower in followers.values())
        }

    async def _with_legs(self, snapshot: MovingSnapshot, matches: Document) -> dict[ObjectId, WithLegs]:
        in_books = {"book": {"$in": self._books}}
        journals = {one["_id"]: one for one in await snapshot.find(JOURNALS, {**matches, **in_books})}
        if not journals:
            return {}
        legs: dict[ObjectId, list[Document]] = {journal_id: [] for journal_id in journals}
        for leg in await snapshot.find(TRANSACTIONS, {"_journal": {"$in": list(journals)}}):
            if isinstance(leg["_journal"], ObjectId):  # and no list of several
                legs[leg["_journal"]].append(leg)
        return {
            journal_id: WithLegs(journal, in_posting_order(journal, legs[journal_id]))
            for journal_id, journal in journals.items()
        }

    def _events_of(self, key: JournalKey, page: _Page, recovery: Recovery) -> list[BookEvent | Exception]:
        journal = page.journals.get(key.journal_id)
        if journal is None or begins_at(journal.legs, recovery) != key.recorded_at:
            return []  # Legs whose journal has not come (yet), or one that was met before.
        position = ChangePosition(None, recovery.until)
        entries: list[Entry] = [
            *_voids(key, journal, page, position),
            _journal_entry(key, journal, position),
        ]
        return [item for entry in entries for item in self._wanted_of_journals.items(entry)]


def _voids(key: JournalKey, journal: WithLegs, page: _Page, position: ChangePosition) -> Iterator[VoidEntry]:
    """Return the void that *journal* is the reversal of, if it is one."""
    for original_id, original in page.originals.items():
        differs = _is(Relation.DIFFERS, original, journal) and original_id not in page.reversed_exactly
        if not (differs or _is(Relation.REVERSES, original, journal)):
            continue
        reason = str(original.journal.get("void_reason") or "")
        yield VoidEntry(
            JournalFlagged(original_id, reason, position, key.recorded_at),
            before=position,
            identified=True,
            book=book_of(original.journal),
            template=template_code(original.journal),
            paths=[path_of(leg) for leg in original.legs],
        )


def _is(what: Relation, original: WithLegs, journal: WithLegs) -> bool:
    """Whether *journal* follows *original*, and is *what* to it."""
    followed = original.journal["_id"]
    if all(leg.get("_original_journal") != followed for leg in journal.legs):
        return False
    return relation(original, journal, ()) is what


def _journal_entry(key: JournalKey, journal: WithLegs, position: ChangePosition) -> JournalEntry:
    legs = [as_inserted(leg) for leg in journal.legs]
    entry = JournalEntry(
        JournalInserted(as_inserted(journal.journal), position, key.recorded_at),
        legs,
        counted=legs,
        before=position,
    )
    if not is_complete(journal.journal, journal.legs):
        entry.fault = IncompleteJournalError(
            journal_id=journal.journal["_id"],
            book=str(entry.book),
            expected=len(named_legs(journal.journal)),
            found=len(legs),
        )
    return entry
