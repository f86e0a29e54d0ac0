"""Durable subscriptions: events of a book that no crash loses, to one active process of several.

::

    subscription = book.subscribe("hedging", "Liabilities")
    async with subscription as events:              # one is active, the others stand by
        async for event in events:                  # from the stored position on
            ...
            await events.acknowledge(event)         # stores the position

    await subscription.run(handle, stop=stop)                   # the same as a loop: at least once
    await subscription.run_in_transaction(post, stop=stop)      # exactly once, with what the handler writes
"""

import asyncio
import datetime as dt
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar, assert_never, get_args

from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.change_events import BalanceChanged, ChangePosition, JournalPosted, JournalVoided
from medici_py.change_filter import ChangeFilter
from medici_py.change_start import position_fault
from medici_py.durable_events import Delivery, DeliverySettings, DurableEvents, SubscriptionEvent
from medici_py.durable_position import (
    DEFAULT_MARGIN,
    EARLIEST_START,
    LATEST_START,
    Progress,
    starting_after,
    starting_at,
    starting_with_everything,
)
from medici_py.errors import InvalidQueryError
from medici_py.history_recovered import HistoryRecovered
from medici_py.instants import parse_instant
from medici_py.leases import DEFAULT_TTL_SECS, Lease
from medici_py.store import Store
from medici_py.subscription_filter import filter_document
from medici_py.subscription_lag import SubscriptionLag, subscription_lags
from medici_py.subscription_rows import HandledMark, SubscriptionRows
from medici_py.task_end import end_task
from medici_py.template_legs import is_text
from medici_py.transactions import mongo_transaction

Start: TypeAlias = Literal["now", "beginning"] | ChangePosition | dt.datetime
OnDamaged: TypeAlias = Literal["raise", "pass_over"]
Handler: TypeAlias = Callable[[SubscriptionEvent], Awaitable[object]]
TransactionHandler: TypeAlias = Callable[[SubscriptionEvent, AsyncClientSession], Awaitable[object]]

T = TypeVar("T")

DEFAULT_IDLE_SECS = 5.0
_MAX_UNACKNOWLEDGED = 10_000
_FORGET_SECS = 60.0
_STARTS = "give 'now', 'beginning', a ChangePosition or an aware datetime"


