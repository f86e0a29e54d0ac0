"""What the books of one database share inside one process: the committer, the stripes, the books' states."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from bson import ObjectId
from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from medici_py.book_state import BookState
from medici_py.book_states import BookStates
from medici_py.decisions import KeyTaken, Refused, Replays, Unit, Verdict
from medici_py.documents import Journal
from medici_py.driver import belongings, has_transaction, start_session
from medici_py.entry_key import difference_text, stored_content
from medici_py.entry_rules import EntryRules
from medici_py.errors import (
    ConsistencyError,
    DuplicateEntryError,
    MediciError,
    TransactionError,
    UnknownOutcomeError,
)
from medici_py.group_commit import CommitStats, GroupCommitter
from medici_py.instants import utc_now
from medici_py.journal_header import stored_header
from medici_py.money import MAX_DIGITS
from medici_py.posting import EntryWriter, Written
from medici_py.posting_plan import Plan, leg_contents
from medici_py.running_rows import CORRECTIONS
from medici_py.store import Store
from medici_py.stripes import StripePool
from medici_py.sums import SumTooLargeError
from medici_py.transactions import run_in_session

T = TypeVar("T")

Journals = tuple[Journal, ...]

LANES = 8
"""Transactions of the library's own that one process keeps open in one database beside the shared one."""

_DUPLICATE_KEY = 11000


