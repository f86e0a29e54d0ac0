"""What a subscription pushes, and when."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx_simulator import Book, Level
from stablesats.okx_simulator.book_tape import level_changes
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import OrderKind, OrderTicket
from stablesats.okx_simulator.publications import Push, publication_of
from stablesats.okx_simulator.subscriptions import Channel, Subscription

D = Decimal

sides = st.dictionaries(st.integers(1, 30), st.integers(1, 9), min_size=1, max_size=8)


def place(exchange: Exchange, side: Side, contracts: int, price: int | None = None) -> None:
    exchange.place(
        OrderTicket(
            inst_id="BTC-USD-SWAP",
            side=side,
            contracts=D(contracts),
            client_order_id="",
            tag="",
            reduce_only=False,
            kind=OrderKind.LIMIT if price else OrderKind.MARKET,
            price_usd=D(price) if price else None,
        )
    )


def follow(exchange: Exchange, channel: Channel) -> Callable[[float], list[Push]]:
    publication = publication_of(Subscription(channel, ()), exchange)
    return lambda now_secs: publication.due(exchange, now_secs)


def test_ticker_comes_at_once_then_on_change_and_ten_times_a_second_at_most(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """A change within 100 ms waits; no change, no push."""
    exchange = exchange_factory()
    due = follow(exchange, Channel.TICKERS)
    assert due(0.0)[0]["data"][0]["last"] == "50000"
    exchange.feed.set_by_hand(D(50_001), D(50_001))
    assert due(0.05) == []
    assert due(0.1)[0]["data"][0]["last"] == "50001"
    assert due(5.0) == []


@pytest.mark.parametrize(
    ("channel", "seconds"), [(Channel.TICKERS, 5), (Channel.MARK_PRICE, 10), (Channel.FUNDING_RATE, 60)]
)
def test_slow_channel_repeats_itself(
    exchange_factory: Callable[..., Exchange], channel: Channel, seconds: int
) -> None:
    """Unchanged it comes again after its time."""
    due = follow(exchange_factory(), channel)
    assert len(due(0.0)) == 1
    assert due(seconds - 0.01) == []
    assert len(due(seconds)) == 1


def test_book_is_a_snapshot_then_updates_in_an_unbroken_chain(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """The snapshot's `prevSeqId` is -1, each update names the one before; the checksum is the constant 0."""
    exchange = exchange_factory()
    due = follow(exchange, Channel.BOOKS)
    [snapshot] = due(0.0)
    exchange.feed.set_by_hand(D(50_001), D(50_002))
    [update] = due(0.1)
    row, after = snapshot["data"][0], update["data"][0]
    assert (snapshot["action"], row["prevSeqId"], row["checksum"]) == ("snapshot", -1, 0)
    assert (update["action"], after["prevSeqId"], after["checksum"]) == ("update", row["seqId"], 0)
    assert after["seqId"] > row["seqId"]
    assert ["50000", "0", "0", "0"] in after["asks"]
    assert due(1.0) == []


def test_book_without_change_says_so_once_a_minute(exchange_factory: Callable[..., Exchange]) -> None:
    """An update without levels, whose `prevSeqId` is its `seqId`."""
    due = follow(exchange_factory(), Channel.BOOKS)
    due(0.0)
    [update] = due(60.0)
    row = update["data"][0]
    assert (row["asks"], row["bids"], row["seqId"]) == ([], [], row["prevSeqId"])


