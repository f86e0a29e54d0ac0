"""Recorded OKX traffic and order books as prices to trade against."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stablesats.okx_simulator import PriceFileError, PriceReplay, load_quotes, read_quotes
from stablesats.okx_simulator.captures import book_checksum, load_capture
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import OrderTicket

DATA = Path(__file__).parent / "data"
SWAP_BOOK = DATA / "okx_ws_btc_usd_swap_book.jsonl.gz"
FUTURE = DATA / "okx_ws_btc_usd_220527.jsonl.gz"
CRASH = DATA / "coinbase_btcusd_l2_1m_20210418_crash_end.csv.gz"


def message(
    action: str, asks: list[list[str]], bids: list[list[str]], *, ts: int = 1000, checksum: int = 0
) -> str:
    row = {"asks": asks, "bids": bids, "ts": str(ts), "checksum": checksum}
    arg = {"channel": "books", "instId": "BTC-USD-SWAP"}
    return json.dumps({"raw": json.dumps({"arg": arg, "action": action, "data": [row]})})


def test_recorded_swap_book_gives_a_quote_for_each_message() -> None:
    """Four messages, 400 levels, and all four recorded checksums hold."""
    quotes = load_capture(SWAP_BOOK)
    assert [quote.at.microsecond // 1000 for quote in quotes] == [503, 603, 703, 803]
    assert (quotes[0].bid_usd, quotes[0].ask_usd) == (20_276, Decimal("20276.1"))
    assert quotes[0].book is not None
    assert (len(quotes[0].book.asks), quotes[0].book.asks[0].contracts) == (400, 1393)


def test_recorded_stream_keeps_its_checksums_and_last_prices() -> None:
    """99 states of a real future's book, each verified; the last price is that of its tickers and trades."""
    quotes = load_capture(FUTURE, instrument="BTC-USD-220527")
    assert len(quotes) == 99
    assert all(quote.bid_usd <= quote.ask_usd for quote in quotes)
    assert quotes[-1].last_usd == Decimal("30229.6")
    later = load_capture(FUTURE, quotes[50].at, quotes[60].at, instrument="BTC-USD-220527")
    assert later == quotes[50:60]
    assert read_quotes(FUTURE, instrument="BTC-USD-220527") == quotes


def test_capture_without_the_instrument_says_which_it_has() -> None:
    """And a venue is nothing that a capture of OKX's could choose."""
    with pytest.raises(PriceFileError, match=r"holds those of BTC-USD-220527: choose an instrument"):
        read_quotes(FUTURE)
    with pytest.raises(PriceFileError, match="no venue bybit to choose"):
        read_quotes(FUTURE, venue="bybit", instrument="BTC-USD-220527")


def test_spot_book_becomes_one_of_contracts(tmp_path: Path) -> None:
    """Half a coin at 30,000 USD are 150 contracts; what is below a tenth of one is left out."""
    text = message("snapshot", [["30000", "0.5", "0", "1"]], [["29999", "0.00003", "0", "1"], *LEVEL[1]])
    path = tmp_path / "capture.jsonl"
    path.write_text(text.replace("BTC-USD-SWAP", "BTC-USDT"))
    [quote] = read_quotes(path, instrument="BTC-USDT")
    assert quote.book is not None
    assert [(each.price_usd, each.contracts) for each in quote.book.asks] == [(30_000, 150)]
    assert [(each.price_usd, str(each.contracts)) for each in quote.book.bids] == [(99, "4.9")]


def test_order_trades_against_a_recorded_book(exchange_factory: Callable[..., Exchange]) -> None:
    """2,000 bought from the real depth: 1,393 at the best ask, the rest higher up."""
    exchange = exchange_factory(replay=PriceReplay(load_capture(SWAP_BOOK)))
    exchange.place(
        OrderTicket(
            inst_id="BTC-USD-SWAP",
            side=Side.BUY,
            contracts=Decimal(2_000),
            client_order_id="",
            tag="",
            reduce_only=False,
        )
    )
    assert [(str(fill.price_usd), int(fill.contracts)) for fill in exchange.fills][:3] == [
        ("20276.1", 1393), ("20276.2", 404), ("20276.3", 13),
    ]  # fmt: skip
    assert exchange.account.contracts == 2_000


def test_snapshots_of_another_exchange_are_books_of_contracts() -> None:
    """24,000 USD at the best bid are 240 contracts; what is below a tenth of one is left out."""
    quotes = load_quotes(CRASH)
    assert quotes == read_quotes(CRASH)
    assert len(quotes) == 12
    book = quotes[-1].book
    assert book is not None
    assert (quotes[-1].bid_usd, quotes[-1].ask_usd) == (book.bids[0].price_usd, book.asks[0].price_usd)
    assert all(level.contracts >= Decimal("0.1") for level in (*book.asks, *book.bids))


def test_checksum_is_the_one_that_okx_published() -> None:
    """Bid, ask, bid, ask ..., texts as sent, missing levels skipped, read as signed."""
    asks = {"3366.8": "9", "3368": "8", "3372": "8"}
    bids = {"3366.1": "7"}
    assert book_checksum(asks, bids) == _crc("3366.1:7:3366.8:9:3368:8:3372:8")
    assert book_checksum({}, {}) == 0


def _crc(text: str) -> int:
    value = zlib.crc32(text.encode())
    return value - 2**32 if value >= 2**31 else value


LEVEL = [["101", "5", "0", "1"]], [["99", "5", "0", "1"]]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "no order book of BTC-USD-SWAP"),
        (["no json"], "is no capture"),
        (["7"], "is no capture"),
        ([message("update", *LEVEL)], "line 1: an update of a book before its snapshot"),
        ([message("snapshot", *LEVEL, checksum=5)], "line 1: the book's checksum is"),
        (
            [message("snapshot", [["98", "1", "0", "1"]], LEVEL[1])],
            "the best bid 99 is above the best ask 98",
        ),
        ([message("snapshot", [["x", "1", "0", "1"]], LEVEL[1])], "line 1: no message of OKX's"),
        ([message("snapshot", [["101"]], LEVEL[1])], "line 1: no message of OKX's"),
    ],
)
def test_broken_capture_is_one_line_that_says_where(tmp_path: Path, lines: list[str], complaint: str) -> None:
    """The file, the line, what is wrong."""
    path = tmp_path / "capture.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(PriceFileError, match=complaint) as failed:
        read_quotes(path)
    assert failed.value.path == path


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, and cut off."""
    with pytest.raises(PriceFileError, match=r"nowhere\.jsonl: cannot be read"):
        load_capture(tmp_path / "nowhere.jsonl")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(message("snapshot", *LEVEL).encode())[:-9])
    with pytest.raises(PriceFileError, match="cannot be read"):
        load_capture(cut)


def test_of_several_states_in_one_millisecond_the_last_one_counts(tmp_path: Path) -> None:
    """A replay needs one quote an instant; a level of size 0 is gone."""
    path = tmp_path / "capture.jsonl"
    gone: Any = [["101", "0", "0", "0"], ["102", "1", "0", "1"]]
    path.write_text("\n".join([message("snapshot", *LEVEL), message("update", gone, [])]))
    [quote] = load_capture(path)
    assert (quote.at, quote.ask_usd) == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 102)
