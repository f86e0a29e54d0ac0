"""The operator's side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stablesats.okx_simulator import PriceReplay, Quote
from stablesats.okx_simulator.server import _is_loopback

START = datetime(2017, 9, 4, tzinfo=UTC)
REPLAY = PriceReplay(
    tuple(Quote(START + timedelta(minutes=minute), *[Decimal(4000 + minute)] * 3) for minute in range(3)),
    speed=Decimal(60),
)


async def test_state_shows_prices_account_and_counters(client: Any) -> None:
    """Amounts are texts, counters numbers."""
    await client.market_order("sell", "100", "a")
    await client.market_order("buy", "40", "b")
    await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=nobody")
    state = (await client.admin("GET", "state")).json
    assert state == {
        "replay": None,
        "price": {"bid": "50000", "ask": "50000", "last": "50000", "mark": "50000"},
        "position_contracts": "-60",
        "cash_btc": "9.99986",
        "funding_btc": "0",
        "deposited_btc": "10",
        "orders": 2,
        "fills": 2,
        "fees_btc": "-0.00014",
        "realized_pnl_btc": "0",
        "requests": {"/api/v5/trade/order": 3, "/admin/state": 1},
        "refusals": {"51603": 1},
    }


async def test_orders_are_listed_oldest_first(client: Any) -> None:
    """Every order ever accepted, and none that was refused."""
    await client.market_order("sell", "100", "a")
    await client.market_order("sell", "0.01", "refused")
    await client.market_order("buy", "40", "b", reduceOnly=True)
    orders = (await client.admin("GET", "orders")).json["orders"]
    assert [(order["clOrdId"], order["side"], order["sz"], order["accFillSz"]) for order in orders] == [
        ("a", "sell", "100", "100"),
        ("b", "buy", "40", "40"),
    ]
    assert (orders[1]["state"], orders[1]["reduceOnly"], orders[1]["avgPx"]) == ("filled", "true", "50000")


async def test_replay_waits_for_its_start(client_factory: Callable[..., Any], clock: Any) -> None:
    """Started by the admin API it runs at its speed to the end."""
    client = await client_factory(replay=REPLAY)
    clock.advance(100)
    waiting = (await client.admin("GET", "state")).json["replay"]
    started = (await client.admin("POST", "replay", {"action": "start"})).json["replay"]
    clock.advance(1)
    running = (await client.admin("GET", "state")).json
    clock.advance(1)
    finished = (await client.admin("GET", "state")).json["replay"]
    assert (waiting["started"], waiting["at"]) == (False, "2017-09-04T00:00:00+00:00")
    assert (started["started"], started["finished"], started["speed"]) == (True, False, "60")
    assert (running["replay"]["at"], running["price"]["last"]) == ("2017-09-04T00:01:00+00:00", "4001")
    assert finished["finished"] is True
    assert finished["at"] == finished["ends_at"] == "2017-09-04T00:02:00+00:00"


async def test_autostarted_replay_runs_from_the_start(client_factory: Callable[..., Any]) -> None:
    """As configured."""
    client = await client_factory(replay=REPLAY, replay_autostart=True)
    assert (await client.admin("GET", "state")).json["replay"]["started"] is True


async def test_price_set_by_hand_moves_the_market_until_released(client: Any) -> None:
    """A market order trades at it, sells at the bid."""
    await client.admin("POST", "price", {"bid": "39999", "ask": "40001"})
    await client.market_order("sell", "1", "a")
    released = (await client.admin("DELETE", "price")).json["price"]
    order = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"][0]
    assert order["avgPx"] == "39999"
    assert released["mark"] == "50000"


async def test_deposit_adds_to_both_accounts(client: Any) -> None:
    """Numbers and texts alike."""
    state = (await client.admin("POST", "deposit", {"trading_btc": "-1.5", "funding_btc": 0.25})).json
    assert (state["cash_btc"], state["funding_btc"]) == ("8.5", "0.25")


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kind": "drop_before"}, "DropBefore()"),
        ({"kind": "drop_after"}, "DropAfter()"),
        ({"kind": "delay", "ms": 5}, "DelayRequest(milliseconds=5)"),
        ({"kind": "delay_answer", "ms": 5}, "DelayAnswer(milliseconds=5)"),
        ({"kind": "status", "status": 429, "code": "50011"}, "AnswerStatus(status=429, code='50011')"),
        ({"kind": "not_json"}, "NotJson(status=502)"),
        ({"kind": "hide_order", "ms": 5}, "HideOrder(milliseconds=5)"),
        ({"kind": "rate_limit"}, "AnswerStatus(status=429, code='50011')"),
        ({"kind": "refuse", "code": "51030"}, "Refuse(code='51030')"),
        ({"kind": "malformed_json"}, "MalformedJson()"),
        ({"kind": "empty_fields"}, "EmptyFields()"),
        ({"kind": "stale"}, "StaleAnswer()"),
        ({"kind": "partial_fill", "ratio": "0.5"}, "PartialFill(ratio=Decimal('0.5'))"),
    ],
)
async def test_faults_of_every_kind_can_be_scripted(client: Any, fields: dict[str, Any], fault: str) -> None:
    """Listed until they happen, forgotten on request."""
    added = await client.admin("POST", "faults", {"endpoint": "trade/order", "count": 2} | fields)
    assert added.json["faults"] == [
        {"endpoint": "/api/v5/trade/order", "method": None, "fault": fault, "count": 2}
    ]
    assert (await client.admin("DELETE", "faults")).json == {"faults": []}
    assert client.simulator.faults.pending == ()


@pytest.mark.parametrize(
    ("method", "path", "fields", "message"),
    [
        ("POST", "price", {"price": "0"}, "0.1 <= bid <= ask"),
        ("POST", "price", {"price": "0.09"}, "0.1 <= bid <= ask"),
        ("POST", "price", {"price": "9" * 60}, "bid <= ask <= 1000000000"),
        ("POST", "price", {"price": "1e400"}, "bid <= ask <= 1000000000"),
        ("POST", "price", {"bid": "2", "ask": "1"}, "0.1 <= bid <= ask"),
        ("POST", "price", {"bid": "2"}, "ask is None"),
        ("POST", "price", {"price": "1", "bid": "1", "ask": "2"}, "there is no field ask, bid"),
        ("POST", "price", {"price": "Infinity"}, "must be a number"),
        ("POST", "replay", {"action": "start"}, "there is no replay"),
        ("POST", "deposit", {}, "trading_btc, funding_btc or both"),
        ("POST", "deposit", {"btc": "1"}, "trading_btc, funding_btc or both"),
        ("POST", "deposit", {"trading_btc": "-11"}, "the account holds 10"),
        ("POST", "faults", {"kind": "drop_before"}, "endpoint must be a path"),
        ("POST", "faults", {"endpoint": "x", "kind": "explode"}, "kind is 'explode'"),
        ("POST", "faults", {"endpoint": "x", "kind": "delay"}, "ms is None"),
        ("POST", "faults", {"endpoint": "x", "kind": "delay", "ms": True}, "ms is True"),
        ("POST", "faults", {"endpoint": "x", "kind": "delay", "ms": 600_001}, "up to 600000"),
        ("POST", "faults", {"endpoint": "x", "kind": "status", "status": 100}, "between 200 and 599"),
        ("POST", "faults", {"endpoint": "x", "kind": "drop_after", "count": 0}, "count is 0"),
        ("POST", "faults", {"endpoint": "x", "kind": "drop_after", "method": "PUT"}, "method is 'PUT'"),
        ("POST", "faults", [], "must be a JSON object"),
        ("POST", "faults", {"endpoint": "x", "kind": "partial_fill", "ratio": 1}, "ratio is 1"),
        ("POST", "faults", {"endpoint": "x", "kind": "partial_fill"}, "ratio is None"),
        ("POST", "faults", {"endpoint": "x", "kind": "drop_push"}, "fault of channels"),
        ("POST", "faults", {"endpoint": "ws/books", "kind": "stale"}, "fault of requests"),
        ("POST", "faults", {"endpoint": "trade/orders", "kind": "drop_after"}, "there is no trade/orders"),
        (
            "POST",
            "faults",
            {"endpoint": "ws/nope", "kind": "drop_push"},
            "there is no ws/nope; there are /ws/",
        ),
        (
            "POST",
            "faults",
            {"endpoint": "/admin/state", "kind": "delay", "ms": 1},
            "there is no /admin/state",
        ),
        (
            "POST",
            "faults",
            {"endpoint": "trade/batch-orders", "kind": "drop_after", "method": "GET"},
            "there is no GET trade/batch-orders",
        ),
        (
            "POST",
            "faults",
            {"endpoint": "account/balance", "kind": "hide_order", "ms": 1},
            "HideOrder cannot happen to account/balance",
        ),
        (
            "POST",
            "faults",
            {"endpoint": "trade/order", "kind": "partial_fill", "ratio": 0, "method": "GET"},
            "PartialFill cannot happen to GET trade/order",
        ),
        ("POST", "faults", {"endpoint": "asset/transfer", "kind": "stale"}, "StaleAnswer cannot happen"),
        ("POST", "faults", {"endpoint": "*", "kind": "drop_after"}, "needs a probability"),
        (
            "POST",
            "faults",
            {"endpoint": "*", "kind": "stale", "probability": 1, "method": "POST"},
            "to POST *",
        ),
        (
            "POST",
            "faults",
            {"endpoint": "trade/order", "kind": "drop_after", "count": 1, "probability": 1},
            "not both",
        ),
        ("POST", "faults", {"endpoint": "trade/order", "kind": "drop_after", "cuont": 2}, "no field cuont"),
        ("POST", "faults", {"endpoint": "trade/order", "kind": "refuse", "code": "abc"}, "code is 'abc'"),
        ("POST", "faults", {"endpoint": "trade/order", "kind": "refuse", "code": "0"}, "refuses nothing"),
        ("POST", "faults", {"endpoint": "ws/books", "kind": "close_stream", "code": 1}, "code is 1"),
        ("POST", "faults", {"endpoint": "ws/books", "kind": "close_stream", "code": 1006}, "close frame"),
        ("POST", "faults", {"endpoint": "*", "kind": "stale", "probability": 1.5}, "probability is 1.5"),
        ("POST", "faults", {"endpoint": "*", "kind": "drop_push", "probability": 1}, "fault of channels"),
        ("POST", "price", {"price": "1", "idnex": "2"}, "there is no field idnex"),
        ("POST", "price", {"price": "1", "index": "0"}, "index is 0"),
        ("POST", "book", {"asks": [["2", "1"]]}, "bids must be a list"),
        ("POST", "book", {"asks": [["2", "1"]], "bids": [["3", "1"]]}, "best bid must not be above"),
        ("POST", "book", {"asks": [["2", "1"], ["1", "1"]], "bids": [["1", "1"]]}, "best price first"),
        ("POST", "price", {"price": "1", "index": "9" * 60}, "between 0.1 and 1000000000"),
        ("POST", "book", {"asks": [["2", "0"]], "bids": [["1", "1"]]}, "multiples of 0.1 up to 100000000"),
        ("POST", "book", {"asks": [["2", "0.15"]], "bids": [["1", "1"]]}, "holds 0.15 contracts"),
        ("POST", "book", {"asks": [["2", "1e99"]], "bids": [["1", "1"]]}, "holds 1E+99 contracts"),
        ("POST", "book", {"asks": [["1e99", "1"]], "bids": [["1", "1"]]}, "price of 1E+99"),
        ("POST", "book", {"asks": [["2"]], "bids": [["1", "1"]]}, "pairs of price and contracts"),
        ("POST", "time", {"speed": 0}, "at least 1"),
        ("POST", "time", {"speed": "fast"}, "whole number"),
        ("POST", "conditions", {"maintenance": "yes"}, "must be true or false"),
        ("POST", "conditions", {"clock_skew_ms": "1e12"}, "must be within"),
        ("POST", "funding", {"rate": "2"}, "must be within -1 and 1"),
        ("POST", "chain-deposit", {"amt": "0.0001"}, "at least 0.0005 BTC"),
        ("POST", "chain-deposit", {"amt": "1", "addr": "elsewhere"}, "not a deposit address"),
        ("POST", "blocks", {"count": 1001}, "up to 1000"),
        ("POST", "money-state", {"id": "1", "state": "2"}, "there is no withdrawal 1"),
        ("POST", "money-state", {"id": "1"}, "state is None"),
        ("POST", "money-state", {"id": "1", "state": "abc"}, "state is 'abc'"),
        ("POST", "save", {}, "there is no state file"),
    ],
)
async def test_request_that_makes_no_sense_changes_nothing(
    client: Any, method: str, path: str, fields: Any, message: str
) -> None:
    """400 with one sentence that says what is wrong."""
    answer = await client.admin(method, path, fields)
    assert answer.status == 400
    assert message in answer.json["error"]
    assert client.simulator.faults.pending == ()
    assert client.simulator.exchange.account.cash_btc == 10
    assert client.simulator.exchange.price.bid_usd == client.simulator.exchange.price.index_usd == 50_000


async def test_random_fault_is_met_again_and_again(client: Any) -> None:
    """Listed with its probability; with 1 every request meets it, until it is cleared."""
    fields = {"endpoint": "*", "kind": "rate_limit", "probability": 1, "method": "GET"}
    listed = (await client.admin("POST", "faults", fields)).json["faults"]
    assert [(each["endpoint"], each["probability"]) for each in listed] == [("*", "1")]
    assert [(await client.public("public/time")).status for _ in range(3)] == [429] * 3
    await client.admin("DELETE", "faults")
    assert (await client.public("public/time")).status == 200


async def test_book_set_by_hand_is_what_orders_meet(client: Any) -> None:
    """Shown over REST, and traded against level by level."""
    book = {"asks": [["50001", "2"], ["50002", 3]], "bids": [["50000", "1"]]}
    await client.admin("POST", "book", book)
    [shown] = (await client.public("market/books?instId=BTC-USD-SWAP&sz=5")).json["data"]
    assert shown["asks"] == [["50001", "2", "0", "1"], ["50002", "3", "0", "1"]]
    await client.market_order("buy", "9", "a")
    [order] = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"]
    assert (order["accFillSz"], order["state"], order["cancelSource"]) == ("5", "canceled", "0")
    [ticker] = (await client.public("market/ticker?instId=BTC-USD-SWAP")).json["data"]
    assert (ticker["askSz"], ticker["bidSz"]) == ("2", "1")


async def test_index_may_stand_apart_from_the_market(client: Any) -> None:
    """Margins count at it, orders trade at the quotes."""
    state = await client.admin("POST", "price", {"bid": "50000", "ask": "50010", "index": "49000"})
    assert state.json["price"]["mark"] == "49000"


async def test_time_can_be_sped_up_and_skipped(client: Any, clock: Any) -> None:
    """A day is skipped: three settlements are paid; signatures go by the machine's clock all the same."""
    await client.market_order("sell", "100")
    skipped = (await client.admin("POST", "time", {"skip_secs": 86_400})).json
    assert skipped["now"] == "2026-09-02T12:00:00+00:00"
    bills = (await client.get("account/bills?type=8")).json["data"]
    assert [(bill["balChg"], bill["subType"]) for bill in bills] == [("0.00002", "174")] * 3
    assert [int(bill["ts"]) % 86_400_000 // 3_600_000 for bill in bills] == [8, 0, 16]
    await client.admin("POST", "time", {"speed": 3600})
    clock.advance(24)
    assert len((await client.get("account/bills?type=8")).json["data"]) == 6


async def test_funding_rate_can_be_set_and_settled(client: Any) -> None:
    """A negative rate charges the short."""
    await client.market_order("sell", "100")
    await client.admin("POST", "funding", {"rate": "-0.0002", "settle": True})
    [bill] = (await client.get("account/bills?type=8")).json["data"]
    assert (bill["balChg"], bill["subType"]) == ("-0.00004", "173")
    [row] = (await client.public("public/funding-rate?instId=BTC-USD-SWAP")).json["data"]
    assert (row["fundingRate"], row["settFundingRate"]) == ("-0.0002", "-0.0002")


async def test_clock_of_the_server_can_be_wrong(client: Any) -> None:
    """40 s ahead: its time says so, and what is signed by the right clock has expired."""
    before = int((await client.public("public/time")).json["data"][0]["ts"])
    await client.admin("POST", "conditions", {"clock_skew_ms": 40_000})
    assert int((await client.public("public/time")).json["data"][0]["ts"]) - before == 40_000
    assert (await client.get("account/balance")).json["code"] == "50102"
    assert (await client.admin("POST", "conditions", {"clock_skew_ms": -20_000})).json[
        "clock_skew_ms"
    ] == -20_000
    assert (await client.get("account/balance")).json["code"] == "0"


async def test_maintenance_leaves_only_time_and_status_open(client: Any) -> None:
    """Everything else answers 503 with 50001, and nothing is executed."""
    assert (await client.admin("POST", "conditions", {"maintenance": True})).json["maintenance_since"]
    answer = await client.market_order("sell", "1")
    assert (answer.status, answer.json["code"]) == (503, "50001")
    assert (await client.public("public/time")).json["code"] == "0"
    [row] = (await client.public("system/status")).json["data"]
    assert row["state"] == "ongoing"
    await client.admin("POST", "conditions", {"maintenance": False})
    assert (await client.public("system/status")).json["data"] == []
    assert client.simulator.exchange.order_count == 0


async def test_custody_says_who_holds_the_bitcoin(client: Any) -> None:
    """After a trade: ten are paid in, the fee is the exchange's, and nothing is missing."""
    await client.market_order("sell", "100")
    custody = (await client.admin("GET", "custody")).json
    assert custody == {
        "trading_btc": "9.9999",
        "funding_btc": "0",
        "in_transit_btc": "0",
        "exchange_btc": "0.0001",
        "counterparties_btc": "0",
        "paid_in_btc": "10",
        "discrepancy_btc": "0",
    }


async def test_replay_knows_start_and_pause_only(client_factory: Callable[..., Any]) -> None:
    """Anything else is named in the answer."""
    client = await client_factory(replay=REPLAY)
    answer = await client.admin("POST", "replay", {"action": "rewind"})
    assert (answer.status, answer.json["error"]) == (
        400,
        "action is 'rewind', and must be 'start' or 'pause'",
    )
    assert (await client.admin("POST", "replay", {"action": "pause"})).status == 200


async def test_unknown_admin_path_is_404(client: Any) -> None:
    """In JSON, like everything here."""
    answer = await client.admin("GET", "nowhere")
    assert (answer.status, answer.json) == (404, {"error": "there is no GET /admin/nowhere"})


@pytest.mark.parametrize(
    ("remote", "allowed"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), ("", False), (None, False)],
)
def test_admin_answers_to_loopback_only(remote: str | None, allowed: bool) -> None:
    """It is unsigned, so it never leaves the machine."""
    assert _is_loopback(remote) is allowed
