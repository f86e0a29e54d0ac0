"""What the books of one database share inside one process: the committer, the stripes, the books' states."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

from bson import ObjectId
from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, NetworkTimeout, PyMongoError

from medici_py.book_state import BookState
from medici_py.book_states import BookStates
from medici_py.claims import claims
from medici_py.decisions import Unit
from medici_py.driver import driver_secs_left, start_session
from medici_py.entry_rules import EntryRules
from medici_py.errors import DuplicateEntryError, TransactionError, UnknownOutcomeError
from medici_py.group_commit import CommitStats, GroupCommitter
from medici_py.instants import utc_now
from medici_py.money import MAX_DIGITS
from medici_py.posting import EntryWriter, Written
from medici_py.posting_answers import Answers, Journals
from medici_py.retry import begin_again
from medici_py.running_rows import CORRECTIONS
from medici_py.store import Store
from medici_py.stripes import StripePool
from medici_py.sums import SumTooLargeError
from medici_py.transactions import run_in_session

T = TypeVar("T")

LANES = 8
"""Transactions of the library's own that one process keeps open in one database beside the shared one."""

_DUPLICATE_KEY = 11000

_NAMED_HERE = (UnknownOutcomeError, SumTooLargeError, PyMongoError, BSONError, OverflowError)
"""Errors that a caller hears of under another name."""


