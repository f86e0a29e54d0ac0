"""The dealer's services as processes: the engine against the simulator, and what the books say after."""

import json
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from pymongo import AsyncMongoClient

from medici_py.embedded import EmbeddedMongo
from stablesats.ledger import Ledger

Start = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[None]]

KEYS = {
    "STABLESATS_OKX__API_KEY": "sim-key",
    "STABLESATS_OKX__SECRET_KEY": "sim-secret",
    "STABLESATS_OKX__PASSPHRASE": "sim-pass",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def position_contracts(exchange_url: str) -> Decimal:
    """The position, as the exchange has it."""
    async with aiohttp.ClientSession() as session, session.get(f"{exchange_url}/admin/state") as answer:
        return Decimal((await answer.json())["position_contracts"])


async def simulator_url(stablesats: Start, *arguments: str) -> tuple[Any, str]:
    """A running simulator and where it listens."""
    command = await stablesats("okx-simulator", "--port", "0", *arguments)
    return command, (await command.line("okx-simulator: ")).split(": ")[1]


async def test_engine_hedges_what_is_booked_and_the_books_show_it(
    stablesats: Start, eventually: Eventually, mongodb: EmbeddedMongo, mongo_database: Any
) -> None:
    """A trade wakes the engine through the change stream: the short appears, and `balances` lists it."""
    _, url = await simulator_url(stablesats)
    where = ("--mongodb-uri", mongodb.uri, "--database", mongo_database.name)
    engine = await stablesats("run", "engine", *where, "--okx-url", url, **KEYS)
    await engine.line("engine: ready")
    ledger = Ledger(mongo_database)
    await ledger.user_buys_usd(sats=2_000_000, cents=100_000, at=NOW)

    async def hedged() -> bool:
        return (await ledger.balances()).signed_exposure_cents == -100_000

    await eventually(hedged)
    assert await position_contracts(url) == -10
    balances = await stablesats("balances", "--json", *where)
    assert await balances.wait() == 0
    rows = {
        (row["account"], row["currency"]): row["balance_minor"] for row in json.loads("\n".join(balances.out))
    }
    assert len(rows) == 12
    assert rows["STABLESATS_OMNIBUS", "USD"] == -100_000
    assert rows["STABLESATS_LIABILITY", "USD"] == 100_000
    assert rows["STABLESATS_BTC_WALLET", "BTC"] == 2_000_000
    assert rows["OKEX_POSITION", "USD"] == -100_000
    table = await stablesats("balances", *where)
    assert await table.wait() == 0
    assert any("STABLESATS_BTC_WALLET" in line and "0.02000000" in line for line in table.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_engine_and_simulator_stop_cleanly(
    stablesats: Start, mongodb: EmbeddedMongo, mongo_database: Any, number: signal.Signals
) -> None:
    """Exit code 0 and no error on a polite signal."""
    simulator, url = await simulator_url(stablesats)
    engine = await stablesats(
        "run", "engine", "--okx-url", url, "--database", mongo_database.name, MONGODB_URI=mongodb.uri, **KEYS
    )
    await engine.line("engine: ready")
    for command in (engine, simulator):
        command.process.send_signal(number)
        assert await command.wait() == 0
    assert not [line for line in engine.err if "Traceback" in line or line.startswith("error")]


async def test_wrong_credentials_stop_the_engine_with_one_line(
    stablesats: Start, mongodb: EmbeddedMongo, mongo_database: Any
) -> None:
    """An engine that cannot trade must not look alive; and the line shows no secret."""
    _, url = await simulator_url(stablesats)
    keys = {**KEYS, "STABLESATS_OKX__SECRET_KEY": "hunter2"}
    engine = await stablesats(
        "run", "engine", "--okx-url", url, "--database", mongo_database.name, MONGODB_URI=mongodb.uri, **keys
    )
    assert await engine.wait() == 1
    assert engine.err[-1].startswith("error: ")
    assert "hunter2" not in "\n".join(engine.out + engine.err)


async def test_an_occupied_port_is_one_line(stablesats: Start) -> None:
    """The second simulator says who is in its way."""
    _, url = await simulator_url(stablesats)
    port = url.rsplit(":", 1)[1]
    second = await stablesats("okx-simulator", "--port", port)
    assert await second.wait() == 1
    assert len(second.err) == 1
    assert port in second.err[0]


async def test_a_replay_runs_at_its_speed_and_ends(stablesats: Start, eventually: Eventually) -> None:
    """A day of minute bars at 86,400 times its speed is over in a second, and the last price stays."""
    from stablesats.data import SELL_OFF_2017

    _, url = await simulator_url(
        stablesats,
        "--replay",
        str(SELL_OFF_2017.path),
        "--replay-from",
        "2017-09-04",
        "--replay-speed",
        "86400",
    )

    async def finished() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/admin/state") as answer:
            return bool((await answer.json())["replay"]["finished"])

    await eventually(finished)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v5/market/ticker?instId=BTC-USD-SWAP") as answer,
    ):
        assert (await answer.json())["data"][0]["bidPx"] == "4477.5"


async def test_a_database_without_books_has_zero_balances(
    stablesats: Start, mongodb: EmbeddedMongo, mongo_database: Any
) -> None:
    """Reading creates nothing."""
    command = await stablesats(
        "balances", "--json", "--mongodb-uri", mongodb.uri, "--database", mongo_database.name
    )
    assert await command.wait() == 0
    assert {row["balance_minor"] for row in json.loads("\n".join(command.out))} == {0}
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        assert mongo_database.name not in await client.list_database_names()
