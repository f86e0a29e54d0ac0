"""Readers of recorded price histories, as quotes for a replay.

Two layouts are read, both CSV with a header, plain or gzipped, one row an instant in ``ts_ms`` (Unix
milliseconds, UTC):

* bars (``open``, and where recorded ``bid_open``, ``ask_open``): the quote of a row is the bar's
  *opening* one, because ``ts_ms`` is the opening instant. What happened inside the bar is not
  recorded as a path, so none is made up; and no quote is known before its time, as a close would be.
  A row without a recorded bid or ask has ``bid = ask = open``.
* order-book snapshots (``bid_px_0``, ``ask_px_0``, ``mid``): best level of each side; no trade is
  recorded, so the last price is the mid. Where each level has its amount (``bid_usd_0`` and so on, USD),
  the whole book is read, in contracts of 100 USD rounded down to a tenth.

`read_quotes` also reads captures of OKX's own messages, see ``captures``.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from stablesats.okx_simulator.book import Book, Level
from stablesats.okx_simulator.captures import CAPTURED_INSTRUMENT, load_capture
from stablesats.okx_simulator.errors import PriceFileError
from stablesats.okx_simulator.replay import Quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USD_A_CONTRACT = Decimal(100)
_TENTH = Decimal("0.1")


def read_quotes(
    path: str | Path,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    venue: str | None = None,
    instrument: str | None = None,
) -> tuple[Quote, ...]:
    """Read the quotes of any file that can be replayed, by its name: CSV as `load_quotes`, else a capture.

    Args:
        path: A ``.csv`` or ``.jsonl`` file, or either with ``.gz`` behind it.
        start: As in `load_quotes`, and so is *end*.
        end: As in `load_quotes`.
        venue: As in `load_quotes`; a capture has one venue, OKX.
        instrument: As in `load_quotes`; None is ``BTC-USD-SWAP`` in a capture.

    Raises:
        PriceFileError: As `load_quotes` and `captures.load_capture` say; or a capture is asked for a *venue*.
    """
    path = Path(path)
    if ".jsonl" not in path.suffixes:
        return load_quotes(path, start, end, venue=venue, instrument=instrument)
    if venue is not None:
        raise PriceFileError(path, f"is a capture of OKX's, and has no venue {venue} to choose")
    return load_capture(path, start, end, instrument=instrument or CAPTURED_INSTRUMENT)


def load_quotes(
    path: str | Path,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    venue: str | None = None,
    instrument: str | None = None,
) -> tuple[Quote, ...]:
    """Read the quotes of a price history with ``start <= at < end``.

    Args:
        path: A ``.csv`` or ``.csv.gz`` file in one of the layouts above.
        start: First instant wanted, with time zone; None for the beginning.
        end: First instant no longer wanted, with time zone; None for the end.
        venue: Which rows to take from a file of several venues.
        instrument: Which rows to take from a file of several instruments.

    Raises:
        PriceFileError: If the file cannot be read, a row is malformed (the message names the line), rows
            do not ascend in time, or no row is left.
    """
    path = Path(path)
    quotes: list[Quote] = []
    for line, row in _rows(path):
        if not _wanted(row, venue, instrument):
            continue
        quote = _quote(path, line, row)
        if quote is None or (start is not None and quote.at < start) or (end is not None and quote.at >= end):
            continue
        if quotes and quote.at <= quotes[-1].at:
            raise PriceFileError(
                path,
                f"line {line}: {quote.at.isoformat()} does not follow the row before{_choice(path, row)}",
            )
        quotes.append(quote)
    if not quotes:
        wanted = " ".join(name for name in ("", venue, instrument) if name is not None)
        raise PriceFileError(path, f"no row{wanted} between start and end{_choice(path)}")
    return tuple(quotes)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            columns = set(reader.fieldnames or ())
            if "ts_ms" not in columns or not columns & {"open", "mid"}:
                raise PriceFileError(path, "the header has no column ts_ms, or neither open nor mid")
            yield from enumerate(reader, start=2)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as exc:
        raise PriceFileError(path, f"cannot be read: {exc}") from exc


def _wanted(row: Mapping[str, str], venue: str | None, instrument: str | None) -> bool:
    return venue in (None, row.get("venue")) and instrument in (None, row.get("instrument"))


def _choice(path: Path, sample: Mapping[str, str] | None = None) -> str:
    """Return the rest of a complaint about a file of several venues: which ones there are."""
    if sample is not None and "venue" not in sample:
        return ""
    held = sorted({(row["venue"], row.get("instrument", "")) for _, row in _rows(path) if "venue" in row})
    listed = ", ".join(" ".join(names).strip() for names in held)
    return f"; the file holds {listed}: choose a venue and an instrument" if held else ""


def _quote(path: Path, line: int, row: Mapping[str, str]) -> Quote | None:
    """Return the quote of a row; None for a row in which neither a trade nor a quote is recorded."""
    last = row.get("open") or row.get("mid") or ""
    bid = row.get("bid_open") or row.get("bid_px_0") or last
    ask = row.get("ask_open") or row.get("ask_px_0") or last
    if not (bid and ask):
        return None
    try:
        at = _EPOCH + timedelta(milliseconds=int(row["ts_ms"]))
        book = _book(row)
        bid_usd, ask_usd = (Decimal(bid), Decimal(ask)) if book is None else _best(book)
        quote = Quote(at, bid_usd, ask_usd, Decimal(last or bid), book)
    except (KeyError, ValueError, InvalidOperation) as exc:
        raise PriceFileError(path, f"line {line}: ts_ms or a price is missing or not a number") from exc
    if not all(price.is_finite() and price > 0 for price in (quote.bid_usd, quote.ask_usd, quote.last_usd)):
        raise PriceFileError(path, f"line {line}: a price is not greater than 0")
    if quote.bid_usd > quote.ask_usd:
        raise PriceFileError(path, f"line {line}: bid {bid} is above ask {ask}")
    return quote


def _book(row: Mapping[str, str]) -> Book | None:
    """Return the recorded levels of a row; None if it has none with an amount on both sides."""
    book = Book(asks=_levels(row, "ask"), bids=_levels(row, "bid"))
    return book if book.asks and book.bids else None


def _best(book: Book) -> tuple[Decimal, Decimal]:
    return book.bids[0].price_usd, book.asks[0].price_usd


def _levels(row: Mapping[str, str], side: str) -> tuple[Level, ...]:
    columns = takewhile(
        lambda names: row.get(names[1]), ((f"{side}_px_{n}", f"{side}_usd_{n}") for n in count())
    )
    levels = (
        Level(Decimal(row[price]), (Decimal(row[usd]) / _USD_A_CONTRACT).quantize(_TENTH, ROUND_FLOOR))
        for price, usd in columns
    )
    return tuple(level for level in levels if level.contracts > 0)
