"""Time, instruments and market data over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest


async def test_time_is_the_server_s_wall_clock(client: Any, clock: Any) -> None:
    """Milliseconds in a text."""
    answer = await client.public("public/time")
    assert answer.json == {"code": "0", "data": [{"ts": str(int(clock.now().timestamp() * 1000))}], "msg": ""}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("instType=SWAP", 1),
        ("instType=SWAP&instId=BTC-USD-SWAP", 1),
        ("instType=SWAP&instFamily=BTC-USD", 1),
        ("instType=SWAP&uly=ETH-USD", 0),
        ("instType=SPOT", 0),
        ("instType=FUTURES", 0),
        ("instType=OPTION&uly=BTC-USD", 0),
    ],
)
async def test_only_the_swap_is_listed(client: Any, query: str, rows: int) -> None:
    """Other kinds exist without rows: a client loading all markets must not fail."""
    answer = await client.public(f"public/instruments?{query}")
    assert (answer.json["code"], len(answer.json["data"])) == ("0", rows)


async def test_swap_has_the_recorded_terms(client: Any) -> None:
    """Lot and tick are read at start-up by clients, so they must be right."""
    row = (await client.public("public/instruments?instType=SWAP")).json["data"][0]
    terms = {
        name: row[name] for name in ("ctVal", "ctType", "settleCcy", "lotSz", "minSz", "tickSz", "maxMktSz")
    }
    assert terms == {
        "ctVal": "100",
        "ctType": "inverse",
        "settleCcy": "BTC",
        "lotSz": "0.1",
        "minSz": "0.1",
        "tickSz": "0.1",
        "maxMktSz": "49000",
    }
    assert (row["instIdCode"], row["lever"], row["state"]) == (10458, "100", "live")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("public/instruments", 400, "50014"),
        ("public/instruments?instType=STOCK", 400, "51000"),
        ("public/instruments?instType=SWAP&instId=ETH-USD-SWAP", 200, "51001"),
        ("market/ticker", 400, "50014"),
        ("market/ticker?instId=ETH-USD-SWAP", 200, "51001"),
        ("market/tickers", 400, "50014"),
        ("market/books?instId=BTC-USD-SWAP&sz=401", 400, "51000"),
        ("market/books?instId=BTC-USD-SWAP&sz=x", 400, "51000"),
        ("market/books?instId=BTC-USD-SWAP&sz=0", 400, "51000"),
        (f"market/books?instId=BTC-USD-SWAP&sz={'9' * 5000}", 400, "51000"),
        ("public/mark-price", 400, "50014"),
        ("public/mark-price?instId=X", 200, "51001"),
        ("public/funding-rate?instId=X", 200, "51001"),
    ],
)
async def test_malformed_question_has_its_code(client: Any, path: str, status: int, code: str) -> None:
    """With an empty data list."""
    answer = await client.public(path)
    assert (answer.status, answer.json["code"], answer.json["data"]) == (status, code, [])


async def test_ticker_shows_bid_ask_and_last(client: Any) -> None:
    """As set, in plain texts."""
    client.simulator.exchange.feed.set_by_hand(Decimal("4000.1"), Decimal("4000.5"))
    row = (await client.public("market/ticker?instId=BTC-USD-SWAP")).json["data"][0]
    assert (row["bidPx"], row["askPx"], row["last"]) == ("4000.1", "4000.5", "4000.3")
    tickers = (await client.public("market/tickers?instType=SWAP")).json["data"]
    assert [ticker["instId"] for ticker in tickers] == ["BTC-USD-SWAP"]


async def test_book_is_sorted_from_the_best_price_and_equal_under_one_seed(
    client_factory: Callable[..., Any],
) -> None:
    """One tick apart; the best level carries the largest market order."""
    books = []
    for seed in (1, 1, 2):
        client = await client_factory(seed=seed)
        books.append((await client.public("market/books?instId=BTC-USD-SWAP&sz=10")).json["data"][0])
    bids = [Decimal(level[0]) for level in books[0]["bids"]]
    asks = [Decimal(level[0]) for level in books[0]["asks"]]
    assert (len(bids), len(asks)) == (10, 10)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert books[0]["bids"][0] == ["50000", "49000", "0", "1"]
    assert books[0] == books[1] != books[2]


async def test_mark_price_needs_only_the_instrument(client: Any) -> None:
    """One known client sends no instType."""
    by_id = await client.public("public/mark-price?instId=BTC-USD-SWAP")
    by_type = await client.public("public/mark-price?instType=SWAP")
    assert by_id.json == by_type.json
    assert by_id.json["data"][0]["markPx"] == "50000"
    assert (await client.public("public/mark-price?instType=FUTURES")).json["data"] == []


async def test_funding_settles_every_eight_hours(client: Any) -> None:
    """At 12:00 UTC the next settlements are at 16:00 and 00:00."""
    row = (await client.public("public/funding-rate?instId=BTC-USD-SWAP")).json["data"][0]
    assert row["fundingRate"] == "0.0001"
    assert int(row["fundingTime"]) % 86_400_000 == 16 * 3_600_000
    assert int(row["nextFundingTime"]) - int(row["fundingTime"]) == 8 * 3_600_000


async def test_no_maintenance_is_planned(client: Any) -> None:
    """An empty list means all is well."""
    assert (await client.public("system/status")).json == {"code": "0", "data": [], "msg": ""}
