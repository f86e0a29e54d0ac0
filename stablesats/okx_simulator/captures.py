"""Readers of recorded OKX WebSocket traffic, as quotes with order books for a replay.

A capture is JSON Lines, plain or gzipped, one message a line: ``raw`` holds its text as it was received,
``ts_ms`` when; other fields are ignored. ``books`` messages are applied one after the other, each giving the
quote of its own time; the last price is that of the latest ``tickers`` or ``trades`` message of the same
instrument, or the middle before the first. The recorded checksum is verified wherever there is one.

Source: OKX API v5, "Order book channel"; the checksum is CRC32 over the best 25 levels, and has been 0
since 2026.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from stablesats.okx_simulator.book import Book, Level
from stablesats.okx_simulator.errors import PriceFileError
from stablesats.okx_simulator.replay import Quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CHECKED_LEVELS: Final = 25
_USD_A_CONTRACT: Final = Decimal(100)
_TENTH: Final = Decimal("0.1")

CAPTURED_INSTRUMENT: Final = "BTC-USD-SWAP"
"""Whose book is read when nobody says."""


def load_capture(
    path: Path,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    instrument: str = CAPTURED_INSTRUMENT,
) -> tuple[Quote, ...]:
    """Read the quotes of one instrument from a capture, with ``start <= at < end``.

    Args:
        path: A ``.jsonl`` or ``.jsonl.gz`` file.
        start: First instant wanted, with time zone; None for the beginning.
        end: First instant no longer wanted, with time zone; None for the end.
        instrument: Whose books to read. Sizes of a spot pair, as ``BTC-USDT``, are coins, and become
            contracts of 100 USD rounded down to a tenth; all others are taken for contracts.

    Raises:
        PriceFileError: If the file cannot be read, a message is malformed, a checksum does not hold (the
            message names the line), or nothing is left.
    """
    recording = _Recording(is_spot=instrument.count("-") == 1)
    others: set[str] = set()
    quotes: dict[datetime, Quote] = {}
    for line, message in _messages(path):
        arg = message.get("arg", {})
        if arg.get("instId") != instrument:
            if arg.get("channel") == "books":
                others.add(str(arg.get("instId")))
            continue
        try:
            quote = recording.apply(message)
        except _BrokenRecordingError as exc:
            raise PriceFileError(path, f"line {line}: {exc}") from exc
        except (KeyError, TypeError, ValueError, InvalidOperation) as exc:
            raise PriceFileError(path, f"line {line}: no message of OKX's: {exc!r}") from exc
        # Of several states within one millisecond the last one counts.
        if quote is not None and (start is None or quote.at >= start) and (end is None or quote.at < end):
            quotes[quote.at] = quote
    if not quotes:
        hint = (
            f"; the file holds those of {', '.join(sorted(others))}: choose an instrument" if others else ""
        )
        raise PriceFileError(path, f"no order book of {instrument} between start and end{hint}")
    return tuple(quotes[at] for at in sorted(quotes))


def book_checksum(asks: Mapping[str, str], bids: Mapping[str, str]) -> int:
    """Return OKX's checksum of a book, signed 32-bit.

    Args:
        asks: Sizes by price, best first, both texts as they were sent.
        bids: The same.
    """
    parts: list[str] = []
    ask_levels, bid_levels = list(asks.items()), list(bids.items())
    for position in range(_CHECKED_LEVELS):
        for levels in (bid_levels, ask_levels):
            if position < len(levels):
                parts += levels[position]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - 2**32 if crc >= 2**31 else crc


class _BrokenRecordingError(Exception):
    """The messages do not follow from each other."""


@dataclass
class _Recording:
    """A book as it is being put together from messages, with its texts as they were sent."""

    is_spot: bool
    asks: dict[str, str] = field(default_factory=dict)
    bids: dict[str, str] = field(default_factory=dict)
    last_usd: Decimal | None = None
    has_snapshot: bool = False

    def apply(self, message: Mapping[str, Any]) -> Quote | None:
        """Take one message in; return the quote after it if it was one of the book."""
        channel, data = message["arg"]["channel"], message.get("data")
        if not data:
            return None
        if channel in {"tickers", "trades"}:
            self.last_usd = Decimal(data[-1]["last" if channel == "tickers" else "px"])
            return None
        if channel != "books":
            return None
        return self._apply_book(message["action"], data[0])

    def _apply_book(self, action: str, row: Mapping[str, Any]) -> Quote | None:
        if action == "snapshot":
            self.asks, self.bids, self.has_snapshot = {}, {}, True
        elif not self.has_snapshot:
            raise _BrokenRecordingError("an update of a book before its snapshot")
        for side, changes in ((self.asks, row["asks"]), (self.bids, row["bids"])):
            for price, contracts, *_ in changes:
                if Decimal(contracts):
                    side[price] = contracts
                else:
                    side.pop(price, None)
        self.asks = dict(sorted(self.asks.items(), key=lambda level: Decimal(level[0])))
        self.bids = dict(sorted(self.bids.items(), key=lambda level: -Decimal(level[0])))
        recorded = row.get("checksum") or 0
        if recorded and recorded != (found := book_checksum(self.asks, self.bids)):
            raise _BrokenRecordingError(f"the book's checksum is {found}, and {recorded} was recorded")
        return self._quote(_EPOCH + timedelta(milliseconds=int(row["ts"])))

    def _quote(self, at: datetime) -> Quote | None:
        book = Book(self._levels(self.asks), self._levels(self.bids))
        if not (book.asks and book.bids):
            return None
        bid_usd, ask_usd = book.bids[0].price_usd, book.asks[0].price_usd
        if bid_usd > ask_usd:
            raise _BrokenRecordingError(f"the best bid {bid_usd} is above the best ask {ask_usd}")
        return Quote(at, bid_usd, ask_usd, self.last_usd or (bid_usd + ask_usd) / 2, book)

    def _levels(self, side: Mapping[str, str]) -> tuple[Level, ...]:
        levels = (Level(Decimal(price), Decimal(size)) for price, size in side.items())
        if not self.is_spot:
            return tuple(levels)
        valued = (Level(each.price_usd, _contracts(each)) for each in levels)
        return tuple(each for each in valued if each.contracts)


def _contracts(coins: Level) -> Decimal:
    return (coins.contracts * coins.price_usd / _USD_A_CONTRACT).quantize(_TENTH, ROUND_FLOOR)


def _messages(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            for line, text in enumerate(stream, start=1):
                raw = json.loads(text).get("raw")
                message = json.loads(raw) if isinstance(raw, str) and raw.startswith("{") else None
                if isinstance(message, dict):
                    yield line, message
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as exc:
        raise PriceFileError(path, f"cannot be read: {exc}") from exc
    except (ValueError, AttributeError) as exc:
        raise PriceFileError(path, f"is no capture: {exc}") from exc
