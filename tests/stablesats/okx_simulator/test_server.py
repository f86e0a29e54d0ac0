"""The HTTP shell: envelope, headers, order of checks, lifecycle."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from stablesats.errors import StablesatsError
from stablesats.okx_simulator import (
    DelayRequest,
    OkxSimulator,
    SimulatorConfig,
    SimulatorStartError,
    serve,
)

BALANCE = "/api/v5/account/balance"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"key": "another"}, 401, "50111"),
        ({"passphrase": "another"}, 401, "50105"),
        ({"secret": "another"}, 401, "50113"),
        ({"extra_headers": {"OK-ACCESS-SIGN": ""}}, 401, "50106"),
        ({"extra_headers": {"OK-ACCESS-TIMESTAMP": "2026-09-01T11:59:29.999Z"}}, 401, "50102"),
        ({"extra_headers": {"OK-ACCESS-TIMESTAMP": "now"}}, 401, "50112"),
    ],
)
async def test_caller_who_is_not_the_owner_is_refused(
    client: Any, change: dict[str, Any], status: int, code: str
) -> None:
    """401, and no data key, as the venue answers."""
    for name, value in change.items():
        setattr(client, name, value)
    answer = await client.get("account/balance")
    assert (answer.status, answer.json["code"]) == (status, code)
    assert "data" not in answer.json


async def test_query_is_signed_as_it_was_sent(client: Any) -> None:
    """A percent-encoded comma belongs to the signed text."""
    answer = await client.get("account/positions?instId=BTC-USD-SWAP%2CETH-USD-SWAP")
    assert (answer.status, answer.json) == (200, {"code": "0", "data": [], "msg": ""})


async def test_signature_on_a_public_path_is_not_checked(client: Any) -> None:
    """Some clients sign everything."""
    client.secret = "another"
    assert (await client.get("public/time")).json["code"] == "0"


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "404"),
        ("GET", "/api/v5/nowhere", 404, "404"),
        ("POST", "/api/v5/market/ticker", 405, "50115"),
        ("DELETE", "/api/v5/trade/order", 405, "50115"),
    ],
)
async def test_unknown_path_and_wrong_method_are_answered_in_json(
    client: Any, method: str, target: str, status: int, code: str
) -> None:
    """Clients parse every answer without looking at the status."""
    answer = await client.send(method, target)
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        ("{", "application/json", "50002"),
        ("", "application/json", "50002"),
        ("[1]", "application/json", "50002"),
        ('{"sz": NaN}', "application/json", "50002"),
        ("[" * 5000, "application/json", "50002"),
        ("{}", "text/plain", "50006"),
    ],
)
async def test_unreadable_body_is_refused(client: Any, body: str, content_type: str, code: str) -> None:
    """Signed correctly, so it is the body that is at fault."""
    headers = client.headers("POST", "/api/v5/trade/order", body) | {"Content-Type": content_type}
    answer = await client.send("POST", "/api/v5/trade/order", body=body, headers=headers)
    assert (answer.status, answer.json["code"]) == (400, code)


async def test_oversized_body_is_refused_in_json(client: Any) -> None:
    """Nothing is parsed, nothing is kept."""
    answer = await client.post("trade/order", {"tag": "x" * 200_000})
    assert (answer.status, answer.json["code"]) == (413, "413")


async def test_size_keeps_the_digits_it_was_sent_with(client: Any) -> None:
    """A JSON number for a documented text is accepted and never becomes a binary float."""
    fields = '{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"sell","ordType":"market","sz":0.3}'
    headers = client.headers("POST", "/api/v5/trade/order", fields)
    await client.send("POST", "/api/v5/trade/order", body=fields, headers=headers)
    assert client.simulator.exchange.account.contracts.as_tuple() == (1, (3,), -1)


@pytest.mark.parametrize(
    ("expires_in_ms", "code"),
    [(-1, "50036"), (0, "0"), (10_000, "0")],
)
async def test_order_past_its_expiry_is_dropped_on_arrival(
    client: Any, clock: Any, expires_in_ms: int, code: str
) -> None:
    """The venue-side guard against a late arrival; the instant itself still counts."""
    client.extra_headers = {"expTime": str(int(clock.now().timestamp() * 1000) + expires_in_ms)}
    answer = await client.market_order("sell", "1", "a")
    assert answer.json["code"] == code
    assert client.simulator.exchange.order_count == (1 if code == "0" else 0)


async def test_order_that_expires_before_execution_is_dropped(client: Any, clock: Any) -> None:
    """Delayed inside the exchange past its expTime: 50037."""
    client.simulator.faults.add("trade/order", DelayRequest(300), method="POST")
    client.extra_headers = {"expTime": str(int(clock.now().timestamp() * 1000) + 1000)}
    pending = asyncio.ensure_future(client.market_order("sell", "1", "a"))
    async with asyncio.timeout(60):
        while client.simulator.faults.pending:
            await asyncio.sleep(0.005)
    clock.advance(2)
    assert (await pending).json["code"] == "50037"
    assert client.simulator.exchange.order_count == 0


async def test_malformed_expiry_is_refused(client: Any) -> None:
    """Whole milliseconds only."""
    client.extra_headers = {"expTime": "soon"}
    assert (await client.market_order("sell", "1")).json["code"] == "51000"


async def test_defect_is_answered_as_a_system_error_and_counted(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 with 50026 in JSON; the traceback goes to the log, not to the client."""

    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(client.simulator.exchange, "advance", broken)
    answer = await client.get("account/balance")
    assert (answer.status, answer.json["code"]) == (500, "50026")
    assert "secret detail" not in answer.text
    assert client.simulator.refusals["50026"] == 1


