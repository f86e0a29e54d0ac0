"""Recorded price histories as quotes."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest

from stablesats.okx_simulator import PriceFileError, Quote, load_quotes, read_quotes

BARS = "ts_ms,ts_utc,open,high,low,close,volume_btc,bid_open,bid_close,ask_open,ask_close\n"
FIRST = datetime(2017, 9, 4, tzinfo=UTC)
MS = 1_504_483_200_000


def written(path: Path, *rows: str, header: str = BARS) -> Path:
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_bar_gives_its_opening_quote_at_its_opening_instant(tmp_path: Path) -> None:
    """The close of a bar is not known when it opens."""
    path = written(tmp_path / "bars.csv", f"{MS},x,4000.5,4100,3900,4050,1,4000.4,4049,4000.6,4051")
    assert load_quotes(path) == (Quote(FIRST, Decimal("4000.4"), Decimal("4000.6"), Decimal("4000.5")),)


def test_bar_without_recorded_quotes_has_no_spread(tmp_path: Path) -> None:
    """Bid and ask are the opening trade; no spread is made up."""
    path = written(tmp_path / "bars.csv", f"{MS},x,4000.5,4100,3900,4050,1,,,,")
    assert load_quotes(path) == (Quote(FIRST, *[Decimal("4000.5")] * 3),)


def test_row_with_neither_trade_nor_quote_is_left_out(tmp_path: Path) -> None:
    """Nothing happened, so nothing changes."""
    path = written(tmp_path / "bars.csv", f"{MS},x,1,1,1,1,1,,,,", f"{MS + 60_000},x,,,,,,,,,")
    assert len(load_quotes(path)) == 1


def test_order_book_snapshot_gives_its_best_levels(tmp_path: Path) -> None:
    """Without a recorded trade the last price is the mid."""
    path = written(
        tmp_path / "book.csv",
        f"{MS},x,60590.015,60590.01,60590.02",
        header="ts_ms,ts_utc,mid,bid_px_0,ask_px_0\n",
    )
    assert load_quotes(path) == (
        Quote(FIRST, Decimal("60590.01"), Decimal("60590.02"), Decimal("60590.015")),
    )


def test_start_is_included_and_end_is_not(tmp_path: Path) -> None:
    """A day and the next one never share a quote."""
    rows = [f"{MS + minute * 60_000},x,{minute + 1},1,1,1,1,,,," for minute in range(5)]
    quotes = load_quotes(
        written(tmp_path / "bars.csv", *rows), FIRST.replace(minute=1), FIRST.replace(minute=3)
    )
    assert [quote.last_usd for quote in quotes] == [2, 3]


def test_shipped_crash_of_september_2017_can_be_replayed() -> None:
    """Two days of minutes with real spreads, falling from 4,746.68 to below 4,300 USD."""
    quotes = load_quotes(Path(str(files("stablesats.data") / "coinbase_btcusd_1m_20170903_20170904.csv.gz")))
    assert len(quotes) == 2880
    assert quotes[0].at == datetime(2017, 9, 3, tzinfo=UTC)
    assert min(quote.last_usd for quote in quotes) < 4300
    assert max(quote.last_usd for quote in quotes) > 4600
    assert any(quote.ask_usd > quote.bid_usd for quote in quotes)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row between start and end"),
        ([f"{MS},x,abc,1,1,1,1,,,,"], "line 2: ts_ms or a price is missing or not a number"),
        (["soon,x,1,1,1,1,1,,,,"], "line 2: ts_ms or a price"),
        ([f"{MS},x,0,1,1,1,1,,,,"], "line 2: a price is not greater than 0"),
        ([f"{MS},x,NaN,1,1,1,1,,,,"], "line 2: a price is not greater than 0"),
        ([f"{MS},x,5,1,1,1,1,6,6,5,5"], "line 2: bid 6 is above ask 5"),
        ([f"{MS},x,1,1,1,1,1,,,,", f"{MS},x,1,1,1,1,1,,,,"], "line 3: .* does not follow the row before"),
    ],
)
def test_malformed_file_is_refused_with_its_line(tmp_path: Path, rows: list[str], message: str) -> None:
    """A replay never starts on half-understood prices."""
    with pytest.raises(PriceFileError, match=message):
        load_quotes(written(tmp_path / "bars.csv", *rows))


def test_file_of_several_venues_needs_a_choice(tmp_path: Path) -> None:
    """The message names the way out, and the way out works."""
    path = written(
        tmp_path / "venues.csv",
        f"{MS},x,binance,BTCUSD_PERP,17204",
        f"{MS},x,bybit,BTCUSD,17205",
        header="ts_ms,ts_utc,venue,instrument,open\n",
    )
    choice = "the file holds binance BTCUSD_PERP, bybit BTCUSD: choose a venue and an instrument"
    with pytest.raises(PriceFileError, match=choice):
        load_quotes(path)
    with pytest.raises(PriceFileError, match=f"no row bybit XBT between start and end; {choice}"):
        read_quotes(path, venue="bybit", instrument="XBT")
    assert read_quotes(path, venue="bybit") == load_quotes(path, venue="bybit", instrument="BTCUSD")
    assert [quote.last_usd for quote in load_quotes(path, venue="bybit", instrument="BTCUSD")] == [17205]


@pytest.mark.parametrize(
    "content",
    [b"not gzip", gzip.compress(b"x" * 1000)[:20], gzip.compress(b"\xff\xfe\xff")],
    ids=["not gzip", "cut short", "not text"],
)
def test_unreadable_file_is_one_typed_error(tmp_path: Path, content: bytes) -> None:
    """Not gzip, cut short, or not text."""
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(content)
    with pytest.raises(PriceFileError, match="cannot be read"):
        load_quotes(path)


def test_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    """Any other CSV is not a price history."""
    path = written(tmp_path / "other.csv", "1,2", header="a,b\n")
    with pytest.raises(PriceFileError, match="no column ts_ms"):
        load_quotes(path)


def test_missing_file_is_one_typed_error(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(PriceFileError, match=r"nowhere\.csv: cannot be read"):
        load_quotes(tmp_path / "nowhere.csv")
