"""Scripted faults, as a client meets them."""

from __future__ import annotations

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
    FaultScript,
    HideOrder,
    NotJson,
)


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
