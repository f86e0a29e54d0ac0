"""Checks that each voided journal of a book is reversed by exactly one other, and no other journal by any.

A journal that another one has taken back without a void is right if that one swaps its sides, and wrong if it
was voided besides: Node's medici does not look whether it was taken back.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.audit import AuditRules, Relation, WithLegs, judge_void, relation
from medici_py.differences import Difference
from medici_py.driver import Document, aggregate
from medici_py.journal_header import TAKEN_BACK_BY, taken_back_by
from medici_py.long_snapshot import long_snapshot
from medici_py.store import JOURNALS, Store

PAIRS_A_CHUNK = 500


@dataclass(slots=True)
class _Case:
    """A journal that is voided, taken back or referred to, and who refers to it or has taken it back."""

    original: WithLegs
    followers: dict[Any, Relation] = field(default_factory=dict)
    undone: set[Any] = field(default_factory=set)


class VoidAudit:
    """Finds what is wrong with the voids of a book, in two looks as `medici_py.journal_audit.JournalAudit`.

    No index leads from a journal to those that refer to it, so the server collects and sorts them once.

    Args:
        store: The database.
        rules: Those of the book.
    """

    def __init__(self, store: Store, rules: AuditRules) -> None:
        self._store = store
        self._rules = rules

    async def suspects(self) -> AsyncGenerator[Any]:
        """Yield the ids of journals that do not look reversed as they should be."""
        async with self._snapshot() as session:
            async for journal_id, _ in self._judged({"$type": "objectId"}, session, one_moment=False):
                yield journal_id

    async def differences(self, journal_ids: Sequence[Any]) -> list[Difference]:
        """Look at these journals at one moment and return what is wrong."""
        found: list[Difference] = []
        async with self._snapshot() as session:
            async for _, differences in self._judged({"$in": list(journal_ids)}, session, one_moment=True):
                found += differences
        return found

    async def _judged(
        self, wanted: Mapping[str, Any], session: AsyncClientSession, *, one_moment: bool
    ) -> AsyncGenerator[tuple[Any, list[Difference]]]:
        """Yield the journals with differences.

        Args:
            wanted: What the ids of journals must match.
            session: Whose snapshot is read.
            one_moment: Whether the journals are read in it, too; else each chunk of them in a newer one, as
                the first may be too old by then.
        """
        case: _Case | None = None
        pairs = await aggregate(
            self._store.transactions,
            self._pairs(wanted),
            session=session,
            allowDiskUse=True,
            batchSize=PAIRS_A_CHUNK,
        )
        chunks = _chunks(pairs)
        async with aclosing(chunks):
            async for chunk in chunks:
                lookups: AbstractAsyncContextManager[AsyncClientSession] = (
                    nullcontext(session) if one_moment else self._snapshot()
                )
                async with lookups as moment:
                    read = await self._read(chunk, moment)
                for original, follower in chunk:
                    if original not in read:
                        continue  # Of another book, or gone: whoever refers to it is free to.
                    if case is None or case.original.journal["_id"] != original:
                        if case is not None and (found := self._judge(case)):
                            yield case.original.journal["_id"], found
                        case = _Case(read[original])
                    if follower in read:
                        self._add(case, read[follower])
        if case is not None and (found := self._judge(case)):
            yield case.original.journal["_id"], found

    def _add(self, case: _Case, follower: WithLegs) -> None:
        what = relation(case.original, follower, self._rules.fields)
        follower_id = follower.journal["_id"]
        if what is Relation.FOLLOWS and follower_id != taken_back_by(case.original.journal):
            return
        case.followers[follower_id] = what
        if follower.journal.get("voided"):
            case.undone.add(follower_id)

    def _judge(self, case: _Case) -> list[Difference]:
        return judge_void(case.original, case.followers, self._rules, undone=case.undone)

    def _pairs(self, wanted: Mapping[str, Any]) -> list[Document]:
        """Return the stages that give who refers to whom, who has taken back whom, and who is voided.

        In the order of the journals that this is about.
        """
        book = self._rules.book
        taken_back = {TAKEN_BACK_BY: {"$type": "objectId"}}
        taker = {
            "$cond": [{"$eq": [{"$type": f"${TAKEN_BACK_BY}"}, "objectId"]}, f"${TAKEN_BACK_BY}", "$$REMOVE"]
        }
        marked = [
            {"$match": {"_id": dict(wanted), "book": book, "$or": [{"voided": True}, taken_back]}},
            {"$project": {"_id": {"original": "$_id", "follower": taker}}},
        ]
        return [
            {
                "$match": {
                    "book": book,
                    "_original_journal": dict(wanted),
                    "_journal": {"$type": "objectId"},  # An orphan otherwise, which is named elsewhere.
                }
            },
            {"$group": {"_id": {"original": "$_original_journal", "follower": "$_journal"}}},
            {"$unionWith": {"coll": JOURNALS, "pipeline": marked}},
            {"$sort": {"_id.original": ASCENDING}},
        ]

    async def _read(
        self, pairs: Sequence[tuple[ObjectId, Any]], session: AsyncClientSession
    ) -> dict[Any, WithLegs]:
        ids = list({one for pair in pairs for one in pair if one is not None})
        mine = {"_id": {"$in": ids}, "book": self._rules.book}
        journals = [journal async for journal in self._store.journals.find(mine, session=session)]
        legs: dict[Any, list[Document]] = {journal["_id"]: [] for journal in journals}
        async for leg in self._store.transactions.find({"_journal": {"$in": list(legs)}}, session=session):
            legs[leg["_journal"]].append(leg)
        return {journal["_id"]: WithLegs(journal, legs[journal["_id"]]) for journal in journals}

    def _snapshot(self) -> AbstractAsyncContextManager[AsyncClientSession]:
        return long_snapshot(self._store.client, task=f"Verifying the voids of book {self._rules.book!r}")


async def _chunks(rows: AsyncIterator[Document]) -> AsyncGenerator[list[tuple[ObjectId, Any]]]:
    chunk: list[tuple[ObjectId, Any]] = []
    async for row in rows:
        chunk.append((row["_id"]["original"], row["_id"].get("follower")))
        if len(chunk) == PAIRS_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
