"""The balances of whole books in memory, never further behind than the change stream.

They are read once, at one cluster time, and then follow the change stream from exactly the next instant:
every leg counts once, whatever is posted meanwhile. A question touches no database.

Each journal becomes visible whole; journals that share a transaction follow each other. Legs that Node's
medici inserts without a transaction become visible one by one, as they do in the database.

What is followed is what is added. Stored legs never change, and a void marks them without moving a balance;
but after someone has corrected, deleted or dropped legs by hand the balances are those from before, and
still `is_live`: close and start again.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self, TypeAlias

from medici_py.accounts import join, split
from medici_py.backoff import backoff_secs
from medici_py.balances import Balance
from medici_py.book import Book
from medici_py.change_events import ChangePosition
from medici_py.change_feed import ChangeFeed, ChangeStreamInterruptedError, FeedSettings
from medici_py.errors import InvalidQueryError, MediciError
from medici_py.live_ledger import LiveLedger
from medici_py.sums import Sums
from medici_py.task_begin import begin_task
from medici_py.task_end import end_task
from medici_py.turnover_snapshot import BookShape, read_turnover
from medici_py.turnover_table import DimensionValues

_logger = logging.getLogger(__name__)

Turnover: TypeAlias = Sums
"""``debit``, ``credit`` and ``notes`` (the number of legs) of an account."""

_FIRST_PAUSE_SECS = 0.2
_LONGEST_PAUSE_SECS = 5.0


class LiveBalancesClosedError(MediciError):
    """The live balances were closed, or not started yet."""


class LiveBalances:
    """Balances of *books*, which are of one database, kept up to date by a background task.

    An asynchronous context manager. Questions are synchronous, touch nothing outside, and answer from what
    was applied so far: at any moment whole journals, in commit order. If the stream fails the balances
    stay as they are, `is_live` is False and `failure` says why, until a fresh snapshot has been read.

    Args:
        *books: At least one.
        max_await_time_ms: How often an idle server is heard from.
        stale_after_secs: Silence after which the balances no longer count as live.
        jitter: Random numbers from 0 to 1.
        monotonic: A clock, in seconds.
    """

    def __init__(
        self,
        *books: Book,
        max_await_time_ms: int = 500,
        stale_after_secs: float = 5.0,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not books:
            raise InvalidQueryError("LiveBalances needs at least one book.", field="books")
        self._database = books[0].database
        if any(book.database != self._database for book in books):
            raise InvalidQueryError("LiveBalances needs books of one database.", field="books")
        self._shapes = {book.name: _shape_of(book) for book in books}
        # The feed does not retry by itself: after any failure a fresh snapshot is the way back.
        self._feed_settings = FeedSettings(
            max_await_time_ms=max_await_time_ms, answer_timeout_secs=stale_after_secs, resume_timeout_secs=0
        )
        self._stale_after_secs = stale_after_secs + max_await_time_ms / 1000
        self._jitter = jitter
        self._monotonic = monotonic
        self._ledger: LiveLedger | None = None
        self._feed: ChangeFeed | None = None
        self._follower: asyncio.Task[None] | None = None
        self._heard_at = 0.0
        self._failure: str | None = "not started"
        self._failures = 0
        self._restarts = 0
        self._version = 0
        self._journals_applied = 0
        self._last_event_at: datetime | None = None
        self._moved = asyncio.Event()
        self._starting = asyncio.Lock()  # held by start and close, so that neither meets half of the other

    @property
    def version(self) -> int:
        """Grows with every change of a balance, of `is_live` or of `failure` that is noticed."""
        return self._version

    @property
    def last_event_at(self) -> datetime | None:
        """The server's clock when the newest journal seen on the stream was committed."""
        return self._last_event_at

    @property
    def journals_applied(self) -> int:
        """Journals seen on the stream since the start; those in the snapshot are not counted."""
        return self._journals_applied

    @property
    def restarts(self) -> int:
        """How often the stream failed."""
        return self._restarts

    @property
    def failure(self) -> str | None:
        """Why the balances are not live; None if they are."""
        if self._failure is None and not self._heard_recently:
            return f"MongoDB has not answered for {self._stale_after_secs:g} s"
        return self._failure

    @property
    def is_live(self) -> bool:
        """Whether the balances are those of the database, up to what is on its way."""
        return self.failure is None

    async def start(self) -> None:
        """Read the snapshot and open the stream; both are done when this returns. Idempotent.

        Raises:
            UnsupportedDeploymentError: If the server has no change streams.
            ChangeStreamError: If the stream cannot be had.
            UnreadableDocumentError: If a stored amount is no number.
            SnapshotReadError: If the snapshot cannot be read.
        """
        async with self._starting:
            if self._follower is not None:
                return
            await self._load()
            self._follower = begin_task(self._follow_for_ever(), name="medici_py.LiveBalances")

    async def close(self) -> None:
        """Stop following and close the cursor on the server. Idempotent; balances stay as they are."""
        async with self._starting:
            follower, self._follower = self._follower, None
            if follower is not None:
                await end_task(follower)
            if self._feed is not None:
                await self._feed.close()
            self._failure = "closed"
            self._wake()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def balance(self, book: str, account: str | None = None, **dimensions: Hashable) -> Balance:
        """Return the balance of *account* and everything below it: credits minus debits.

        Args:
            book: Name of one of the books.
            account: A path such as ``"Assets:Cash"``; None for the whole book.
            **dimensions: Values that some of the book's dimensions must have: ``currency="USD"``.

        Raises:
            InvalidQueryError: If there is no such book or dimension.
            LiveBalancesClosedError: Before `start`.
        """
        path = () if account is None else split(account)
        return Balance.of(self._ledger_of(book).sums(book, path, self._checked(book, dimensions)))

    def turnovers(self, book: str) -> Mapping[tuple[str, DimensionValues], Turnover]:
        """Return the turnover of every account of *book* itself, by account and dimension values.

        Raises:
            InvalidQueryError: If there is no such book.
            LiveBalancesClosedError: Before `start`.
        """
        table = self._ledger_of(book).tables[book]
        return {(join(path), values): sums for path, values, sums in table}

    async def changed(self, since_version: int) -> int:
        """Wait until `version` is greater than *since_version*; return it. For any number of waiters.

        Raises:
            LiveBalancesClosedError: If the balances are closed, or not started, and nothing changed since. To
                be closed is a change: it ends every wait.
        """
        while self._version <= since_version:
            if self._follower is None:
                raise LiveBalancesClosedError("live balances that are closed do not change any more")
            await self._moved.wait()
        return self._version

    def _ledger_of(self, book: str) -> LiveLedger:
        if book not in self._shapes:
            known = ", ".join(map(repr, self._shapes))
            raise InvalidQueryError(
                f"Book {book!r} is not followed; these are: {known}.", field="book", value=book
            )
        if self._ledger is None:
            raise LiveBalancesClosedError("live balances must be started before they are asked")
        return self._ledger

    def _checked(self, book: str, dimensions: Mapping[str, Hashable]) -> Mapping[str, Hashable]:
        for name in dimensions:
            if name not in self._shapes[book].dimensions:
                raise InvalidQueryError(f"Book {book!r} has no dimension {name!r}.", field=name, value=name)
        return dimensions

    @property
    def _heard_recently(self) -> bool:
        return self._monotonic() - self._heard_at < self._stale_after_secs

    async def _load(self) -> None:
        """Read a snapshot and open the stream right behind it."""
        snapshot = await read_turnover(self._database, list(self._shapes.values()))
        feed = ChangeFeed(
            self._database,
            list(self._shapes),
            after=ChangePosition(None, snapshot.cluster_time),
            settings=self._feed_settings,
            jitter=self._jitter,
            monotonic=self._monotonic,
        )
        await feed.open()
        self._feed = feed
        self._ledger = LiveLedger(self._shapes, snapshot.tables)
        self._heard_at = self._monotonic()
        self._failure = None
        self._wake()

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                if self._failures:
                    await self._load()
                await self._follow()
            except MediciError as exc:
                _logger.warning("live balances interrupted: %s", exc)
                reason = str(exc)
            except Exception as exc:
                _logger.exception("live balances failed")
                reason = f"{type(exc).__name__}: {exc}"
            self._failures += 1
            self._restarts += 1
            self._failure = reason
            self._wake()
            await asyncio.sleep(
                backoff_secs(
                    self._failures,
                    first_secs=_FIRST_PAUSE_SECS,
                    max_secs=_LONGEST_PAUSE_SECS,
                    jitter=self._jitter(),
                )
            )

    async def _follow(self) -> None:
        feed, ledger = self._feed, self._ledger
        if feed is None or ledger is None:
            raise ChangeStreamInterruptedError("the stream is not open", ChangePosition(None, None))
        try:
            while True:
                change = await feed.next()
                self._heard_at = self._monotonic()
                self._failures = (
                    0  # not before: a stream that opens and fails at once must not be reloaded at once
                )
                applied = ledger.apply(change)
                if applied.journal_at is not None:
                    self._journals_applied += 1
                    self._last_event_at = applied.journal_at
                if applied.moved:
                    self._wake()
        finally:
            await feed.close()

    def _wake(self) -> None:
        self._version += 1
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _shape_of(book: Book) -> BookShape:
    settings = book.settings
    return BookShape.of(book.name, settings.precision, list(settings.dimensions), settings.transaction_model)
