"""The events of a durable subscription, from the stored position on, for whoever holds its lease."""

import asyncio
import datetime as dt
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.change_buffer import Overflow
from medici_py.change_events import BookEvent, ChangePosition, EventsDropped
from medici_py.change_feed import ChangeHistoryLostError, interrupted_at
from medici_py.change_filter import ChangeFilter
from medici_py.change_start import Start
from medici_py.change_subscription import ChangeSubscription
from medici_py.durable_position import Progress, announced, moved_on, recovered, recovering
from medici_py.errors import IncompleteJournalError, InvalidQueryError, MediciError, UnreadableDocumentError
from medici_py.history_recovered import HistoryRecovered
from medici_py.leases import Lease
from medici_py.missed_journals import DamagedJournalError, MissedJournals
from medici_py.store import Store
from medici_py.subscription_rows import SubscriptionRows
from medici_py.task_end import end_task

_logger = logging.getLogger(__name__)

SubscriptionEvent: TypeAlias = BookEvent | HistoryRecovered

_READ_AHEAD = 256  # events


class UnacknowledgedEventsError(MediciError):
    """A subscriber takes more and more events and acknowledges none.

    Attributes:
        name: Name of the subscription.
        unacknowledged: How many events it has been given since the last acknowledged one.
    """

    code = 400

    def __init__(self, name: str, *, unacknowledged: int) -> None:
        super().__init__(
            f"Subscription {name!r} has delivered {unacknowledged} events since the last acknowledged one. "
            "Acknowledge events; to follow a book without a stored position use book.changes()."
        )
        self.name = name
        self.unacknowledged = unacknowledged


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, and where the subscription is once it is acknowledged."""

    event: SubscriptionEvent
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How events are delivered.

    Attributes:
        idle_secs: While nothing comes, how often the position is stored that moves on all the same.
        margin: How long before its commit a journal can have been recorded.
        max_unacknowledged: How many events a subscriber may take without acknowledging one.
    """

    idle_secs: float
    margin: dt.timedelta
    max_unacknowledged: int