class PostingDesk:
    """Posts units of entries into one database, for all books of this process there.

    Get it from `desk_of`. All of it belongs to one event loop.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states = BookStates(store.books, store.transactions)
        self._stripes = StripePool(store.stripes, utc_now)
        self._guarding_stripes = StripePool(store.stripes, utc_now, guarding=True)
        self._writer = EntryWriter(store, self._guarding_stripes)
        self._lanes = asyncio.Semaphore(LANES)
        self._committer: GroupCommitter[Unit, Journals] = GroupCommitter(
            self._commit, weight=_weight, exclusive=_is_exclusive
        )

    @property
    def store(self) -> Store:
        """The database."""
        return self._store

    @property
    def stats(self) -> CommitStats:
        """What the shared committer has done so far."""
        return self._committer.stats

    async def state_for_posting(self, rules: EntryRules, *, running_balances: bool) -> BookState:
        """Return how the book of *rules* is kept; see `BookStates.for_posting`."""
        if not self._store.capabilities.transactions:
            return BookState(rules.book, running_balances=False, fields=rules.dimension_fields)
        try:
            return await self._states.for_posting(
                rules.book, running_balances=running_balances, fields=rules.dimension_fields
            )
        except PyMongoError as exc:
            raise TransactionError(
                f"Failure to save journal: how book {rules.book!r} is kept could not be found out: {exc}"
            ) from exc

    async def state_for_reading(self, book: str) -> BookState:
        """Return how *book* is kept, as far as it is known."""
        state = await self._states.for_reading(book) if self._store.capabilities.transactions else None
        return state or BookState(book, running_balances=False)

    def forget_state(self, book: str) -> None:
        """Ask the database again how *book* is kept."""
        self._states.forget(book)

    async def post(self, unit: Unit, *, shared: bool) -> Journals:
        """Commit *unit* and return its journals, those that stood already marked as replayed.

        Args:
            unit: Entries that stand or fall together.
            shared: Whether it may share a transaction with others.

        Raises:
            TransactionError: If it is refused or cannot be saved; nothing of it was written.
            UnknownOutcomeError: If the server could not be asked whether it committed.
        """
        if shared:
            return await self._answered(unit, lambda: self._committer.submit(unit))
        return await self.post_in(None, unit)

    async def post_in(self, session: AsyncClientSession | None, unit: Unit) -> Journals:
        """As `post`, in a transaction of its own; of *session*, which has none open, if given."""

        async def commit() -> Journals:
            (answer,) = await self._commit([unit], None, session=session)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return await self._answered(unit, commit)

    async def join(self, session: AsyncClientSession, unit: Unit) -> Journals:
        """Write *unit* in the transaction that is open in a caller's session.

        Raises:
            TransactionError: If it is refused; nothing of it was written.
            DuplicateEntryError: If it stands already under its id; the transaction is aborted.
        """
        stripe = await self._guarding_stripes.of_session(session)
        try:
            written = await self._writer.write([unit], session=session, stripe=stripe)
        except SumTooLargeError as exc:
            raise too_large(unit[0].entry.rules) from exc
        except (DuplicateKeyError, BulkWriteError) as exc:
            if not _is_duplicate(exc):
                raise
            names = ", ".join(f"{plan.journal_id} ({plan.entry.memo!r})" for plan in unit)
            raise DuplicateEntryError(
                f"Journal {names} is posted already, or its leg breaks a unique index; "
                "the server has aborted the session's transaction."
            ) from exc
        (answer,) = await self._answers([unit], written, session)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def preview(self, session: AsyncClientSession | None, unit: Unit) -> Journals:
        """Write *unit* in a transaction that is rolled back, and return what `post` would."""
        stripe = 0

        async def write_and_roll_back(joined: AsyncClientSession | None) -> Journals:
            # Without transactions nothing could be rolled back, so nothing is written.
            only_judge = not self._store.capabilities.transactions
            written = await self._writer.write([unit], session=joined, stripe=stripe, only_judge=only_judge)
            (answer,) = await self._answers([unit], written, joined)
            raise _RolledBackError(answer)

        async def run() -> Journals:
            nonlocal stripe
            try:
                async with self.stripe(None, guarding=_has_guards([unit])) as stripe:
                    await self._in_transaction(session, write_and_roll_back, conflicts=None)
            except _RolledBackError as exc:
                if isinstance(exc.answer, Exception):
                    raise exc.answer from None
                return exc.answer
            raise AssertionError("a preview always rolls back")

        return await self._answered(unit, run)

    async def settle(self) -> None:
        """Wait for the shared transactions under way, and give the stripes that are free to others."""
        await self._committer.settled()
        if self._store.capabilities.transactions:
            await self._stripes.release()
            await self._guarding_stripes.release()

    @contextlib.asynccontextmanager
    async def stripe(
        self, session: AsyncClientSession | None, *, shared: bool = False, guarding: bool = False
    ) -> AsyncIterator[int]:
        """Give the stripe of a transaction: of the one open in a caller's session, or of one of our own.

        Args:
            session: The caller's session, if any. In its transaction other entries may have bounds.
            guarding: Whether the transaction checks bounds.
            shared: Whether the transaction is the shared committer's, which bounds itself. It waits for no
                lane: those may all be taken by entries that wait for somebody else's open transaction.
        """
        if has_transaction(session) and session is not None:
            yield await self._guarding_stripes.of_session(session)
        elif not self._store.capabilities.transactions:
            yield CORRECTIONS
        else:
            lane = contextlib.nullcontext() if shared else self._lanes
            pool = self._guarding_stripes if guarding else self._stripes
            async with lane, pool.stripe() as stripe:
                yield stripe

    async def _commit(
        self, units: Sequence[Unit], tries: int | None, *, session: AsyncClientSession | None = None
    ) -> Sequence[Journals | Exception]:
        began = 0

        async def write(joined: AsyncClientSession | None) -> Written:
            nonlocal began
            began += 1
            if began > 1:
                self._committer.count_retry()
            return await self._writer.write(units, session=joined, stripe=stripe)

        # Without a bound of its tries it is one entry, and may be at it for long.
        shared = tries is not None
        async with self.stripe(None, shared=shared, guarding=_has_guards(units)) as stripe:
            written = await self._in_transaction(session, write, conflicts=tries)
        return await self._answers(units, written, None)

    async def _in_transaction(
        self,
        session: AsyncClientSession | None,
        body: Callable[[AsyncClientSession], Awaitable[T]],
        *,
        conflicts: int | None,
    ) -> T:
        if not self._store.capabilities.transactions:
            return await body(cast("AsyncClientSession", None))
        if session is not None:
            return await run_in_session(session, body, conflicts=conflicts)
        async with await start_session(self._store.client) as own:
            return await run_in_session(own, body, conflicts=conflicts)

    async def _answers(
        self, units: Sequence[Unit], written: Written, session: AsyncClientSession | None
    ) -> list[Journals | Exception]:
        answers: list[Journals | Exception] = []
        for unit, verdict in zip(units, written.verdicts, strict=True):
            try:
                answers.append(await self._answer(unit, verdict, written, session))
            except PyMongoError as exc:
                # A first journal could not be looked up: that is this unit's trouble, not its neighbours'.
                unknown = UnknownOutcomeError(str(exc))
                unknown.__cause__ = exc
                answers.append(unknown)
            except Exception as exc:  # noqa: BLE001 - or could not be read; the caller gets it
                answers.append(exc)
        return answers

    async def _answer(
        self, unit: Unit, verdict: Verdict, written: Written, session: AsyncClientSession | None
    ) -> Journals | Exception:
        match verdict:
            case Refused():
                # It may itself be what has used the balance up, in a commit whose answer nobody got.
                tried = any(plan.entry.was_tried for plan in unit)
                return (tried and await self._all_standing(unit, session)) or verdict.error
            case KeyTaken():
                return await self._key_taken(unit, verdict, session)
            case _:
                journals: list[Journal] = []
                for plan, answer in zip(unit, verdict, strict=True):
                    if not isinstance(answer, Replays):
                        journals.append(written.journals[plan.journal_id])
                        continue
                    first = await self.standing(plan, answer.journal, session)
                    if first is None:
                        return _gone(plan, answer.journal)
                    journals.append(first.model_copy(update={"replayed": True}))
                return tuple(journals)

    async def standing(
        self, plan: Plan, journal_id: ObjectId, session: AsyncClientSession | None = None
    ) -> Journal | None:
        """Return the journal of an entry, if it stands."""
        journals = self._store.journals if session else self._store.latest_journals
        found = await journals.find_one({"_id": journal_id, "book": plan.book}, session=session)
        return None if found is None else plan.entry.rules.journal_model.from_document(found)

    async def _all_standing(self, unit: Unit, session: AsyncClientSession | None = None) -> Journals | None:
        found = [await self.standing(plan, plan.journal_id, session) for plan in unit]
        standing = tuple(journal for journal in found if journal is not None)
        return standing if len(standing) == len(unit) else None

    async def _key_taken(self, unit: Unit, taken: KeyTaken, session: AsyncClientSession | None) -> Exception:
        plan, used = taken.plan, taken.used
        beside = next((one for one in unit if one.journal_id == used.journal), None)
        if beside is not None:
            # The unit is refused, so that the database never has the other one.
            user = "another entry of the same batch"
            first_memo, first_legs = beside.entry.memo, leg_contents(beside.entry)
            first_header = beside.entry.header_content
        else:
            first = await self.standing(plan, used.journal, session)
            if first is None:
                return _gone(plan, used.journal)
            user = f"journal {used.journal}, which is another entry"
            legs = self._store.transactions if session else self._store.latest_transactions
            stored = legs.find({"_journal": used.journal, "book": plan.book}, session=session)
            first_memo, first_legs = first.memo, [stored_content(leg, first.memo) async for leg in stored]
            first_header = stored_header(first)
        difference = difference_text(
            memo=plan.entry.memo,
            legs=leg_contents(plan.entry),
            date=plan.entry.date,
            used=used,
            first_memo=first_memo,
            first_legs=first_legs,
            header=plan.entry.header_content,
            first_header=first_header,
        )
        key = plan.entry.key
        return DuplicateEntryError(
            f"Entry {plan.entry.memo!r} refused: its key {key!r} was used in book {plan.book!r} by {user}: "
            f"this one {difference}. Nothing was written.",
            field="key",
            value=key,
        )

    async def _answered(self, unit: Unit, commit: Callable[[], Awaitable[Journals]]) -> Journals:
        """Give the driver's errors the names that callers act on."""
        try:
            return await commit()
        except UnknownOutcomeError as exc:
            names = ", ".join(f"{plan.journal_id} ({plan.entry.memo!r})" for plan in unit)
            again = "Commit the same entry" if len(unit) == 1 else "Add the same entries to a new batch"
            raise UnknownOutcomeError(
                f"The server did not confirm whether journal {names} was committed: {exc.__cause__}. "
                f"{again} again: that finds out, and never posts it twice."
            ) from exc.__cause__
        except SumTooLargeError as exc:
            raise too_large(unit[0].entry.rules) from exc
        except (PyMongoError, BSONError, OverflowError) as exc:
            if _is_duplicate(exc):
                try:
                    standing = await self._all_standing(unit)
                except PyMongoError as lost:
                    raise UnknownOutcomeError(
                        f"An id of entry {unit[0].entry.memo!r} is in the database already, and whether it "
                        f"is this entry's could not be found out: {lost}. Commit it again."
                    ) from lost
                if standing is not None:
                    return standing
            raise TransactionError(f"Failure to save journal: {exc}") from exc


