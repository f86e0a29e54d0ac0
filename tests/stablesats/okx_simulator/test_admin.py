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
        ("POST", "price", {"price": "0"}, "0 < bid <= ask"),
        ("POST", "price", {"bid": "2", "ask": "1"}, "0 < bid <= ask"),
        ("POST", "price", {"bid": "2"}, "ask is None"),
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
