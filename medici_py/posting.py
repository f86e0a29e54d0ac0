"""Writes entries as journals: the statements of one transaction, whatever number of entries it holds.

Order inside the transaction: the rows of running balances first, where whoever moves the same guarded
account conflicts before anything else was done for nothing; then all legs, then the journals that name them,
so that whoever follows the change stream has seen all legs when a journal arrives.

Exactly once: a journal's id is fixed before the first try. A later try looks for it before anything else, and
of two tries at one time one conflicts and begins again: what it finds then is what its caller gets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.balances import Balance, EntrySums
from medici_py.book_state import kept_alike
from medici_py.book_states import BookStates
from medici_py.decisions import Facts, Replays, Unit, Verdict, all_stand, decide
from medici_py.documents import Journal
from medici_py.driver import Document
from medici_py.entry_documents import (
    are_small_journals,
    are_small_legs,
    journal_document,
    leg_documents,
)
from medici_py.entry_key import UsedKey, key_id
from medici_py.instants import no_earlier
from medici_py.money import EXACT
from medici_py.posting_plan import (
    Plan,
    added_to_rows,
    conditions,
    guarded_by_entries,
    guarded_rows,
    guarding_locks,
)
from medici_py.query import LegQuery
from medici_py.retry import begin_again
from medici_py.running_rows import (
    RowKey,
    RowWrites,
    fold_rows_by_key,
    row_updates,
    rows_of_key,
)
from medici_py.store import ReadOptions, Store
from medici_py.stripes import StripePool


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction has written.

    Attributes:
        verdicts: About each unit, in order.
        journals: The journals of the entries that stand, by id.
    """

    verdicts: Sequence[Verdict]
    journals: Mapping[ObjectId, Journal]


class OutdatedPlanError(Exception):
    """The book has been begun meanwhile, in another way than a plan assumes; nothing was written."""