class _RolledBackError(Exception):
    """Ends a preview."""

    def __init__(self, answer: Journals | Exception) -> None:
        super().__init__("rolled back")
        self.answer = answer


def _has_guards(units: Sequence[Unit]) -> bool:
    return any(plan.guards for unit in units for plan in unit)


def _weight(unit: Unit) -> int:
    return len(unit[0].moves) if len(unit) == 1 else sum(len(plan.moves) for plan in unit)


def _is_exclusive(unit: Unit) -> bool:
    first = unit[0]
    return bool(first.guards or first.locks) or any(plan.guards or plan.locks for plan in unit[1:])


def _gone(plan: Plan, journal: ObjectId) -> MediciError:
    key = plan.entry.key
    return ConsistencyError(
        f"Entry {plan.entry.memo!r}: its key {key!r} names journal {journal}, which book {plan.book!r} no "
        "longer has; somebody has deleted it by hand. Restore it, or delete the key in medici_py_keys."
    )


def _is_duplicate(error: Exception) -> bool:
    if isinstance(error, BulkWriteError):
        return any(failed.get("code") == _DUPLICATE_KEY for failed in error.details.get("writeErrors", ()))
    return isinstance(error, DuplicateKeyError)


def too_large(rules: EntryRules) -> TransactionError:
    """Return the error for an entry that running balances could not hold exactly."""
    return TransactionError(
        f"Failure to save journal: all amounts of book {rules.book!r} would add up to 10^"
        f"{MAX_DIGITS - rules.precision} or more, which its running balances could not hold exactly with "
        f"{rules.precision} decimal places in {MAX_DIGITS} digits. Use a larger unit, a smaller precision, "
        "or running_balances=False.",
        field="amount",
    )


def desk_of(store: Store) -> PostingDesk:
    """Return the desk that everybody shares who posts into this database, in this process and event loop.

    Two books share one if their client and the codec options of their databases are the same.
    """
    loop = asyncio.get_running_loop()
    desks: list[_Place] = belongings(store.client, "desks", list)
    desks[:] = [place for place in desks if not place.is_over()]
    for place in desks:
        if place.serves(loop, store):
            return place.desk
    place = _Place(weakref.ref(loop), PostingDesk(store))
    desks.append(place)
    return place.desk


@dataclass(frozen=True, slots=True)
class _Place:
    loop: "weakref.ref[asyncio.AbstractEventLoop]"
    desk: PostingDesk

    def is_over(self) -> bool:
        loop = self.loop()
        return loop is None or loop.is_closed()

    def serves(self, loop: asyncio.AbstractEventLoop, store: Store) -> bool:
        mine = self.desk.store
        return (
            self.loop() is loop
            and mine.database.name == store.database.name
            and mine.codec_options == store.codec_options
        )