@settings(deadline=None)
@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=6))
def test_reader_who_applies_every_update_has_the_book(
    states: list[tuple[dict[int, int], dict[int, int]]],
) -> None:
    """Snapshot plus updates give each book in turn, whatever comes and goes."""
    read: dict[str, dict[Decimal, Decimal]] = {"asks": {}, "bids": {}}
    before = Book((), ())
    for asks, bids in states:
        book = Book(
            tuple(Level(D(100 + price), D(size)) for price, size in sorted(asks.items())),
            tuple(Level(D(100 - price), D(size)) for price, size in sorted(bids.items())),
        )
        for name in ("asks", "bids"):
            for level in level_changes(getattr(before, name), getattr(book, name)):
                if level.contracts:
                    read[name][level.price_usd] = level.contracts
                else:
                    del read[name][level.price_usd]
            assert read[name] == {level.price_usd: level.contracts for level in getattr(book, name)}
        before = book


def test_five_best_levels_come_whole(exchange_factory: Callable[..., Exchange]) -> None:
    """No action and no checksum, but the instrument and the sequence."""
    [push] = follow(exchange_factory(), Channel.BOOKS5)(0.0)
    row = push["data"][0]
    assert (len(row["asks"]), len(row["bids"]), row["instId"]) == (5, 5, "BTC-USD-SWAP")
    assert "action" not in push
    assert "checksum" not in row


def test_orders_push_every_change_from_the_subscription_on(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """First nothing; then accepted, each fill its own, and the end."""
    exchange = exchange_factory()
    place(exchange, Side.SELL, 1)
    due = follow(exchange, Channel.ORDERS)
    assert due(0.0) == []
    exchange.feed.set_by_hand(D(50_000), D(50_001), book=_thin())
    place(exchange, Side.SELL, 15)
    rows = [push["data"][0] for push in due(0.1)]
    assert [(row["state"], row["fillSz"], row["fillPx"], row["execType"]) for row in rows] == [
        ("live", "0", "", ""),
        ("partially_filled", "10", "50000", "T"),
        ("partially_filled", "2", "49999", "T"),
        ("canceled", "0", "", ""),
    ]
    assert [row["accFillSz"] for row in rows] == ["0", "10", "12", "12"]
    assert rows[1]["fillFee"] == "-0.00001"
    assert due(0.2) == []


def test_account_and_position_come_as_snapshot_then_on_events(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """A closed position is shown once more with `pos` 0; unchanged rows come every five seconds."""
    exchange = exchange_factory()
    account, positions = follow(exchange, Channel.ACCOUNT), follow(exchange, Channel.POSITIONS)
    assert [push["eventType"] for push in (*account(0.0), *positions(0.0))] == ["snapshot", "snapshot"]
    place(exchange, Side.SELL, 10)
    [push] = positions(0.1)
    assert (push["eventType"], push["data"][0]["pos"]) == ("event_update", "-10")
    assert account(0.1)[0]["data"][0]["details"][0]["cashBal"] == "9.99999"
    assert positions(1.0) == []
    [regular] = positions(5.2)
    assert regular["eventType"] == "snapshot"
    place(exchange, Side.BUY, 10)
    assert positions(5.3)[0]["data"][0]["pos"] == "0"
    assert positions(11.0) == []


def test_trades_are_the_fills_from_now_on(exchange_factory: Callable[..., Exchange]) -> None:
    """Price, size and side of each."""
    exchange = exchange_factory()
    place(exchange, Side.SELL, 1)
    due = follow(exchange, Channel.TRADES)
    place(exchange, Side.BUY, 3)
    [push] = due(0.0)
    row: dict[str, Any] = push["data"][0]
    assert (row["side"], row["sz"], row["px"]) == ("buy", "3", "50000")


def test_index_is_pushed_apart_from_the_mark(exchange_factory: Callable[..., Exchange]) -> None:
    """Under the name of the pair, not of the swap."""
    exchange = exchange_factory(basis_ratio=D("0.001"))
    [push] = follow(exchange, Channel.INDEX_TICKERS)(0.0)
    assert (push["data"][0]["instId"], push["data"][0]["idxPx"]) == ("BTC-USD", "50000")


def _thin() -> Book:
    return Book((Level(D(50_001), D(1)),), (Level(D(50_000), D(10)), Level(D(49_999), D(2))))
