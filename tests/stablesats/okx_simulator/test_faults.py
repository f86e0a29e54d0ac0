"""Scripted faults, as a client meets them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from stablesats.okx_simulator import (
    AdminRequestError,
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    DropPush,
    EmptyFields,
    FaultScript,
    HideOrder,
    MalformedJson,
    NotJson,
    PartialFill,
    Refuse,
    StaleAnswer,
)
from stablesats.okx_simulator.refusals import CODES, refusal_text


def test_faults_are_met_in_order_and_as_often_as_scripted() -> None:
    """First added, first met; path and method must fit."""
    script = FaultScript()
    script.add("trade/order", DropBefore(), method="post", count=2)
    script.add("trade/order", DropAfter())
    met = [script.take("POST", "/api/v5/trade/order") for _ in range(4)]
    assert met == [DropBefore(), DropBefore(), DropAfter(), None]
    assert script.pending == ()


def test_fault_waits_for_its_method_and_path() -> None:
    """A GET of the same path passes by; clearing forgets the rest."""
    script = FaultScript()
    script.add("trade/order", DropBefore(), method="POST")
    assert script.take("GET", "/api/v5/trade/order") is None
    assert script.take("POST", "/api/v5/trade/batch-orders") is None
    assert len(script.pending) == 1
    script.clear()
    assert script.take("POST", "/api/v5/trade/order") is None


def test_fault_without_a_count_makes_no_sense() -> None:
    """At least one request must meet it."""
    with pytest.raises(AdminRequestError, match="count is 0"):
        FaultScript().add("trade/order", DropBefore(), count=0)


@pytest.mark.parametrize(("fault", "executed"), [(DropBefore(), 0), (DropAfter(), 1)])
async def test_dropped_connection_hides_whether_the_order_was_executed(
    client: Any, fault: Any, executed: int
) -> None:
    """The client sees the same either way; only asking by client order id tells."""
    client.simulator.faults.add("trade/order", fault, method="POST")
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.market_order("sell", "10", "a")
    answer = await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")
    assert client.simulator.exchange.order_count == executed
    assert answer.json["code"] == ("0" if executed else "51603")


async def test_status_fault_answers_without_executing(client: Any) -> None:
    """503 with 50001: under maintenance."""
    client.simulator.faults.add("trade/order", AnswerStatus(503, "50001"))
    answer = await client.market_order("sell", "10")
    assert (answer.status, answer.json["code"]) == (503, "50001")
    assert "temporarily unavailable" in answer.json["msg"]
    assert client.simulator.exchange.order_count == 0


async def test_gateway_page_is_not_json(client: Any) -> None:
    """What a proxy in front of the exchange says when it is gone."""
    client.simulator.faults.add("account/balance", NotJson())
    answer = await client.get("account/balance")
    assert (answer.status, answer.json) == (502, None)
    assert "Bad Gateway" in answer.text


async def test_late_answer_was_executed_at_once(client: Any) -> None:
    """A client with a short timeout gives up on an order that traded."""
    client.simulator.faults.add("trade/order", DelayAnswer(60_000), method="POST")
    timeout = aiohttp.ClientTimeout(total=0.2)
    async with aiohttp.ClientSession(timeout=timeout) as hasty:
        client.session = hasty
        with pytest.raises(TimeoutError):
            await client.market_order("sell", "10", "a")
    assert client.simulator.exchange.order_count == 1


async def test_late_request_is_executed_in_the_end(client: Any) -> None:
    """Late is not never."""
    client.simulator.faults.add("trade/order", DelayRequest(20), method="POST")
    assert (await client.market_order("sell", "10", "a")).json["code"] == "0"
    assert client.simulator.exchange.order_count == 1


async def test_hidden_order_does_not_exist_for_a_while(client: Any, clock: Any) -> None:
    """Accepted and traded, yet GET order says 51603 until the time is over."""
    client.simulator.faults.add("trade/order", HideOrder(1000), method="POST")
    await client.market_order("sell", "10", "a")
    target = "trade/order?instId=BTC-USD-SWAP&clOrdId=a"
    hidden = await client.get(target)
    clock.advance(1)
    shown = await client.get(target)
    assert (hidden.json["code"], shown.json["data"][0]["state"]) == ("51603", "filled")


def test_random_faults_are_repeatable_and_as_frequent_as_asked() -> None:
    """Under one seed the same requests meet them; another seed, others."""

    def met(seed: int) -> list[bool]:
        script = FaultScript(seed)
        script.add_random("*", DropBefore(), probability=Decimal("0.25"))
        return [script.take("GET", "/api/v5/public/time") is not None for _ in range(1000)]

    assert met(1) == met(1) != met(2)
    assert 200 < sum(met(1)) < 300


def test_scripted_fault_comes_before_a_random_one() -> None:
    """What was asked for by number happens first; streams have their own."""
    script = FaultScript()
    script.add_random("trade/order", DropBefore(), probability=Decimal(1), method="post")
    script.add("trade/order", DropAfter())
    script.add("ws/books", DropPush())
    assert script.take("POST", "/api/v5/trade/order") == DropAfter()
    assert script.take("POST", "/api/v5/trade/order") == DropBefore()
    assert script.take("GET", "/api/v5/trade/order") is None
    assert (script.take_push("books"), script.take_push("books")) == (DropPush(), None)


async def test_answer_can_be_cut_off(client: Any) -> None:
    """Executed, but the JSON ends in the middle."""
    client.simulator.faults.add("trade/order", MalformedJson(), method="POST")
    with pytest.raises(json.JSONDecodeError):
        await client.market_order("sell", "10", "a")
    assert client.simulator.exchange.order_count == 1


async def test_fields_can_be_empty(client: Any) -> None:
    """Every text of every row; the keys are there."""
    client.simulator.faults.add("market/ticker", EmptyFields())
    [row] = (await client.public("market/ticker?instId=BTC-USD-SWAP")).json["data"]
    assert set(row.values()) == {""}
    assert "bidPx" in row


async def test_answer_can_be_stale(client: Any) -> None:
    """The position before the order, twice; then the truth."""
    await client.get("account/positions")
    client.simulator.faults.add("account/positions", StaleAnswer(), count=2)
    await client.market_order("sell", "10")
    seen = [len((await client.get("account/positions")).json["data"]) for _ in range(3)]
    assert seen == [0, 0, 1]


async def test_question_that_is_new_does_not_use_up_a_stale_answer(client: Any) -> None:
    """There is nothing old to answer it with; the next one is answered as the first."""
    client.simulator.faults.add("account/positions", StaleAnswer())
    await client.get("account/positions")
    assert len(client.simulator.faults.pending) == 1
    await client.market_order("sell", "10")
    seen = [len((await client.get("account/positions")).json["data"]) for _ in range(2)]
    assert seen == [0, 1]


async def test_request_that_a_fault_cannot_happen_to_passes_it_by(client: Any) -> None:
    """Asking for an order does not use up the partial fill of the next one."""
    client.simulator.faults.add("trade/order", PartialFill(Decimal("0.5")))
    await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")
    await client.market_order("sell", "10", "a")
    [order] = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"]
    assert order["accFillSz"] == "5"


async def test_stale_answer_is_the_last_one_however_many_others_there_were(client_factory: Any) -> None:
    """Only the latest thousand questions are remembered, and the same one always by its latest answer."""
    client = await client_factory(rate_limits=False)
    await client.public("market/ticker?instId=BTC-USD-SWAP")
    for number in range(1_001):
        await client.public(f"system/status?n={number}")
    await client.public("market/ticker?instId=BTC-USD-SWAP")
    client.simulator.exchange.feed.set_by_hand(Decimal(1), Decimal(1))
    client.simulator.faults.add("market/ticker", StaleAnswer())
    shown = [
        (await client.public("market/ticker?instId=BTC-USD-SWAP")).json["data"][0]["last"] for _ in range(2)
    ]
    assert shown == ["50000", "1"]
    assert len(client.simulator._rest._last_answers) == 1_000


async def test_order_can_be_filled_in_part(client: Any) -> None:
    """Half is filled, the rest cancelled, and the answer says accepted all the same."""
    client.simulator.faults.add("trade/order", PartialFill(Decimal("0.5")), method="POST")
    assert (await client.market_order("sell", "10", "a")).json["code"] == "0"
    [order] = (await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")).json["data"]
    assert (order["state"], order["accFillSz"], order["sz"]) == ("canceled", "5", "10")


async def test_rate_limit_fault_looks_like_the_real_one(client: Any) -> None:
    """429 with 50011 and no data key."""
    client.simulator.faults.add("account/balance", AnswerStatus(429, "50011"))
    answer = await client.get("account/balance")
    assert (answer.status, answer.json) == (429, {"code": "50011", "msg": "Too Many Requests"})


async def test_refusal_has_the_shape_of_the_endpoint(client: Any) -> None:
    """An order is refused in its item, each of a batch in its own; a transfer at the top level; nothing happens."""
    faults = client.simulator.faults
    faults.add("trade/order", Refuse("51030"), method="POST")
    faults.add("trade/batch-orders", Refuse("50061"))
    faults.add("asset/transfer", Refuse("58111"))
    order = (await client.market_order("sell", "1", "a")).json
    batch = (await client.post("trade/batch-orders", [{"clOrdId": "b"}, {"clOrdId": "c"}])).json
    transfer = (await client.post("asset/transfer", {})).json
    assert (order["code"], order["data"][0]["sCode"], order["data"][0]["clOrdId"]) == ("1", "51030", "a")
    assert [(item["sCode"], item["clOrdId"]) for item in batch["data"]] == [("50061", "b"), ("50061", "c")]
    assert (transfer["code"], transfer["data"]) == ("58111", [])
    assert client.simulator.exchange.order_count == 0


async def test_exchange_may_say_a_code_that_nobody_has_heard_of(client: Any) -> None:
    """A client must know what to do with it."""
    client.simulator.faults.add("account/balance", Refuse("59999"))
    assert (await client.get("account/balance")).json == {"code": "59999", "data": [], "msg": "Error 59999"}


async def test_every_code_can_be_told_and_refused_with(client_factory: Any) -> None:
    """An order is refused in its item, never with a system error, whatever the code's text leaves open."""
    client = await client_factory(rate_limits=False)
    for code in sorted(CODES):
        client.simulator.faults.add("trade/order", Refuse(code), method="POST")
        client.simulator.faults.add("trade/order", AnswerStatus(400, code), method="POST")
        [item] = (await client.market_order("sell", "1", "a")).json["data"]
        told = (await client.market_order("sell", "1", "a")).json
        assert (item["sCode"], told["code"]) == (code, code)
        assert item["sMsg"] == told["msg"] == refusal_text(code)
    assert client.simulator.exchange.order_count == 0