class DurableSubscription:
    """A named place in the changes of some books; `Book.subscribe` makes one.

    Of all that have the same name, in any number of processes, one is active: it holds the lease
    ``subscription:<name>``. An asynchronous context manager that waits for its turn and gives the
    `DurableEvents`; it may be entered again after it was left, by one task at a time.

    Args:
        store: The database.
        name: Any text that is not blank; unique in the database.
        wanted: Which events are asked for; fixed by the first to use the name.
        start: Where a new subscription begins: now, with the first journal there is, after a position, or
            with the second of an aware time, 1970 at the earliest. An existing one goes on where it is.
        holder: Who this is, for people to read; host and process if left out.
        lease_ttl_secs: How long after a crash another may take over.
        idle_secs: How often the stored position moves on while nothing comes.
        recovery_margin: How long before its commit a journal can have been recorded.

    Raises:
        InvalidQueryError: If *name* is no text or blank, *start* is none of these or later than 2106, where
            MongoDB's clock ends, or seconds are not above 0.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        wanted: ChangeFilter,
        *,
        start: Start = "now",
        holder: str | None = None,
        lease_ttl_secs: float = DEFAULT_TTL_SECS,
        idle_secs: float = DEFAULT_IDLE_SECS,
        recovery_margin: dt.timedelta = DEFAULT_MARGIN,
    ) -> None:
        if not is_text(name) or not name.strip():
            raise InvalidQueryError(
                f"A subscription needs a name, not {name!r}: give text that is not blank.",
                field="name",
                value=name,
            )
        if not (0 < lease_ttl_secs < math.inf and 0 < idle_secs < math.inf):
            raise InvalidQueryError(
                f"lease_ttl_secs={lease_ttl_secs!r}, idle_secs={idle_secs!r} refused: give numbers of "
                "seconds above 0.",
                field="lease_ttl_secs",
                value=lease_ttl_secs,
            )
        self.name = name
        self._store = store
        self._wanted = wanted
        self._start = _checked(start)
        self._holder = holder
        self._ttl_secs = lease_ttl_secs
        self._settings = DeliverySettings(
            idle_secs=idle_secs, margin=recovery_margin, max_unacknowledged=_MAX_UNACKNOWLEDGED
        )
        self._rows = SubscriptionRows(store.database, name)
        self._entered: AsyncExitStack | None = None

    def __repr__(self) -> str:
        return f"<DurableSubscription {self.name!r}>"

    async def __aenter__(self) -> DurableEvents:
        """Wait until no other is active, and go on at the stored position.

        Raises:
            SubscriptionMismatchError: If the name is in use with another filter.
            UnsupportedDeploymentError: If the server has no change streams.
        """
        if self._entered is not None:
            raise RuntimeError(f"{self!r} has been entered already")
        async with AsyncExitStack() as stack:
            events = await stack.enter_async_context(self._active())
            self._entered = stack.pop_all()
        return events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._entered = self._entered, None
        if stack is not None:
            await stack.aclose()

    async def run(
        self, handler: Handler, *, stop: asyncio.Event | None = None, on_damaged: OnDamaged = "raise"
    ) -> None:
        """Call *handler* with each event, at least once, in order; acknowledge it after the handler returned.

        Returns once *stop* is set and the handler, if one runs, is done.

        Args:
            handler: ``async def handler(event)``. An event of which it raised an error comes again.
            stop: Ends the loop, also while it waits for its turn or for an event; None for never.
            on_damaged: What becomes of a journal that cannot be shown. It ends the loop, with the place
                before it, so that it does so again until it has been repaired; or it is passed over for good,
                and logged as an error. Where balances are wanted and an amount is no number, that is every
                journal of its book from there on.

        Raises:
            LeaseLostError: If somebody else is active now. The handler's last call may have overlapped.
            UnreadableDocumentError: If a stored journal or leg cannot be read as one, unless it is passed
                over; without a ``position``, which cannot be: if balances are wanted and an amount is no
                number.
            IncompleteJournalError: If a journal's legs are not all there, unless it is passed over.
            InvalidQueryError: If *on_damaged* is none of these.
            Exception: Whatever the handler raised; the position has not moved past that event.
        """

        async def handle(events: DurableEvents, delivery: Delivery) -> None:
            await handler(delivery.event)
            await events.keep(delivery.progress)

        await self._loop(handle, stop, on_damaged)

    async def run_in_transaction(
        self,
        handler: TransactionHandler,
        *,
        stop: asyncio.Event | None = None,
        on_damaged: OnDamaged = "raise",
    ) -> None:
        """Call *handler* with each event, in order; what it writes and the position commit together, once.

        Each event has a MongoDB transaction of its own. A holder that lost its lease commits nothing.

        Args:
            handler: ``async def handler(event, session)``; passes the session to everything it writes. It may
                be called again for one event, after its writes were taken back.
            stop: As in `run`.
            on_damaged: As in `run`.

        Raises:
            UnreadableDocumentError: As in `run`.
            IncompleteJournalError: As in `run`.
            InvalidQueryError: As in `run`.
            LeaseLostError: If somebody else is active now; the last transaction was taken back.
            UnknownOutcomeError: If the server did not say whether the last transaction committed; the stored
                position knows.
            Exception: Whatever the handler raised; that event's transaction was taken back.
        """
        await self._rows.prepare()
        forgotten_at = -math.inf  # Whose runs are short has marks to forget, too.

        async def handle(events: DurableEvents, delivery: Delivery) -> None:
            nonlocal forgotten_at
            tries = 0

            async def body(session: AsyncClientSession) -> None:
                nonlocal tries
                tries += 1
                if tries > 1:  # Perhaps because another holder has claimed the subscription.
                    await self._rows.check(events.token, session=session)
                await self._handle_once(events, delivery, handler, session)

            await mongo_transaction(self._store.client, body)
            if time.monotonic() - forgotten_at >= _FORGET_SECS:
                await self._rows.forget_handled(delivery.progress.at - 2 * self._settings.margin)
                forgotten_at = time.monotonic()

        await self._loop(handle, stop, on_damaged)

    async def lag(self) -> SubscriptionLag | None:
        """Return how far the stored position is behind; None if the subscription was never active.

        May be asked in any process, whether it is the active one or not.
        """
        found = await subscription_lags(self._store.database, names=[self.name])
        return found[0] if found else None

    async def _handle_once(
        self,
        events: DurableEvents,
        delivery: Delivery,
        handler: TransactionHandler,
        session: AsyncClientSession,
    ) -> None:
        """Do in one transaction what an event means, unless it was done, and store the position.

        The position comes after the handler, so that a paused holder's open transaction keeps nobody from
        claiming the subscription; that write then conflicts with the claim.
        """
        event, progress = delivery.event, delivery.progress
        mark = _mark_of(event)
        may_repeat = progress.recovery is not None or progress.repeats_until is not None
        repeated = mark is not None and may_repeat and await self._rows.was_handled(mark, session=session)
        if not repeated:
            await handler(event, session)
        await events.keep(progress, session=session)
        if mark is not None and not repeated:
            await self._rows.mark_handled(mark, session=session)

    async def _loop(
        self,
        handle: Callable[[DurableEvents, Delivery], Awaitable[None]],
        stop: asyncio.Event | None,
        on_damaged: OnDamaged,
    ) -> None:
        if on_damaged not in get_args(OnDamaged):
            raise InvalidQueryError(
                f"on_damaged={on_damaged!r} refused: give 'raise' or 'pass_over'.",
                field="on_damaged",
                value=on_damaged,
            )
        stopped = asyncio.create_task((stop or asyncio.Event()).wait(), name=f"medici_py.{self!r} stop")
        try:
            async with AsyncExitStack() as stack:
                entering = stack.enter_async_context(self._active())
                events = await _unless(stopped, entering)
                if events is None:
                    return
                coming = events.next_sound if on_damaged == "pass_over" else events.next_delivery
                while (delivery := await coming(stopped)) is not None:
                    await handle(events, delivery)
        finally:
            stopped.cancel()

    @asynccontextmanager
    async def _active(self) -> AsyncIterator[DurableEvents]:
        lease = Lease(
            self._store.database, f"subscription:{self.name}", holder=self._holder, ttl_secs=self._ttl_secs
        )
        async with lease:
            progress = await self._activate(lease)
            events = DurableEvents(
                self.name,
                lease=lease,
                rows=self._rows,
                store=self._store,
                wanted=self._wanted,
                progress=progress,
                settings=self._settings,
            )
            try:
                yield events
            finally:
                await events.close()

    async def _activate(self, lease: Lease) -> Progress:
        wanted = filter_document(self._wanted)
        progress = await self._rows.activate(lease.token, lease.holder, wanted)
        if progress is None:
            progress = await self._first_progress()
            await self._rows.create(lease.token, lease.holder, wanted, progress)
        return progress

    async def _first_progress(self) -> Progress:
        server = await self._rows.server_time()
        match self._start:
            case "now":
                return starting_after(ChangePosition(None, server.cluster_time), server.now)
            case "beginning":
                return starting_with_everything(server.cluster_time)
            case ChangePosition() as position:
                return starting_after(position, server.now)
            case dt.datetime() as instant:
                return starting_at(instant)


def _mark_of(event: SubscriptionEvent) -> HandledMark | None:
    match event:
        case JournalPosted():
            return HandledMark("posted", event.journal.id, event.committed_at)
        case JournalVoided():
            return HandledMark("voided", event.journal_id, event.committed_at)
        case BalanceChanged() | HistoryRecovered():
            return None  # Said again, they mean the same.
        case _:
            assert_never(event)


async def _unless(stopped: asyncio.Future[Any], coming: Awaitable[T]) -> T | None:
    """Wait for *coming*; cancel it and return None if *stopped* comes first."""
    task = asyncio.ensure_future(coming)
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await end_task(task)
        raise
    if task.done():
        return task.result()
    await end_task(task)
    return None


def _checked(start: Start) -> Start:
    match start:
        case ChangePosition(token=None, cluster_time=None):
            return "now"
        case ChangePosition() if (fault := position_fault(start)) is not None:
            raise _refused(start, f"{fault}; give a place as it was stored")
        case "now" | "beginning" | ChangePosition():
            return start
        case dt.datetime():
            return _checked_instant(start)
        case _:
            raise _refused(start, _STARTS)


def _checked_instant(start: dt.datetime) -> dt.datetime:
    try:
        instant = parse_instant(start)
    except ValueError as exc:
        raise _refused(start, _STARTS) from exc
    if instant > LATEST_START:
        raise _refused(start, f"MongoDB's clock ends in {LATEST_START.year}")
    return max(instant, EARLIEST_START)


def _refused(start: object, why: str) -> InvalidQueryError:
    return InvalidQueryError(f"A subscription cannot start at {start!r}: {why}.", field="start", value=start)
