"""The operator's commands, against the simulated exchange in a thread of its own."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import stamina
from click.testing import Result
from structlog.testing import capture_logs
from typer.testing import CliRunner

from stablesats.okx import AccountKind, NewOrder, OkxClient, OkxCredentials, OrderSide, OrderType
from stablesats.okx_commands import okx_app
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig

SWAP = "BTC-USD-SWAP"
CONFIG = SimulatorConfig(
    price_usd=Decimal(50_000), trading_btc=Decimal("0.2"), funding_btc=Decimal(1), lever=Decimal(2)
)
CREDENTIALS = OkxCredentials(api_key=CONFIG.api_key, secret_key=CONFIG.secret, passphrase=CONFIG.passphrase)
KEYS = {
    "STABLESATS_OKX__API_KEY": CONFIG.api_key,
    "STABLESATS_OKX__SECRET_KEY": CONFIG.secret,
    "STABLESATS_OKX__PASSPHRASE": CONFIG.passphrase,
}


@dataclass
class Exchange:
    """A simulator under a loop of its own: the commands make their loop by themselves, as in a process."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    simulator: OkxSimulator = field(default_factory=lambda: OkxSimulator(CONFIG))
    url: str = ""

    def do(self, work: Callable[[OkxClient], Coroutine[Any, Any, Any]]) -> Any:
        """Let somebody else trade on the account."""

        async def with_client() -> Any:
            async with OkxClient(base_url=self.url, credentials=CREDENTIALS) as okx:
                return await work(okx)

        return asyncio.run_coroutine_threadsafe(with_client(), self.loop).result(60)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """0.2 BTC at 2x leverage, 1 BTC in the funding account, bitcoin at 50,000 USD."""
    running = Exchange()
    thread = threading.Thread(target=running.loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(running.simulator.start(), running.loop).result(60)
    running.url = running.simulator.base_url
    yield running
    asyncio.run_coroutine_threadsafe(running.simulator.stop(), running.loop).result(60)
    running.loop.call_soon_threadsafe(running.loop.stop)
    thread.join(60)
    running.loop.close()


Command = Callable[..., Result]


@pytest.fixture
def command(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Run ``stablesats okx ...`` against the exchange."""
    # Logging is a process's own: set up here, it would outlive the test.
    monkeypatch.setattr("stablesats.okx_commands.configure_logging", lambda: None)

    def run(*arguments: str, **environment: str) -> Result:
        address = {"STABLESATS_OKX__BASE_URL": exchange.url}
        with capture_logs() as logs:
            result = CliRunner().invoke(okx_app, arguments, env={**KEYS, **address, **environment})
        # A log line stands on standard error, too; where a command fails there is one line, and no other.
        assert result.exit_code == 0 or [line["event"] for line in logs] == []
        return result

    hooks = stamina.instrumentation.get_on_retry_hooks()
    yield run
    stamina.instrumentation.set_on_retry_hooks(hooks)


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    read: list[dict[str, Any]] = json.loads(result.stdout)
    return read


async def sell_100(okx: OkxClient) -> None:
    expiry = okx.exchange_now() + timedelta(minutes=1)
    await okx.place_market_order(SWAP, OrderSide.SELL, 100, "sold1", expires_at=expiry)


async def bid_low(okx: OkxClient) -> None:
    order = NewOrder(
        side=OrderSide.BUY,
        size_contracts=1,
        client_order_id="bid1",
        order_type=OrderType.LIMIT,
        limit_price_usd=49_800,
    )
    await okx.place_order(SWAP, order, expires_at=okx.exchange_now() + timedelta(minutes=1))


def test_balance(command: Command) -> None:
    """Both accounts; amounts are exact texts."""
    trading, funding = rows(command("balance", "--json"))
    assert (trading["account"], trading["total_btc"], trading["margin_ratio"]) == ("trading", "0.2", None)
    assert (funding["account"], funding["total_btc"], funding["available_btc"]) == ("funding", "1", "1")


def test_position(command: Command, exchange: Exchange) -> None:
    """Flat at first; then signed contracts, and the exposure in cents."""
    (flat,) = rows(command("position", "--json"))
    assert (flat["size_contracts"], flat["exposure_cents"], flat["average_price_usd"]) == ("0", 0, None)
    exchange.do(sell_100)
    (short,) = rows(command("position", "--json"))
    assert (short["size_contracts"], short["exposure_cents"], short["average_price_usd"]) == (
        "-100",
        -1_000_000,
        "50000",
    )


def test_orders(command: Command, exchange: Exchange) -> None:
    """Pending and past ones, newest first; one by our id or by OKX's."""
    assert rows(command("orders", "--json")) == []
    exchange.do(sell_100)
    exchange.do(bid_low)
    listed = rows(command("orders", "--json"))
    assert [(row["client_order_id"], row["state"]) for row in listed] == [
        ("bid1", "live"),
        ("sold1", "filled"),
    ]
    assert [row["client_order_id"] for row in rows(command("orders", "--limit", "1", "--json"))] == ["bid1"]
    assert [row["client_order_id"] for row in rows(command("orders", "--pending", "--json"))] == ["bid1"]
    (sold,) = rows(command("order", "sold1", "--json"))
    assert sold == listed[1]
    assert rows(command("order", sold["okx_order_id"], "--by-okx-id", "--json")) == [sold]


async def move_in(okx: OkxClient) -> None:
    await okx.transfer(
        Decimal("0.3"), source=AccountKind.FUNDING, target=AccountKind.TRADING, client_transfer_id="in1"
    )


async def move_out(okx: OkxClient) -> None:
    await okx.transfer(
        Decimal("0.1"), source=AccountKind.TRADING, target=AccountKind.FUNDING, client_transfer_id="out1"
    )


def test_transfers(command: Command, exchange: Exchange) -> None:
    """The cash that moved, and nothing about the state of the transfer that moved it."""
    assert rows(command("transfers", "--json")) == []
    exchange.do(move_in)
    (moved,) = rows(command("transfers", "--json"))
    assert (moved["kind"], moved["amount_btc"], moved["from"], moved["to"]) == (
        "bill in",
        "0.3",
        "funding",
        "trading",
    )
    assert (moved["state"], moved["client_id"]) == (None, None)


def test_a_transfer_that_failed_is_never_shown_as_one_that_succeeded(
    command: Command, exchange: Exchange
) -> None:
    """Its cash went out and came back: two bills. What became of it says `transfer`, by either id."""
    exchange.simulator.exchange.wallet.failing_transfers = 1
    exchange.do(move_out)
    bills = rows(command("transfers", "--json"))
    assert sorted((bill["kind"], bill["amount_btc"], bill["state"]) for bill in bills) == [
        ("bill in", "0.1", None),
        ("bill out", "0.1", None),
    ]
    (shown,) = rows(command("transfer", "out1", "--json"))
    assert (shown["state"], shown["phase"], shown["from"], shown["to"]) == (
        "failed",
        "failed",
        "trading",
        "funding",
    )
    assert rows(command("transfer", shown["okx_id"], "--by-okx-id", "--json")) == [shown]


def test_health(command: Command) -> None:
    """Every point, and what was found."""
    checks = rows(command("health", "--json"))
    assert [check["check"] for check in checks] == [
        "clock",
        "maintenance",
        "account",
        "key",
        "instrument",
        "price",
    ]
    assert all(check["good"] for check in checks)


def test_health_of_an_instrument_that_does_not_exist(command: Command) -> None:
    """The points that fail say why, the others are looked at all the same; exit code 1."""
    result = command("health", "--instrument", "DOGE-USD-SWAP", "--json")
    assert result.exit_code == 1
    good = {check["check"]: check["good"] for check in json.loads(result.stdout)}
    assert (good["clock"], good["account"], good["instrument"], good["price"]) == (True, True, False, False)


def test_a_table_for_people(command: Command, exchange: Exchange) -> None:
    """The same rows, on lines that are not broken."""
    exchange.do(sell_100)
    result = command("orders")
    assert result.exit_code == 0
    header, line = result.stdout.splitlines()
    assert header.split()[:3] == ["created_at", "client_order_id", "okx_order_id"]
    assert "sold1" in line
    assert line.split()[-1] == "filled"


def test_cancelling_needs_a_yes(command: Command, exchange: Exchange) -> None:
    """Without it nothing is sent; exit code 2, and the way out is named."""
    exchange.do(bid_low)
    refused = command("cancel", "bid1")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert [row["state"] for row in rows(command("order", "bid1", "--json"))] == ["live"]
    (cancelled,) = rows(command("cancel", "bid1", "--yes", "--json"))
    assert cancelled["state"] == "canceled"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("order", "nobody"), {}, "51603"),
        (("cancel", "nobody", "--yes"), {}, "51400"),
        (("order", "no-id"), {}, "not 1 to 32 letters and digits"),
        (("transfer", "nobody"), {}, "58129"),
        (("transfer", "no-id"), {}, "not 1 to 32 letters and digits"),
        (("transfer", "no-id", "--by-okx-id"), {}, "is digits"),
        (("position", "--instrument", "DOGE-USD-SWAP"), {}, "51001"),
        (("balance",), {"STABLESATS_OKX__SECRET_KEY": "wrong"}, "50113"),
        (("balance",), {"STABLESATS_OKX__PASSPHRASE": ""}, "passphrase is empty"),
        (("balance", "--okx-url", "http://127.0.0.1:1"), {}, "127.0.0.1"),
        (("balance", "--okx-url", "ftp://okx"), {}, "OKX base URL"),
        (("balance", "--config", "/nonexistent.yml"), {}, "/nonexistent.yml"),
    ],
)
def test_an_error_is_one_line(
    command: Command, arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    """Exit code 1, no traceback, no secret; what it is about is named."""
    result = command(*arguments, **environment)
    assert result.exit_code == 1
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert named in line
    assert "Traceback" not in result.stderr
    assert CONFIG.secret not in result.stderr + result.stdout


@pytest.mark.parametrize(
    "name", ["balance", "position", "orders", "order", "transfers", "transfer", "health", "cancel", ""]
)
def test_every_command_explains_itself(name: str) -> None:
    """``--help`` works everywhere."""
    result = CliRunner().invoke(okx_app, [*([name] if name else []), "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
