"""Where pushes go: one sink a subscription, each with its own idea of what may be lost."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, assert_never

from stablesats.okx.errors import OkxError, OkxProtocolError
from stablesats.okx.market_messages import OrderBook
from stablesats.okx.order_alarms import alarm_unknown_states
from stablesats.okx.streams import push_values
from stablesats.okx.streams.book_keeper import BookGap, BookKeeper
from stablesats.okx.streams.channel import Channel
from stablesats.okx.streams.errors import OkxStaleError
from stablesats.okx.streams.frames import Push
from stablesats.okx.streams.order_feed import OrderFeed, Reconcile
from stablesats.okx.streams.slot import Slot

T = TypeVar("T")


class Sink(Protocol):
    """What a stream does with the pushes of one subscription."""

    @property
    def channel(self) -> Channel:
        """What is subscribed to."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether the push that OKX sends at once after a subscription has not come yet."""
        ...

    @property
    def is_renewed_when_quiet(self) -> bool:
        """Whether to subscribe anew after a silence, in which a loss may hide."""
        ...

    def begin(self) -> None:
        """Take note that the subscription stands, for the first time or again."""
        ...

    def take(self, push: Push) -> str | None:
        """Take a push; answer why the subscription must be made anew, or None."""
        ...

    def unreadable(self, why: str) -> None:
        """Take note that the connection brought something that might have been for this sink."""
        ...

    def remind(self) -> None:
        """Take note that a while has passed, and do something about losses that nothing would show."""
        ...

    def interrupt(self, why: str) -> None:
        """Take note that the connection is gone; another will come."""
        ...

    def fail(self, error: OkxError) -> None:
        """Take note that nothing more will come."""
        ...


class ValueSink(Generic[T]):
    """Keeps the newest value of a channel."""

    # OKX repeats the value, and one that is not repeated goes stale.
    is_renewed_when_quiet = False

    def __init__(
        self,
        channel: Channel,
        slot: Slot[T],
        read: Callable[[Push, Channel], T | None],
        *,
        outlives_connection: bool,
    ) -> None:
        """Keep what *read* finds in the pushes of *channel*.

        Args:
            channel: What is subscribed to.
            slot: Where the value is kept.
            read: Finds the value in a push; None if it says nothing of it.
            outlives_connection: Whether the value ages while the connection is away, as a price may; what
                our own orders change is unknown from that moment on.
        """
        self.channel = channel
        self.slot = slot
        self.is_waiting = True
        self._read = read
        self._outlives_connection = outlives_connection

    def begin(self) -> None:
        """Take whatever comes next as newer."""
        self.is_waiting = True
        self.slot.begin_anew()

    def take(self, push: Push) -> str | None:
        """Hold the value; one that cannot be understood makes it unknown."""
        try:
            value, at = self._read(push, self.channel), push_values.time_of(push, self.channel)
        except OkxProtocolError as exc:
            self.is_waiting = False
            self.slot.withdraw(OkxStaleError(f"the newest {self.channel} cannot be understood: {exc}"))
            return None
        if value is not None:
            self.is_waiting = False
            self.slot.put(value, at)
        return None

    def unreadable(self, why: str) -> None:
        """Nothing: the next push replaces the value anyway."""

    def remind(self) -> None:
        """Nothing: OKX repeats the value, and one that is not repeated goes stale."""

    def interrupt(self, why: str) -> None:
        """Let the value age, or forget it."""
        if not self._outlives_connection:
            self.slot.withdraw(OkxStaleError(f"the {self.channel} may have changed unseen: {why}"))

    def fail(self, error: OkxError) -> None:
        """Give *error* to the readers."""
        self.slot.withdraw(error)


class BookSink:
    """Keeps an order book; it is unknown from the first doubt to the next snapshot."""

    # The numbers show a loss with the update after it, which a quiet market does not bring.
    is_renewed_when_quiet = True

    def __init__(self, channel: Channel, slot: Slot[OrderBook]) -> None:
        self.channel = channel
        self.slot = slot
        self._keeper = BookKeeper(channel.inst_id)
        self.gaps = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the snapshot has not come yet; updates without one do not count."""
        return self._keeper.is_waiting

    def begin(self) -> None:
        """Wait for a snapshot; until it comes, the book before it stays and ages."""
        self._keeper.forget()
        self.slot.begin_anew()

    def take(self, push: Push) -> str | None:
        """Apply it; a gap means to subscribe anew."""
        for row in push.rows:
            match self._keeper.apply(push.action, row):
                case OrderBook() as book:
                    # The chain has been checked, so what comes is newer, whatever its time says.
                    self.slot.begin_anew()
                    self.slot.put(book, book.at)
                case BookGap(reason):
                    self.gaps += 1
                    self._forget(reason)
                    return reason
                case None:
                    pass
                case unreachable:
                    assert_never(unreachable)
        return None

    def unreadable(self, why: str) -> None:
        """Nothing: if it was an update, the next one shows the gap, or the snapshot after a silence."""

    def remind(self) -> None:
        """Nothing: a book is renewed when it is quiet, and shows a loss by itself when it is not."""

    def interrupt(self, why: str) -> None:
        """Forget the book."""
        self._forget(why)

    def fail(self, error: OkxError) -> None:
        """Forget the book and give *error* to the readers."""
        self._keeper.forget()
        self.slot.withdraw(error)

    def _forget(self, why: str) -> None:
        self._keeper.forget()
        self.slot.withdraw(OkxStaleError(f"the {self.channel} are being fetched anew: {why}"))


class OrdersSink:
    """Queues every change of an order, and a `Reconcile` wherever one may be missing."""

    # OKX sends nothing until an order changes, and nothing again after a new subscription.
    is_waiting = False
    is_renewed_when_quiet = False

    def __init__(self, channel: Channel, feed: OrderFeed) -> None:
        self.channel = channel
        self.feed = feed

    def begin(self) -> None:
        """Say that earlier changes are not pushed."""
        self.feed.put(Reconcile("the subscription has just begun: earlier changes are not pushed"))

    def take(self, push: Push) -> str | None:
        """Queue each change; if one cannot be understood, say so."""
        try:
            updates = push_values.order_updates_in(push, self.channel)
        except OkxProtocolError as exc:
            self.feed.put(Reconcile(str(exc)))
            return None
        alarm_unknown_states([update.order for update in updates], push_values.rows_in(push, self.channel))
        for update in updates:
            self.feed.put(update)
        return None

    def unreadable(self, why: str) -> None:
        """Say so: it may have been a change."""
        self.feed.put(Reconcile(why))

    def remind(self) -> None:
        """Have the reader ask: OKX does not number changes of orders, so a lost one shows nowhere."""
        self.feed.put(Reconcile("it is time: a change that was lost on the way would show nowhere"))

    def interrupt(self, why: str) -> None:
        """Nothing: the next subscription says so."""

    def fail(self, error: OkxError) -> None:
        """Give *error* to the reader, after what waits."""
        self.feed.fail(error)
