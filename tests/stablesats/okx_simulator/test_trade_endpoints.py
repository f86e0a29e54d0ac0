"""Orders over HTTP: envelope per item, and every row that shows them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

ORDER = {"instId": "BTC-USD-SWAP", "tdMode": "cross", "side": "sell", "ordType": "market", "sz": "10"}


async def test_accepted_order_has_an_id_and_the_trade_times(client: Any) -> None:
    """Success says accepted; inTime and outTime are microseconds."""
    answer = (await client.market_order("sell", "10", "a", tag="t1")).json
    item = answer["data"][0]
    assert (answer["code"], answer["msg"]) == ("0", "")
    assert (item["clOrdId"], item["tag"], item["sCode"], item["sMsg"]) == ("a", "t1", "0", "")
    assert len(item["ordId"]) == 19
    assert len(answer["inTime"]) == len(answer["outTime"]) == 16


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sz": "0.01"}, "51020"),
        ({"sz": "0.15"}, "51121"),
        ({"sz": "49001"}, "51202"),
        ({"sz": "40000"}, "51008"),
        ({"side": "long"}, "51000"),
        ({"instId": "X"}, "51001"),
        ({"reduceOnly": True}, "51169"),
        ({"clOrdId": "a b"}, "51000"),
    ],
)
async def test_refused_order_carries_code_1_and_its_own_code(
    client: Any, fields: dict[str, Any], code: str
) -> None:
    """A top-level 0 with a refused item would be taken for success by some clients."""
    answer = await client.post("trade/order", ORDER | fields)
    item = answer.json["data"][0]
    assert (answer.status, answer.json["code"], answer.json["msg"]) == (200, "1", "All operations failed")
    assert (item["sCode"], item["ordId"]) == (code, "")
    assert item["sMsg"]
    assert client.simulator.exchange.order_count == 0
    assert client.simulator.refusals == {code: 1}


async def test_filled_order_row_has_every_documented_field(client: Any) -> None:
    """Numbers are texts; what does not apply is an empty text."""
    await client.market_order("sell", "10", "a")
    row = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"][0]
    assert (row["state"], row["accFillSz"], row["avgPx"], row["fee"]) == ("filled", "10", "50000", "-0.00001")
    assert (row["side"], row["sz"], row["px"], row["reduceOnly"]) == ("sell", "10", "", "false")
    assert (row["attachAlgoOrds"], row["linkedAlgoOrd"]) == ([], {"algoId": ""})
    documented = (
        "instType instId ordId clOrdId tag cTime uTime side posSide tdMode ordType sz px reduceOnly lever ccy "
        "category source stpMode tgtCcy state accFillSz avgPx fillPx fillSz fillTime tradeId fee feeCcy pnl rebate "
        "rebateCcy cancelSource cancelSourceReason algoClOrdId algoId attachAlgoClOrdId attachAlgoOrds "
        "linkedAlgoOrd isTpLimit pxType pxUsd pxVol quickMgnType slOrdPx slTriggerPx slTriggerPxType tpOrdPx "
        "tpTriggerPx tpTriggerPxType stpId tradeQuoteCcy"
    )
    assert set(documented.split()) == set(row)


async def test_live_order_has_empty_fill_fields(client_factory: Callable[..., Any], clock: Any) -> None:
    """A client must not read an average price of zero."""
    client = await client_factory(fill_delay_ms=1000)
    await client.market_order("sell", "10", "a")
    target = "trade/order?instId=BTC-USD-SWAP&clOrdId=a"
    live = (await client.get(target)).json["data"][0]
    pending = (await client.get("trade/orders-pending")).json["data"]
    clock.advance(1)
    assert (
        live["state"],
        live["accFillSz"],
        live["avgPx"],
        live["fillPx"],
        live["fillTime"],
        live["fee"],
    ) == (
        "live",
        "0",
        "",
        "",
        "",
        "0",
    )
    assert [row["clOrdId"] for row in pending] == ["a"]
    assert (await client.get(target)).json["data"][0]["state"] == "filled"
    assert (await client.get("trade/orders-pending")).json["data"] == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("instId=BTC-USD-SWAP", 200, "51003"),
        ("instId=BTC-USD-SWAP&clOrdId=nobody", 200, "51603"),
        ("instId=BTC-USD-SWAP&ordId=1", 200, "51603"),
        ("clOrdId=a", 400, "50014"),
        ("instId=X&clOrdId=a", 200, "51001"),
    ],
)
async def test_unknown_order_is_an_error_and_never_an_empty_list(
    client: Any, query: str, status: int, code: str
) -> None:
    """An empty list would be read as an order of nothing."""
    answer = await client.get(f"trade/order?{query}")
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.parametrize(
    ("sizes", "code", "items"),
    [
        (["1", "2"], "0", ["0", "0"]),
        (["1", "0.01"], "2", ["0", "51020"]),
        (["0.01", "x"], "1", ["51020", "51000"]),
    ],
)
async def test_batch_is_judged_order_by_order(
    client: Any, sizes: list[str], code: str, items: list[str]
) -> None:
    """0 all, 2 some, 1 none."""
    answer = (await client.post("trade/batch-orders", [ORDER | {"sz": size} for size in sizes])).json
    assert (answer["code"], [item["sCode"] for item in answer["data"]]) == (code, items)


@pytest.mark.parametrize(("body", "code"), [({}, "50002"), ([], "51000"), ([ORDER] * 21, "51000")])
async def test_batch_holds_one_to_twenty_orders(client: Any, body: Any, code: str) -> None:
    """A list, and neither empty nor longer."""
    answer = await client.post("trade/batch-orders", body)
    assert (answer.status, answer.json["code"]) == (400, code)
    assert client.simulator.exchange.order_count == 0


async def test_batch_item_that_is_no_object_fails_alone(client: Any) -> None:
    """Its neighbour trades."""
    answer = (await client.post("trade/batch-orders", ["junk", ORDER])).json
    assert [item["sCode"] for item in answer["data"]] == ["51000", "0"]


async def test_order_that_is_done_cannot_be_cancelled(client: Any) -> None:
    """Filled or unknown: code 1, sCode 51400."""
    await client.market_order("sell", "10", "a")
    for name in ("a", "nobody"):
        answer = (await client.post("trade/cancel-order", {"instId": "BTC-USD-SWAP", "clOrdId": name})).json
        assert (answer["code"], answer["data"][0]["sCode"]) == ("1", "51400")


async def test_live_order_is_cancelled(client_factory: Callable[..., Any]) -> None:
    """The item names both ids."""
    client = await client_factory(fill_delay_ms=1000)
    placed = (await client.market_order("sell", "10", "a")).json["data"][0]
    answer = (
        await client.post("trade/cancel-order", {"instId": "BTC-USD-SWAP", "ordId": placed["ordId"]})
    ).json
    row = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"][0]
    assert (answer["code"], answer["data"][0]["clOrdId"]) == ("0", "a")
    assert (row["state"], row["cancelSource"]) == ("canceled", "1")


async def test_closing_a_position_answers_without_an_order_id(client: Any) -> None:
    """So a client passes its own id and asks for it; the second close finds nothing."""
    await client.market_order("sell", "10")
    fields = {
        "instId": "BTC-USD-SWAP",
        "mgnMode": "cross",
        "posSide": "net",
        "ccy": "BTC",
        "clOrdId": "c",
        "autoCxl": "false",
    }
    first = (await client.post("trade/close-position", fields)).json
    second = (await client.post("trade/close-position", fields)).json
    order = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=c")).json["data"][0]
    assert first["data"] == [{"clOrdId": "c", "instId": "BTC-USD-SWAP", "posSide": "net", "tag": ""}]
    assert (second["code"], second["data"]) == ("51023", [])
    assert (order["side"], order["accFillSz"], order["reduceOnly"]) == ("buy", "10", "true")


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("tag", ["", None, "a" * 16], ["a" * 17, "a-b", "\u00e9", ["a"]]),
        ("clOrdId", ["", None, "a" * 32], ["a" * 33, "a_b"]),
        ("autoCxl", ["", None, "true", False], ["yes", 1]),
    ],
)
async def test_fields_of_a_close_are_checked_as_those_of_an_order(
    client: Any, field: str, good: list[object], bad: list[object]
) -> None:
    """51000 names the field, and the position stands."""
    fields = {"instId": "BTC-USD-SWAP", "mgnMode": "cross"}
    for value in good:
        await client.market_order("sell", "10")
        assert (await client.post("trade/close-position", fields | {field: value})).json["code"] == "0"
    await client.market_order("sell", "10")
    for value in bad:
        answer = (await client.post("trade/close-position", fields | {field: value})).json
        assert (answer["code"], answer["msg"]) == ("51000", f"Parameter {field} error")
    assert client.simulator.exchange.account.contracts == -10


async def test_history_and_fills_are_newest_first(client: Any) -> None:
    """Both fills endpoints show the same rows."""
    await client.market_order("sell", "10", "a")
    await client.market_order("buy", "4", "b")
    orders = (await client.get("trade/orders-history?instType=SWAP&state=filled")).json["data"]
    fills = (await client.get("trade/fills")).json["data"]
    one = (await client.get(f"trade/fills?ordId={orders[1]['ordId']}")).json["data"]
    assert [row["clOrdId"] for row in orders] == ["b", "a"]
    assert [(row["clOrdId"], row["fillSz"], row["execType"]) for row in fills] == [
        ("b", "4", "T"),
        ("a", "10", "T"),
    ]
    assert (await client.get("trade/fills-history?instType=SWAP")).json["data"] == fills
    assert [row["clOrdId"] for row in one] == ["a"]


async def test_history_needs_an_instrument_type(client: Any) -> None:
    """50014 names it."""
    answer = await client.get("trade/orders-history")
    assert answer.json["msg"] == "Parameter instType can not be empty."


async def test_resting_order_is_pending_until_it_trades(client: Any) -> None:
    """Listed with its price and kind; filled as a maker it is history, and its fill says so."""
    limit = {"ordType": "post_only", "px": "50100"}
    assert (await client.market_order("sell", "10", "a", **limit)).json["code"] == "0"
    [row] = (await client.get("trade/orders-pending?ordType=post_only")).json["data"]
    assert (row["state"], row["px"], row["ordType"], row["avgPx"]) == ("live", "50100", "post_only", "")
    await client.admin("POST", "price", {"price": "50200"})
    assert (await client.get("trade/orders-pending")).json["data"] == []
    [done] = (await client.get("trade/orders-history?instType=SWAP")).json["data"]
    assert (done["state"], done["avgPx"], done["fee"]) == ("filled", "50100", "-0.0000039920159681")
    [fill] = (await client.get("trade/fills")).json["data"]
    assert (fill["execType"], fill["feeRate"]) == ("M", "-0.0002")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ordType": "limit"}, "51204"),
        ({"ordType": "limit", "px": "49749.9"}, "51006"),
        ({"ordType": "limit", "px": "1.05"}, "51000"),
        ({"instId": "", "instIdCode": 1}, "51001"),
        ({"instId": ""}, "51000"),
    ],
)
async def test_bad_limit_order_is_refused_as_an_item(client: Any, fields: dict[str, Any], code: str) -> None:
    """In the item, with code 1 above it; nothing is accepted."""
    answer = (await client.market_order("sell", "1", "a", **fields)).json
    assert (answer["code"], answer["data"][0]["sCode"]) == ("1", code)
    assert client.simulator.exchange.order_count == 0


async def test_histories_reach_back_as_far_as_okx_says(client: Any, clock: Any) -> None:
    """Fills 3 days, orders and bills 7, their archives three months; a transfer is known for two weeks."""
    client.simulator.exchange.deposit(funding_btc=Decimal(1))
    await client.market_order("sell", "10", "a")
    await client.post(
        "asset/transfer", {"ccy": "BTC", "amt": "0.1", "from": "6", "to": "18", "clientId": "t"}
    )
    questions = (
        "trade/fills", "trade/orders-history?instType=SWAP", "account/bills?type=2", "asset/transfer-state?clientId=t",
        "trade/fills-history", "trade/orders-history-archive?instType=SWAP", "account/bills-archive?type=2",
    )  # fmt: skip

    async def known() -> list[int]:
        return [len((await client.get(question)).json["data"]) for question in questions]

    seen = {}
    for day in (0, 3, 4, 7, 8, 14, 15, 90, 91):
        clock.advance((day - max(seen, default=0)) * 86_400)
        seen[day] = await known()
    assert seen == {
        0: [1] * 7,
        3: [1] * 7,
        4: [0, 1, 1, 1, 1, 1, 1],
        7: [0, 1, 1, 1, 1, 1, 1],
        8: [0, 0, 0, 1, 1, 1, 1],
        14: [0, 0, 0, 1, 1, 1, 1],
        15: [0, 0, 0, 0, 1, 1, 1],
        90: [0, 0, 0, 0, 1, 1, 1],
        91: [0] * 7,
    }