class DurableEvents:
    """The events of an active subscription, in order; an asynchronous iterator for one reader.

    Cancelling a read loses nothing. What is not acknowledged is delivered again after the next start.

    Args:
        name: Name of the subscription.
        lease: Held.
        rows: What the subscription stores.
        store: The database.
        wanted: Which events are asked for.
        progress: Where to begin.
        settings: How to deliver.
    """

    def __init__(
        self,
        name: str,
        *,
        lease: Lease,
        rows: SubscriptionRows,
        store: Store,
        wanted: ChangeFilter,
        progress: Progress,
        settings: DeliverySettings,
    ) -> None:
        self._name = name
        self._lease = lease
        self._rows = rows
        self._store = store
        self._wanted = wanted
        self._settings = settings
        self._delivered = progress
        self._stored = progress
        self._passed_over = False
        self._reading: ChangeSubscription | None = None
        self._unacknowledged: deque[Delivery] = deque()
        self._deliveries = self._deliver()
        self._next: asyncio.Task[Delivery] | None = None
        self._lost = asyncio.create_task(lease.lost.wait(), name=f"medici_py.DurableEvents {name}")

    @property
    def token(self) -> int:
        """The fencing token, for writes to whatever else checks one.

        Raises:
            LeaseLostError: If it is not valid any more.
        """
        return self._lease.token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SubscriptionEvent:
        """Wait for the next event.

        Raises:
            LeaseLostError: If somebody else is active now, or may be.
            UnacknowledgedEventsError: If too many events were taken and none acknowledged.
            ChangeStreamInterruptedError: If MongoDB was away for too long; reading again goes on.
            UnreadableDocumentError: If a stored journal or leg cannot be read as one. To read on is to pass
                it over knowingly.
            IncompleteJournalError: If a journal's legs are not all there; as above.
        """
        if len(self._unacknowledged) >= self._settings.max_unacknowledged:
            raise UnacknowledgedEventsError(self._name, unacknowledged=len(self._unacknowledged))
        delivery = await self.next_delivery()
        if delivery is None:
            raise StopAsyncIteration
        self._unacknowledged.append(delivery)
        return delivery.event

    async def acknowledge(self, event: SubscriptionEvent) -> None:
        """Store that *event* and all before it are done: none of them is delivered again.

        Raises:
            LeaseLostError: If somebody else is active now; nothing was stored.
            InvalidQueryError: If *event* is none that was delivered and is not acknowledged yet.
        """
        if not any(delivery.event is event for delivery in self._unacknowledged):
            raise InvalidQueryError(
                "Only an event that was delivered here, and was not acknowledged with a later one, can be "
                "acknowledged.",
                field="event",
                value=event,
            )
        acknowledged = self._unacknowledged[0]
        while acknowledged.event is not event:
            self._unacknowledged.popleft()
            acknowledged = self._unacknowledged[0]
        await self.keep(acknowledged.progress)
        self._unacknowledged.popleft()

    async def next_delivery(self, stopped: asyncio.Future[Any] | None = None) -> Delivery | None:
        """Wait for the next event and where it leads; None once *stopped* is done."""
        if self._next is None:
            self._next = asyncio.create_task(self._advance(), name=f"medici_py.DurableEvents {self._name}")
        waited_for = {self._next, self._lost} | (set() if stopped is None else {stopped})
        while True:
            await asyncio.wait(
                waited_for, timeout=self._settings.idle_secs, return_when=asyncio.FIRST_COMPLETED
            )
            _ = self._lease.token  # Nobody may act on an event of another holder.
            if stopped is not None and stopped.done():
                return None
            if self._next.done():
                break
            await self._store_idle()
        finished, self._next = self._next, None
        return finished.result()

    async def next_sound(self, stopped: asyncio.Future[Any] | None = None) -> Delivery | None:
        """Wait for the next event as `next_delivery` does; pass over, for good, what cannot be shown.

        For who has done everything that was delivered before.
        """
        while True:
            try:
                return await self.next_delivery(stopped)
            except (UnreadableDocumentError, IncompleteJournalError) as exc:
                if exc.position is None:
                    raise
                _logger.error("subscription %r passes over what cannot be shown: %s", self._name, exc)
                await self.keep(self._delivered)

    async def keep(self, progress: Progress, *, session: AsyncClientSession | None = None) -> None:
        """Store where the subscription is, in the transaction of *session* if there is one.

        Raises:
            LeaseLostError: If somebody else is active now; nothing was stored.
        """
        await self._rows.store(self._lease.token, progress, session=session)
        self._stored, self._passed_over = progress, False

    async def close(self) -> None:
        """Close the stream; what was read ahead is forgotten. Idempotent."""
        reading, self._next = self._next, None
        for task in (reading, self._lost):
            if task is not None:
                await end_task(task)
        await self._deliveries.aclose()

    async def _advance(self) -> Delivery:
        try:
            return await anext(self._deliveries)
        except (UnreadableDocumentError, IncompleteJournalError) as exc:
            # A recovery has moved on by itself.
            if exc.position is not None and self._delivered.recovery is None:
                self._delivered = moved_on(self._delivered, exc.position, None)
            self._passed_over = True
            self._deliveries = self._deliver()
            raise
        except Exception:
            self._deliveries = self._deliver()
            raise

    async def _deliver(self) -> AsyncGenerator[Delivery]:
        while True:
            async with aclosing(self._phase()) as deliveries:
                async for delivery in deliveries:
                    self._delivered = delivery.progress
                    yield delivery

    async def _phase(self) -> AsyncGenerator[Delivery]:
        """Yield what comes until the next turn: into a recovery, or out of one."""
        recovery = self._delivered.recovery
        if recovery is None:
            try:
                async with aclosing(self._live()) as deliveries:
                    async for delivery in deliveries:
                        yield delivery
            except ChangeHistoryLostError:
                server = await self._rows.server_time()
                self._delivered = recovering(
                    self._delivered, now=server.cluster_time, margin=self._settings.margin
                )
            return
        if recovery.since is not None and not recovery.announced:
            yield Delivery(
                HistoryRecovered(
                    self._delivered.position, recovery.since, ChangePosition(None, recovery.until)
                ),
                announced(self._delivered),
            )
        with interrupted_at(self._delivered.position):
            async with aclosing(self._missed()) as deliveries:
                async for delivery in deliveries:
                    yield delivery
            self._delivered = recovered(self._delivered, now=(await self._rows.server_time()).now)

    async def _missed(self) -> AsyncGenerator[Delivery]:
        journals = MissedJournals(self._store, self._wanted)
        try:
            async with aclosing(journals.events(self._delivered)) as missed:
                async for event, progress in missed:
                    yield Delivery(event, progress)
        except DamagedJournalError as exc:
            self._delivered = exc.progress
            raise exc.__cause__ or exc from None

    async def _live(self) -> AsyncGenerator[Delivery]:
        async with ChangeSubscription(
            self._store,
            self._wanted,
            Start(self._delivered.position),
            buffer=_READ_AHEAD,
            on_overflow=Overflow.WAIT,
        ) as changes:
            while True:
                self._reading = changes
                try:
                    event = await anext(changes)
                finally:
                    self._reading = None
                assert not isinstance(event, EventsDropped)  # which waits for room, and drops nothing
                yield Delivery(event, moved_on(self._delivered, event.position, event.committed_at))

    async def _store_idle(self) -> None:
        """Store that there is nothing up to where the stream is, if everything was acknowledged.

        Whoever asks for the next event in a loop has acknowledged what it took otherwise, too.
        """
        changes = self._reading
        if changes is None or self._unacknowledged or self._passed_over:
            return
        progress = moved_on(self._delivered, changes.position, None)
        if progress != self._stored:
            self._delivered = progress
            try:
                await self.keep(progress)
            except PyMongoError as exc:
                # It is tried again, and nothing is lost if that fails, too.
                _logger.warning("subscription %r could not store its place: %s", self._name, exc)