async def test_stopped_exchange_is_unreachable_and_comes_back_as_it_was(client: Any) -> None:
    """Same port, same orders: a client sees an outage, not another exchange."""
    await client.market_order("sell", "10", "a")
    base_url = client.simulator.base_url
    await client.simulator.stop()
    await client.simulator.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get("account/balance")
    await client.simulator.start()
    await client.simulator.start()
    answer = await client.get("trade/order?instId=BTC-USD-SWAP&clOrdId=a")
    assert client.simulator.base_url == base_url
    assert answer.json["data"][0]["state"] == "filled"


async def test_occupied_port_is_one_typed_line() -> None:
    """The message says which address, why, and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(
            SimulatorStartError, match=f"cannot listen on 127.0.0.1:{port}: .*any free one"
        ) as failed:
            await OkxSimulator(SimulatorConfig(port=port)).start()
    assert isinstance(failed.value, StablesatsError)
    assert "\n" not in str(failed.value)


async def test_host_that_is_no_name_is_one_typed_line() -> None:
    """An empty label cannot even be looked up."""
    with pytest.raises(SimulatorStartError, match=r"cannot listen on a\.\.b:0: ") as failed:
        await OkxSimulator(SimulatorConfig(host="a..b")).start()
    assert "\n" not in str(failed.value)


async def test_serving_ends_with_its_stop_event() -> None:
    """It reports its address once and frees it at the end."""
    stop, addresses = asyncio.Event(), asyncio.Queue[str]()
    task = asyncio.create_task(serve(SimulatorConfig(), stop=stop, on_ready=addresses.put_nowait))
    async with asyncio.timeout(60):
        url = await addresses.get()
        async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v5/public/time") as response:
            assert json.loads(await response.text())["code"] == "0"
        stop.set()
        await task
    host, port = url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


async def test_concurrent_orders_are_each_executed_once(client_factory: Callable[..., Any]) -> None:
    """Fifty at once: fifty orders, fifty fills, one position."""
    client = await client_factory(rate_limits=False)
    answers = await asyncio.gather(*(client.market_order("sell", "1", f"n{number}") for number in range(50)))
    assert {answer.json["code"] for answer in answers} == {"0"}
    assert len({answer.json["data"][0]["ordId"] for answer in answers}) == 50
    assert client.simulator.exchange.account.contracts == -50