class PostingDesk:
    """Posts units of entries into one database, for all books of this process there.

    Get it from `medici_py.posting_desks.desk_of`. All of it belongs to one event loop.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states = BookStates(store.books, store.transactions)
        self._stripes = StripePool(store.stripes, utc_now)
        self._guarding_stripes = StripePool(store.stripes, utc_now, guarding=True)
        self._writer = EntryWriter(store, self._states, self._guarding_stripes)
        self._answers = Answers(store)
        self._lanes = asyncio.Semaphore(LANES)
        self._committer: GroupCommitter[Unit, Journals] = GroupCommitter(
            self._commit, weight=_weight, exclusive=_is_exclusive, claims=claims
        )

    @property
    def store(self) -> Store:
        """The database."""
        return self._store

    @property
    def stats(self) -> CommitStats:
        """What the shared committer has done so far."""
        return self._committer.stats

    def remembered_state(self, rules: EntryRules, *, running_balances: bool) -> BookState | None:
        """Return what `state_for_posting` would, if that is known without asking anybody."""
        if not self._store.capabilities.transactions:
            return None
        state = self._states.remembered(rules.book)
        return None if state is None or (state.running_balances and not running_balances) else state

    async def state_for_posting(self, rules: EntryRules, *, running_balances: bool) -> BookState:
        """Return how the book of *rules* is kept, or is to be; see `BookStates.for_posting`."""
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
        try:
            if not shared:
                return await self._alone(None, unit)
            secs = driver_secs_left()
            if secs is None:
                return await self._committer.submit(unit)
            return await self._share_for(secs, unit)
        except _NAMED_HERE as exc:
            _raise_named(exc, unit)

    async def post_in(self, session: AsyncClientSession | None, unit: Unit) -> Journals:
        """As `post`, in a transaction of its own; of *session*, which has none open, if given."""
        try:
            return await self._alone(session, unit)
        except _NAMED_HERE as exc:
            _raise_named(exc, unit)

    async def join(self, session: AsyncClientSession, unit: Unit) -> Journals:
        """Write *unit* in the transaction that is open in a caller's session.

        Raises:
            TransactionError: If it is refused; nothing of it was written.
            DuplicateEntryError: If a leg breaks a unique index; the transaction is aborted.
        """
        stripe = await self._guarding_stripes.of_session(session)
        try:
            written = await self._writer.write([unit], session=session, stripe=stripe, tried=_tried([unit]))
            _mark_tried([unit])
        except SumTooLargeError as exc:
            raise too_large(unit[0].entry.rules) from exc
        except (DuplicateKeyError, BulkWriteError) as exc:
            if not _is_duplicate(exc):
                raise
            _mark_tried([unit])
            names = ", ".join(f"{plan.journal_id} ({plan.entry.memo!r})" for plan in unit)
            raise DuplicateEntryError(
                f"Journal {names} is posted already, or its leg breaks a unique index; "
                "the server has aborted the session's transaction."
            ) from exc
        (answer,) = await self._answers.about([unit], written, session)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def preview(self, session: AsyncClientSession | None, unit: Unit) -> Journals:
        """Write *unit* in a transaction that is rolled back, and return what `post` would."""
        # How a book is kept is not stored for entries that will not be.
        unit = [plan._replace(begins=None) for plan in unit]

        async def write_and_roll_back(joined: AsyncClientSession | None, stripe: int) -> Journals:
            # Without transactions nothing could be rolled back, so nothing is written.
            only_judge = not self._store.capabilities.transactions
            written = await self._write([unit], joined, stripe, only_judge=only_judge)
            (answer,) = await self._answers.about([unit], written, joined)
            raise _RolledBackError(answer)

        try:
            await self.in_transaction(session, write_and_roll_back, guarding=_has_guards([unit]))
        except _RolledBackError as exc:
            answer = exc.answer
        except _NAMED_HERE as exc:
            _raise_named(exc, unit)
        else:
            raise AssertionError("a preview always rolls back")
        if isinstance(answer, _NAMED_HERE):
            _raise_named(answer, unit)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def settle(self) -> None:
        """Wait for the shared transactions under way, and give the stripes that are free to others."""
        await self._committer.settled()
        if self._store.capabilities.transactions:
            await self._stripes.release()
            await self._guarding_stripes.release()

    async def stripe_of(self, session: AsyncClientSession) -> int:
        """Return the stripe of the transaction that is open in a caller's session.

        It is a guarding one, since in that transaction other entries may have bounds.
        """
        return await self._guarding_stripes.of_session(session)

    async def in_transaction(
        self,
        session: AsyncClientSession | None,
        body: Callable[[AsyncClientSession | None, int], Awaitable[T]],
        *,
        guarding: bool = False,
        shared: bool = False,
        conflicts: int | None = None,
    ) -> T:
        """Run *body* in a transaction of its own, with a stripe of its own.

        Each try has one of the `LANES` and a stripe, and gives both back before the pause that follows it:
        who waits for somebody else's open transaction keeps nobody from posting.

        Args:
            session: A caller's session, which has no transaction open; None for one of our own.
            body: What runs inside, with the session and the stripe; as often as it takes.
            guarding: Whether the transaction checks bounds.
            shared: Whether the transaction is the shared committer's, which waits for no lane.
            conflicts: The write conflict of so many tries is passed on; None for no such bound.
        """
        if not self._store.capabilities.transactions:
            return await body(None, CORRECTIONS)
        pool = self._guarding_stripes if guarding else self._stripes
        stripe = CORRECTIONS

        @contextlib.asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            nonlocal stripe
            async with contextlib.nullcontext() if shared else self._lanes, pool.stripe() as stripe:
                yield

        async def run(joined: AsyncClientSession) -> T:
            return await body(joined, stripe)

        if session is not None:
            return await run_in_session(session, run, conflicts=conflicts, turn=turn)
        async with await start_session(self._store.client) as own:
            return await run_in_session(own, run, conflicts=conflicts, turn=turn)

    async def _commit(
        self, units: Sequence[Unit], tries: int | None, *, session: AsyncClientSession | None = None
    ) -> Sequence[Journals | Exception]:
        began = 0

        async def write(joined: AsyncClientSession | None, stripe: int) -> Written:
            nonlocal began
            began += 1
            if began > 1:
                self._committer.count_retry()
            written = await self._write(units, joined, stripe)
            _mark_tried(units)
            return written

        # The committer bounds how many transactions it has under way, and how often each is tried.
        shared = tries is not None
        guarding = _has_guards(units)
        written = await self.in_transaction(session, write, guarding=guarding, shared=shared, conflicts=tries)
        return await self._answers.about(units, written, None)

    async def _write(
        self,
        units: Sequence[Unit],
        session: AsyncClientSession | None,
        stripe: int,
        *,
        only_judge: bool = False,
    ) -> Written:
        tried = _tried(units)
        try:
            return await self._writer.write(
                units, session=session, stripe=stripe, tried=tried, only_judge=only_judge
            )
        except (DuplicateKeyError, BulkWriteError) as exc:
            looked_for = len(tried) == sum([len(unit) for unit in units])
            if session is None or looked_for or not _is_duplicate(exc):
                raise
            # Another task may have committed one of these entries meanwhile.
            _mark_tried(units)
            raise begin_again("an id is in use, perhaps by one of these entries") from exc

    async def _share_for(self, secs: float, unit: Unit) -> Journals:
        # The driver is not told of this caller's deadline: the transaction belongs to others, too.
        try:
            async with asyncio.timeout(secs):
                return await self._committer.submit(unit)
        except TimeoutError:
            late = NetworkTimeout("the time that pymongo.timeout() gave is over")
            raise UnknownOutcomeError(str(late)) from late

    async def _alone(self, session: AsyncClientSession | None, unit: Unit) -> Journals:
        (answer,) = await self._commit([unit], None, session=session)
        if isinstance(answer, Exception):
            raise answer
        return answer


class _RolledBackError(Exception):
    """Ends a preview."""

    def __init__(self, answer: Journals | Exception) -> None:
        super().__init__("rolled back")
        self.answer = answer


def _tried(units: Sequence[Unit]) -> list[ObjectId]:
    return [plan.journal_id for unit in units for plan in unit if plan.entry.was_tried]


def _mark_tried(units: Sequence[Unit]) -> None:
    for unit in units:
        for plan in unit:
            plan.entry.was_tried = True


def _has_guards(units: Sequence[Unit]) -> bool:
    return any(plan.guards for unit in units for plan in unit)


def _weight(unit: Unit) -> int:
    return sum([len(plan.entry.legs) for plan in unit])


def _is_exclusive(unit: Unit) -> bool:
    first = unit[0]
    return bool(first.guards or first.locks) or any(plan.guards or plan.locks for plan in unit[1:])


def _raise_named(error: Exception, unit: Unit) -> NoReturn:
    match error:
        case UnknownOutcomeError():
            raise unconfirmed(error, unit) from error.__cause__
        case SumTooLargeError():
            raise too_large(unit[0].entry.rules) from error
        case _:
            raise TransactionError(f"Failure to save journal: {error}") from error


def _is_duplicate(error: Exception) -> bool:
    if isinstance(error, BulkWriteError):
        return any(failed.get("code") == _DUPLICATE_KEY for failed in error.details.get("writeErrors", ()))
    return isinstance(error, DuplicateKeyError)


def unconfirmed(error: UnknownOutcomeError, unit: Unit) -> UnknownOutcomeError:
    """Return the error for *unit*, of which the server did not say whether it committed."""
    names = ", ".join(f"{plan.journal_id} ({plan.entry.memo!r})" for plan in unit)
    again = "Commit the same entry" if len(unit) == 1 else "Add the same entries to a new batch"
    return UnknownOutcomeError(
        f"The server did not confirm whether journal {names} was committed: {error.__cause__}. "
        f"{again} again: that finds out, and never posts it twice."
    )


def too_large(rules: EntryRules) -> TransactionError:
    """Return the error for an entry that running balances could not hold exactly."""
    return TransactionError(
        f"Failure to save journal: all amounts of book {rules.book!r} would add up to 10^"
        f"{MAX_DIGITS - rules.precision} or more, which its running balances could not hold exactly with "
        f"{rules.precision} decimal places in {MAX_DIGITS} digits. Use a larger unit, a smaller precision, "
        "or running_balances=False.",
        field="amount",
    )
