"""Where trades come from: the seam between any backend and the books.

A source hands out deliveries; a delivery is a handful of items and the position after them. Asking for the
next delivery says that the one before is safely stored, so a source needs no call of its own for that. What
a source promises is little: it may give trades late, out of order, more than once, and take them back before
or after it gave them. A trade's id makes all of that harmless.

Positions are the source's own business. They are stored per stream (a file of a directory, an account of a
backend) when the items before them are stored, and handed back at the next start.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from stablesats.trades.user_trade import UserTrade

Position: TypeAlias = Mapping[str, Any]
"""How far a stream was read: what MongoDB can store, in the source's own words."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stood, for people who have to look it up.

    Attributes:
        source: A file's absolute path, or the name of another source.
        line: Its line there, counted from 1; None where there are no lines.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class ReceivedTrade:
    """A trade as a source gave it.

    Attributes:
        trade: The trade.
        place: Where it stood.
        traceparent: The W3C trace context in which it was made, if known.
    """

    trade: UserTrade
    place: Place
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class RevertRequest:
    """A trade is to be taken back, whether it is known, booked or neither yet.

    Attributes:
        trade_id: The trade.
        place: Where the request stood.
        traceparent: The W3C trace context in which it was made, if known.
    """

    trade_id: str
    place: Place
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class MalformedItem:
    """Something a source gave that is neither a trade nor a request to take one back.

    Attributes:
        place: Where it stood.
        text: What stood there, as much of it as is kept.
        reason: What is wrong with it.
        trade_id: The trade that it is about, where that can be told.
        traceparent: The W3C trace context in which it was made, if known.
    """

    place: Place
    text: str
    reason: str
    trade_id: str | None = None
    traceparent: str | None = None


SourceItem: TypeAlias = ReceivedTrade | RevertRequest | MalformedItem


@dataclass(frozen=True, slots=True)
class Delivery:
    """Items that are stored together, and how far the stream is read with them.

    Attributes:
        stream: Which of the source's streams they are from.
        items: In the order of the stream.
        position: Where the stream goes on after them; None if it cannot be read again.
    """

    stream: str
    items: tuple[SourceItem, ...]
    position: Position | None


class TradeSource(Protocol):
    """Some backend's trades."""

    @property
    def name(self) -> str:
        """Names the source for ever: its positions are stored under it."""

    def deliveries(self, positions: Mapping[str, Position]) -> AsyncGenerator[Delivery, None]:
        """Hand out what comes after *positions* (stream to position; none of a stream: from its start).

        The next delivery is asked for once the last one is stored. Ends when there will be no more. The
        consumer may stop asking, and closes the iterator then.
        """
