"""Reads the journals of a book with all legs, in chunks that are each of one moment, and judges them.

One pass in the order of journal ids, over journals and legs side by side: a leg that comes where no journal
of the book stands is an orphan.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import bson
from bson import ObjectId
from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.cursor import AsyncCursor

from medici_py.audit import AuditRules, judge_journal, judge_orphan
from medici_py.differences import Difference
from medici_py.driver import Document, aggregate
from medici_py.long_snapshot import long_snapshot
from medici_py.store import Store

JOURNALS_A_CHUNK = 1_000
LEGS_A_CHUNK = 20_000
LEGS_A_BATCH = 1_000

_FIRST_ID = ObjectId(b"\x00" * 12)
_LAST_ID = ObjectId(b"\xff" * 12)
_INDEX = "_journal_1"


class JournalAudit:
    """Finds what is wrong with the journals of a book, in two looks.

    Node's medici writes legs, journal and flags one after the other, so that a first look may fall between
    two of its writes. What it finds is only suspected, and looked at again later.

    Args:
        store: The database.
        rules: What journals are held against.
        progress: Told the number of legs that were read.

    Attributes:
        journals: Journals read so far.
        legs: Legs read so far.
    """

    def __init__(self, store: Store, rules: AuditRules, progress: Callable[[int], None]) -> None:
        self.journals = 0
        self.legs = 0
        self._store = store
        self._rules = rules
        self._progress = progress
        self._hint: str | None = None

    async def suspects(self) -> AsyncGenerator[Any]:
        """Yield the ids of journals, stored or only named by a leg, that do not look right."""
        # Without the index, which Node declares, too, the server sorts: slower, and as right.
        if _INDEX in await self._store.transactions.index_information():
            self._hint = _INDEX
        async for strange in self._strange_ids():
            yield strange
        after: ObjectId | None = None
        while True:
            suspects, after = await self._first_look(after)
            for suspect in suspects:
                yield suspect
            self._progress(self.legs)
            if after is None:
                return

    async def differences(self, journal_ids: Sequence[Any]) -> list[Difference]:
        """Look at these journals at one moment and return what is wrong."""
        wanted = {"$in": list(journal_ids)}
        found: list[Difference] = []
        async with self._snapshot() as session:
            stored = {
                _hashable(journal["_id"]): journal
                async for journal in self._store.journals.find({"_id": wanted}, session=session)
            }
            groups = _by_journal(self._sorted_legs({"_journal": wanted}, session))
            async with aclosing(groups):
                async for journal_id, legs in groups:
                    found += self._judge(stored.pop(_hashable(journal_id), None), legs)
            for journal in stored.values():
                found += self._judge(journal, [])
        return found

    def _judge(self, journal: Document | None, legs: Sequence[Document]) -> Sequence[Difference]:
        book = self._rules.book
        if journal is not None and journal.get("book") == book:
            return judge_journal(journal, legs, self._rules)
        return [judge_orphan(leg, journal, book) for leg in legs if leg.get("book") == book]

    async def _strange_ids(self) -> AsyncGenerator[Any]:
        """Yield ids that are no ObjectIds: the pass in their order does not meet them."""
        for collection, name in ((self._store.journals, "_id"), (self._store.transactions, "_journal")):
            strange: Document = {"book": self._rules.book, name: {"$not": {"$type": "objectId"}}}
            stages: list[Document] = [{"$match": strange}, {"$group": {"_id": f"${name}"}}]
            async for row in await aggregate(collection, stages, allowDiskUse=True):
                yield row.get("_id")

    async def _first_look(self, after: ObjectId | None) -> tuple[list[ObjectId], ObjectId | None]:
        """Read on after a journal; return who is suspected, and how far that went (None: to the end)."""
        suspects: list[ObjectId] = []
        async with self._snapshot() as session:
            chunk, until = await self._next_journals(after, session)
            unseen = {journal["_id"]: journal for journal in chunk}
            read = 0
            groups = _by_journal(self._sorted_legs(self._legs_of(list(unseen), after, until), session))
            async with aclosing(groups):
                async for journal_id, legs in groups:
                    if self._judge(unseen.pop(journal_id, None), legs):
                        suspects.append(journal_id)
                    read += len(legs)
                    if read >= LEGS_A_CHUNK:
                        until = journal_id
                        break
        without_legs = [one for one in unseen if until is None or one <= until]
        suspects += [one for one in without_legs if self._judge(unseen[one], [])]
        self.journals += sum(1 for journal in chunk if until is None or journal["_id"] <= until)
        self.legs += read
        return suspects, until

    async def _next_journals(
        self, after: ObjectId | None, session: AsyncClientSession
    ) -> tuple[list[Document], ObjectId | None]:
        """Return the next journals; with the id of the last one, if there may be more."""
        mine = {"book": self._rules.book, "_id": _beyond(after)}
        cursor = self._store.journals.find(mine, session=session).sort("_id", ASCENDING)
        journals: list[Document] = []
        named = 0
        try:
            async for journal in cursor.limit(JOURNALS_A_CHUNK):
                journals.append(journal)
                legs = journal.get("_transactions")
                named += len(legs) if isinstance(legs, list) else 0
                if named >= LEGS_A_CHUNK or len(journals) == JOURNALS_A_CHUNK:
                    return journals, journals[-1]["_id"]
        finally:
            await cursor.close()
        return journals, None

    def _legs_of(self, journals: list[ObjectId], after: ObjectId | None, until: ObjectId | None) -> Document:
        reach = {**_beyond(after), "$lte": _LAST_ID if until is None else until}
        # A leg of another book under a journal of this one is wrong, and so is the reverse.
        return {"_journal": reach, "$or": [{"book": self._rules.book}, {"_journal": {"$in": journals}}]}

    def _sorted_legs(self, wanted: Mapping[str, Any], session: AsyncClientSession) -> AsyncCursor[Document]:
        cursor = self._store.transactions.find(
            dict(wanted), session=session, allow_disk_use=True, batch_size=LEGS_A_BATCH
        ).sort("_journal", ASCENDING)
        return cursor.hint(self._hint) if self._hint else cursor

    def _snapshot(self) -> AbstractAsyncContextManager[AsyncClientSession]:
        return long_snapshot(self._store.client, task=f"Verifying the journals of book {self._rules.book!r}")


def _beyond(after: ObjectId | None) -> Document:
    return {"$gte": _FIRST_ID} if after is None else {"$gt": after}


async def _by_journal(cursor: AsyncCursor[Document]) -> AsyncGenerator[tuple[Any, list[Document]]]:
    """Yield the legs of each journal together; *cursor* gives them in that order."""
    legs: list[Document] = []
    try:
        async for leg in cursor:
            if legs and leg.get("_journal") != legs[0].get("_journal"):
                yield legs[0].get("_journal"), legs
                legs = []
            legs.append(leg)
        if legs:
            yield legs[0].get("_journal"), legs
    finally:
        await cursor.close()


def _hashable(journal_id: Any) -> bytes:
    return bson.encode({"_id": journal_id})