class EntryWriter:
    """Writes units of entries in a transaction that somebody else begins and commits.

    Stateless.

    Args:
        store: The database.
        states: How the books are kept.
        guarding_stripes: Knows which stripes there are of transactions that check bounds.
    """

    def __init__(self, store: Store, states: BookStates, guarding_stripes: StripePool) -> None:
        self._store = store
        self._states = states
        self._guarding_stripes = guarding_stripes

    async def write(
        self,
        units: Sequence[Unit],
        *,
        session: AsyncClientSession | None,
        stripe: int,
        tried: Sequence[ObjectId],
        only_judge: bool = False,
    ) -> Written:
        """Judge *units* on what the transaction sees, and write those that stand.

        Args:
            units: What is to be posted, in order.
            session: A session in whose transaction this runs; None only on mongomock.
            stripe: The transaction's own stripe of running balances; a guarding one if any unit has bounds.
            tried: Journals of these entries that may stand already.
            only_judge: Whether nothing may be written.

        Raises:
            OutdatedPlanError: If the book of a plan is not kept as that assumes.
        """
        plans = [plan for unit in units for plan in unit]
        guarded = guarded_rows(plans)
        guarding = await self._guarding_stripes.numbers(session) if guarded else []
        if guarded and stripe not in guarding:
            # Leased after this snapshot began: others could not have seen it either, and a bound needs that
            # one of two transactions sees the other's stripe.
            raise begin_again("the stripe of this transaction is newer than what it reads")
        facts = Facts(
            keys=await self._used_keys(plans, session),
            balances={
                **await self._balances_of_rows(guarded, session),
                **await self._balances_of_entries(guarded_by_entries(plans), session),
            },
            standing=await self._standing_of(tried, session),
        )
        verdicts = decide(units, facts)
        standing = list(_standing(units, verdicts))
        if not standing:
            return Written(verdicts, {})
        recorded = _recorded(standing)
        if only_judge:
            return Written(verdicts, _unwritten(recorded))
        await self._begin_books(standing)
        await self._add_to_rows(recorded, stripe=stripe, guarding=guarding, session=session)
        journals = await self._insert(recorded, session)
        await self._insert_keys(standing, session)
        await self._lock(recorded, session)
        return Written(verdicts, journals)

    async def _begin_books(self, standing: Sequence[Plan]) -> None:
        """Store how the books are kept of which nothing is stored yet."""
        for state in dict.fromkeys([plan.begins for plan in standing if plan.begins is not None]):
            if not kept_alike(state, await self._states.begin(state)):
                raise OutdatedPlanError(state.book)

    async def _used_keys(
        self, plans: Sequence[Plan], session: AsyncClientSession | None
    ) -> dict[tuple[str, str], UsedKey]:
        wanted = [key_id(plan.book, plan.key.text) for plan in plans if plan.key is not None]
        if not wanted:
            return {}
        found = self._store.keys.find({"_id": {"$in": wanted}}, session=session)
        return {(one["_id"]["book"], one["_id"]["key"]): UsedKey.from_document(one) async for one in found}

    async def _standing_of(
        self, journals: Sequence[ObjectId], session: AsyncClientSession | None
    ) -> set[ObjectId]:
        if not journals:
            return set()
        found = self._store.journals.find({"_id": {"$in": list(journals)}}, {"_id": 1}, session=session)
        return {journal["_id"] async for journal in found}

    async def _balances_of_rows(
        self,
        wanted: Iterable[tuple[str, RowKey]],
        session: AsyncClientSession | None,
    ) -> dict[tuple[str, RowKey], Decimal]:
        rows = list(wanted)
        if not rows:
            return {}
        query = {"$or": [rows_of_key(book, key) for book, key in rows]}
        found = [row async for row in self._store.balance_rows.find(query, session=session)]
        balances: dict[tuple[str, RowKey], Decimal] = dict.fromkeys(rows, Decimal(0))
        for book in {book for book, _ in rows}:
            mine = (row for row in found if row["_id"]["book"] == book)
            balances |= {
                (book, key): Balance.of(sums).balance for key, sums in fold_rows_by_key(mine).items()
            }
        return balances

    async def _balances_of_entries(
        self, wanted: Mapping[tuple[str, RowKey], Plan], session: AsyncClientSession | None
    ) -> dict[tuple[str, RowKey], Decimal]:
        balances: dict[tuple[str, RowKey], Decimal] = {}
        for (book, (path, dims)), plan in wanted.items():
            sums = EntrySums(self._store, precision=plan.entry.rules.precision)
            query = LegQuery(book=book, paths=(path,), conditions=conditions(plan, dims))
            turnover = await sums.turnover(query, ReadOptions(session=session))
            balances[book, (path, dims)] = Balance.of(turnover).balance
        return balances

    async def _add_to_rows(
        self,
        recorded: Sequence[tuple[Plan, datetime]],
        *,
        stripe: int,
        guarding: Sequence[int],
        session: AsyncClientSession | None,
    ) -> None:
        plans = [plan for plan, _ in recorded]
        with localcontext(EXACT):
            writes = RowWrites(added_to_rows(plans), list(guarded_rows(plans)))
            statements = row_updates(
                writes,
                stripe=stripe,
                stripes=guarding,
                journal=plans[-1].journal_id,
                recorded_at=recorded[-1][1],
                precisions={plan.book: plan.entry.rules.precision for plan in plans},
            )
        await self._store.update_rows(statements, session=session)

    async def _insert(
        self, recorded: Sequence[tuple[Plan, datetime]], session: AsyncClientSession | None
    ) -> dict[ObjectId, Journal]:
        legs = [leg for plan, at in recorded for leg in leg_documents(plan.entry, recorded_at=at)]
        leg_ids = await self._store.insert_legs(legs, small=are_small_legs(legs), session=session)
        documents: list[Document] = [
            journal_document(plan.entry, leg_ids[plan.journal_id], recorded_at=at) for plan, at in recorded
        ]
        small = are_small_journals(documents)
        await self._store.insert(self._store.journals, documents, small=small, session=session)
        return _journals(recorded, documents)

    async def _insert_keys(self, standing: Sequence[Plan], session: AsyncClientSession | None) -> None:
        documents = [
            plan.key.document(plan.book, plan.journal_id) for plan in standing if plan.key is not None
        ]
        if documents:
            await self._store.keys.insert_many(documents, session=session)

    async def _lock(
        self, recorded: Sequence[tuple[Plan, datetime]], session: AsyncClientSession | None
    ) -> None:
        locks: dict[str, list[str]] = {}
        for plan, _ in recorded:
            if plan.locks or plan.guards:
                locks.setdefault(plan.book, []).extend([*plan.locks, *guarding_locks(plan)])
        for book, accounts in locks.items():
            await self._store.lock_accounts(accounts, book=book, now=recorded[-1][1], session=session)


def _recorded(standing: Sequence[Plan]) -> list[tuple[Plan, datetime]]:
    """Give each plan its recorded time: one reading of its clock for all that commit together.

    A clock so slow that its time has been rolled up is not believed: the roll-ups would lack the entry.
    """
    clocks = {id(plan.clock): plan.clock for plan in standing}
    now = {place: clock() for place, clock in clocks.items()}
    return [(plan, no_earlier(now[id(plan.clock)], plan.recorded_from)) for plan in standing]


def _journals(
    recorded: Sequence[tuple[Plan, datetime]], documents: Sequence[Document]
) -> dict[ObjectId, Journal]:
    models = (plan.entry.rules.journal_model for plan, _ in recorded)
    return {
        document["_id"]: model.from_document(document)
        for document, model in zip(documents, models, strict=True)
    }


def _unwritten(recorded: Sequence[tuple[Plan, datetime]]) -> dict[ObjectId, Journal]:
    documents = [
        journal_document(plan.entry, [leg.id for leg in plan.entry.legs], recorded_at=at)
        for plan, at in recorded
    ]
    return _journals(recorded, documents)


def _standing(units: Sequence[Unit], verdicts: Sequence[Verdict]) -> Iterable[Plan]:
    for unit, verdict in zip(units, verdicts, strict=True):
        if all_stand(verdict):
            yield from unit
        elif isinstance(verdict, tuple):
            yield from (
                plan for plan, answer in zip(unit, verdict, strict=True) if not isinstance(answer, Replays)
            )
