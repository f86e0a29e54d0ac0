"""An order book kept up from snapshot and updates; pure.

A book is right only while no update is missing. OKX numbers them: an update names the number of the one
before it (``prevSeqId``). Older recordings carry a checksum of the best 25 levels instead; today it is sent
as a constant 0, which says nothing. After any doubt the keeper gives up the book and waits for a snapshot.

A snapshot that is older than an update before it is a doubt, too: that update is not in it and would be
missing until OKX speaks again, for a minute on a quiet market. The loss of the newest update itself shows in
no number at all before the next one comes: whoever feeds the keeper has to fetch a quiet book anew.

Source: OKX API v5, "Order book channel".
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain, zip_longest

from stablesats.okx.fields import parse_instant
from stablesats.okx.market_messages import BookLevel, OrderBook, read_levels

CHECKSUM_LEVELS = 25

_Side = dict[Decimal, BookLevel]


@dataclass(frozen=True, slots=True)
class BookGap:
    """The book is not known any more: subscribe again."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Change:
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    at: datetime
    sequence: int | None
    predecessor: int | None
    checksum: int | None


class BookKeeper:
    """Keeps the book of one instrument; waits for a snapshot at first and after each gap."""

    def __init__(self, inst_id: str) -> None:
        self._inst_id = inst_id
        self._bids: _Side = {}
        self._asks: _Side = {}
        self._last: _Change | None = None
        self._newest_sequence: int | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether there is no book until the next snapshot."""
        return self._last is None

    def forget(self) -> None:
        """Give up the book and wait for a snapshot, which may be numbered anew."""
        self._last = None
        self._newest_sequence = None

    def apply(self, action: str, row: Mapping[str, object]) -> OrderBook | BookGap | None:
        """Apply one push.

        Args:
            action: ``snapshot`` or ``update``.
            row: Its data as OKX sent them.

        Returns:
            The book after it; a `BookGap`, after which the keeper waits; or None if it says nothing: an
            update that comes while a snapshot is awaited, or the same update once more.
        """
        try:
            change = _read_change(row)
        except ValueError as exc:
            return self._give_up(f"malformed: {exc}")
        match action:
            case "snapshot":
                if (overtaken := self._overtaken(change)) is not None:
                    return self._give_up(overtaken)
                self._bids, self._asks = {}, {}
            case "update":
                self._note_sequence(change)
                if self.is_waiting or self._is_repeated(change):
                    return None
                if (broken := self._broken_link(change)) is not None:
                    return self._give_up(broken)
            case _:
                return self._give_up(f"an action that OKX does not document: {action[:32]!r}")
        _merge(self._bids, change.bids)
        _merge(self._asks, change.asks)
        return self._checked(change)

    def _note_sequence(self, update: _Change) -> None:
        known = [number for number in (self._newest_sequence, update.sequence) if number is not None]
        self._newest_sequence = max(known, default=None)

    def _overtaken(self, snapshot: _Change) -> str | None:
        """Return why *snapshot* is not the newest there is."""
        newest = self._newest_sequence
        if newest is None or (snapshot.sequence is not None and snapshot.sequence >= newest):
            return None
        return (
            f"the snapshot is out of date: its number is {snapshot.sequence}, update {newest} came before it"
        )

    def _is_repeated(self, change: _Change) -> bool:
        last = self._last
        return (
            last is not None
            and change.sequence is not None
            # A heartbeat of a quiet book follows itself; it says that the book is still the same now.
            and change.sequence != change.predecessor
            and (change.sequence, change.predecessor) == (last.sequence, last.predecessor)
        )

    def _broken_link(self, change: _Change) -> str | None:
        """Return why *change* is not the next one; a number below its predecessor's is a reset, and fine."""
        last = None if self._last is None else self._last.sequence
        if change.predecessor is None or last is None:
            if change.predecessor is None and last is None and change.checksum:
                return None
            return f"cannot be linked: it follows {change.predecessor}, the last one was {last}"
        if change.predecessor != last:
            return f"updates are missing: it follows {change.predecessor}, the last one was {last}"
        return None

    def _checked(self, change: _Change) -> OrderBook | BookGap:
        book = OrderBook(
            self._inst_id,
            bids=tuple(sorted(self._bids.values(), key=lambda level: level.price_usd, reverse=True)),
            asks=tuple(sorted(self._asks.values(), key=lambda level: level.price_usd)),
            at=change.at,
            sequence=change.sequence,
        )
        if change.checksum and change.checksum != book_checksum(book):
            return self._give_up(f"checksum {change.checksum} expected, {book_checksum(book)} found")
        if book.is_crossed:
            return self._give_up("the best bid is above the best ask")
        self._last = change
        return book

    def _give_up(self, reason: str) -> BookGap:
        self.forget()
        return BookGap(reason)


def book_checksum(book: OrderBook) -> int:
    """Return OKX's CRC32, signed, over the best 25 levels: bid and ask in turn, digits as they were sent."""
    bids, asks = book.bids[:CHECKSUM_LEVELS], book.asks[:CHECKSUM_LEVELS]
    levels: Iterable[BookLevel | None] = chain.from_iterable(zip_longest(bids, asks))
    text = ":".join(f"{level.price_usd:f}:{level.size_contracts:f}" for level in levels if level is not None)
    unsigned = zlib.crc32(text.encode("ascii"))
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def _merge(side: _Side, levels: tuple[BookLevel, ...]) -> None:
    for level in levels:
        if level.size_contracts == 0:
            side.pop(level.price_usd, None)
        else:
            side[level.price_usd] = level


def _read_change(row: Mapping[str, object]) -> _Change:
    return _Change(
        bids=read_levels(row.get("bids")),
        asks=read_levels(row.get("asks")),
        at=parse_instant(row.get("ts")),
        sequence=_whole(row, "seqId"),
        predecessor=_whole(row, "prevSeqId"),
        checksum=_whole(row, "checksum"),
    )


def _whole(row: Mapping[str, object], name: str) -> int | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is no whole number: {str(value)[:32]!r}")  # noqa: TRY004
    return value
