"""Clients that others wrote talk to the simulator as they are, and read out of it what ours reads.

``ccxt`` (async) and ``python-okx`` run unmodified; only the base URL differs from production. Their answers
are compared with those of ``stablesats.okx``, and their requests with ours on the wire.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from stablesats.okx import OkxClient, OkxCredentials
from stablesats.okx.funding_messages import AccountKind
from stablesats.okx.messages import OrderSide
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig
from stablesats.okx_simulator.addresses import deposit_address

with warnings.catch_warnings():
    # What they do on import is their own affair.
    warnings.simplefilter("ignore")
    ccxt = pytest.importorskip("ccxt.async_support")
    ccxt_pro = pytest.importorskip("ccxt.pro")
    pytest.importorskip("okx.Account")
    import okx.Account
    import okx.Funding
    import okx.MarketData
    import okx.PublicData
    import okx.Trade
    from okx.websocket.WsPrivateAsync import WsPrivateAsync
    from okx.websocket.WsPublicAsync import WsPublicAsync

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SWAP = "BTC-USD-SWAP"
SYMBOL = "BTC/USD:BTC"
KEY = ("sim-key", "sim-secret", "sim-pass")
SETTINGS: dict[str, Any] = {
    "price_usd": Decimal(50_000),
    "trading_btc": Decimal("0.2"),
    "funding_btc": Decimal(2),
    "lever": Decimal(2),
    "rate_limits": False,
}
PAYEE = deposit_address(77, 1)


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> Any:
        return json.loads(self.body)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that say something: python-okx sends every optional one empty."""
        fields = self.fields[0] if isinstance(self.fields, list) else self.fields
        return {name: value for name, value in fields.items() if value not in ("", None)}

    def signature(self) -> str:
        """What the header must be, computed from the request alone."""
        prehash = f"{self.headers['OK-ACCESS-TIMESTAMP']}{self.method}{self.target}".encode() + self.body
        return base64.b64encode(hmac.new(b"sim-secret", prehash, hashlib.sha256).digest()).decode()


@dataclass
class Wire:
    """A running simulator and the signed requests that reached it."""

    simulator: OkxSimulator
    seen: list[Seen] = field(default_factory=list)

    def take(self) -> list[Seen]:
        seen, self.seen = self.seen, []
        return seen

    def last(self, path: str) -> Seen:
        return next(each for each in reversed(self.seen) if each.target.startswith(f"/api/v5/{path}"))


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    simulator = OkxSimulator(SimulatorConfig(**SETTINGS))
    wire = Wire(simulator)
    serve = simulator._serve

    async def record(request: web.Request) -> web.StreamResponse:
        if "OK-ACCESS-SIGN" in request.headers:
            body = await request.read()
            wire.seen.append(Seen(request.method, request.raw_path, dict(request.headers), body))
        return await serve(request)

    monkeypatch.setattr(simulator, "_serve", record)
    async with simulator:
        yield wire


@pytest.fixture
async def theirs(wire: Wire) -> AsyncIterator[Any]:
    """A ccxt exchange."""
    async with ccxt.okx(dict(zip(("apiKey", "secret", "password"), KEY, strict=True))) as exchange:
        exchange.enableRateLimit = False
        exchange.urls["api"]["rest"] = wire.simulator.base_url
        yield exchange


@pytest.fixture
async def ours(wire: Wire) -> AsyncIterator[OkxClient]:
    credentials = OkxCredentials(api_key=KEY[0], secret_key=KEY[1], passphrase=KEY[2])
    async with OkxClient(base_url=wire.simulator.base_url, credentials=credentials) as client:
        yield client


@pytest.fixture
def sdk(wire: Wire) -> Iterator[SimpleNamespace]:
    """python-okx, whose calls block: run them with `in_thread`."""
    keys, domain = (*KEY, None, "0"), wire.simulator.base_url
    with (
        closing(okx.Account.AccountAPI(*keys, domain=domain)) as account,
        closing(okx.Trade.TradeAPI(*keys, domain=domain)) as trade,
        closing(okx.Funding.FundingAPI(*keys, domain=domain)) as funding,
        closing(okx.MarketData.MarketAPI(*keys, domain=domain)) as market,
        closing(okx.PublicData.PublicAPI(*keys, domain=domain)) as public,
    ):
        yield SimpleNamespace(account=account, trade=trade, funding=funding, market=market, public=public)


async def in_thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a blocking call of python-okx and return its rows."""
    answer = await asyncio.to_thread(call, *args, **kwargs)
    assert answer["code"] == "0", answer
    return answer["data"]


async def test_ccxt_reads_the_market_as_we_do(theirs: Any, ours: OkxClient) -> None:
    """Markets, ticker, book, mark price, funding rate and server time."""
    markets = await theirs.load_markets()
    market, instrument = markets[SYMBOL], await ours.instrument(SWAP)
    assert (market["id"], market["inverse"], market["settle"]) == (SWAP, True, "BTC")
    assert Decimal(str(market["contractSize"])) == instrument.contract_value_usd == 100
    assert Decimal(str(market["precision"]["amount"])) == instrument.lot_contracts
    assert Decimal(str(market["precision"]["price"])) == instrument.tick_usd

    ticker, our_ticker = await theirs.fetch_ticker(SYMBOL), await ours.ticker(SWAP)
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == (
        our_ticker.bid_usd, our_ticker.ask_usd, our_ticker.last_usd,
    )  # fmt: skip
    book, our_book = await theirs.fetch_order_book(SYMBOL, 5), await ours.order_book(SWAP, levels=5)
    for side, levels in (("bids", our_book.bids), ("asks", our_book.asks)):
        shown = [(Decimal(str(price)), Decimal(str(size))) for price, size, *_ in book[side]]
        assert shown == [(level.price_usd, level.size_contracts) for level in levels]
    assert (await theirs.fetch_mark_price(SYMBOL))["markPrice"] == (await ours.mark_price(SWAP)).mark_usd
    funding = await theirs.fetch_funding_rate(SYMBOL)
    our_funding = await ours.funding_rate(SWAP)
    assert Decimal(str(funding["fundingRate"])) == our_funding.rate
    assert datetime.fromtimestamp(funding["fundingTimestamp"] / 1000, UTC) == our_funding.settles_at
    assert abs(datetime.fromtimestamp(await theirs.fetch_time() / 1000, UTC) - datetime.now(UTC)) < timedelta(
        minutes=1
    )


async def test_ccxt_trades_and_reads_account_and_order_as_we_do(
    theirs: Any, ours: OkxClient, wire: Wire
) -> None:
    """A market order by client id, its query, position, balance and leverage."""
    await theirs.load_markets()
    await theirs.create_order(SYMBOL, "market", "sell", 100, None, {"clOrdId": "c1"})
    order, our_order = await theirs.fetch_order("", SYMBOL, {"clOrdId": "c1"}), await ours.order(SWAP, "c1")
    assert order["id"] == our_order.order_id
    assert (order["status"], order["filled"], order["average"]) == ("closed", 100, 50_000)
    assert Decimal(str(order["fee"]["cost"])) == -our_order.fee_btc == Decimal("0.0001")

    [position] = await theirs.fetch_positions([SYMBOL])
    our_position = await ours.position(SWAP)
    assert (position["side"], position["contracts"]) == ("short", -our_position.size_contracts)
    assert position["entryPrice"] == our_position.average_price_usd
    assert Decimal(str(position["initialMargin"])) == Decimal("0.1")
    assert position["liquidationPrice"] == 99_550_000  # 9955 USD over the 0.0001 BTC that are not covered
    balance, our_balance = await theirs.fetch_balance(), await ours.trading_balance()
    assert Decimal(str(balance["BTC"]["total"])) == our_balance.equity_btc == Decimal("0.1999")
    assert Decimal(str(balance["BTC"]["free"])) == our_balance.available_equity_btc == Decimal("0.0999")

    await theirs.set_leverage(3, SYMBOL, {"marginMode": "cross"})
    assert (await theirs.fetch_leverage(SYMBOL, {"marginMode": "cross"}))["longLeverage"] == 3
    assert await ours.leverage(SWAP) == 3
    await theirs.set_position_mode(hedged=False)
    [trade] = await theirs.fetch_my_trades(SYMBOL)
    [our_fill] = await ours.fills(SWAP)
    assert (trade["id"], trade["takerOrMaker"]) == (our_fill.trade_id, "taker")


async def test_ccxt_rests_cancels_and_closes(theirs: Any, wire: Wire) -> None:
    """A limit order is open until it is cancelled; a close leaves nothing."""
    await theirs.load_markets()
    await theirs.create_order(SYMBOL, "market", "sell", 10)
    await theirs.create_order(SYMBOL, "limit", "buy", 5, 49_900, {"clOrdId": "low"})
    [waiting] = await theirs.fetch_open_orders(SYMBOL)
    assert (waiting["status"], waiting["price"], waiting["remaining"]) == ("open", 49_900, 5)
    await theirs.cancel_order("", SYMBOL, {"clOrdId": "low"})
    assert await theirs.fetch_open_orders(SYMBOL) == []
    await theirs.close_position(SYMBOL)
    assert await theirs.fetch_positions() == []
    assert wire.simulator.exchange.account.contracts == 0


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (("market", "sell", 100_000), "InvalidOrder"),
        (("market", "sell", 5_000), "InsufficientFunds"),
        (("limit", "buy", 1, 60_000), "InvalidOrder"),
    ],
)
async def test_ccxt_knows_our_refusals(theirs: Any, wire: Wire, order: tuple[Any, ...], error: str) -> None:
    """Its own exception for each code, and no order."""
    await theirs.load_markets()
    with pytest.raises(getattr(ccxt, error)):
        await theirs.create_order(SYMBOL, *order)
    assert wire.simulator.exchange.order_count == 0


async def test_ccxt_knows_wrong_keys_and_unknown_orders(theirs: Any) -> None:
    """Authentication and OrderNotFound."""
    await theirs.load_markets()
    with pytest.raises(ccxt.OrderNotFound):
        await theirs.fetch_order("", SYMBOL, {"clOrdId": "nobody"})
    theirs.secret = "another"
    with pytest.raises(ccxt.AuthenticationError):
        await theirs.fetch_balance()


async def test_ccxt_moves_money_and_reads_it_as_we_do(theirs: Any, ours: OkxClient, wire: Wire) -> None:
    """Transfer, deposit, address, withdrawal: the same ids and amounts."""
    await theirs.load_markets()
    exchange = wire.simulator.exchange
    sent = await theirs.transfer("BTC", 0.1, "funding", "trading", {"clientId": "t1"})
    status = await ours.transfer_status("t1")
    assert (sent["id"], status.state.value, status.amount) == (status.transfer_id, "success", Decimal("0.1"))
    assert (await theirs.fetch_transfer(sent["id"]))["status"] == "ok"

    exchange.wallet.receive(Decimal("0.25"), at=exchange.clock.now(), now_secs=exchange.clock.monotonic())
    [deposit], [our_deposit] = await theirs.fetch_deposits("BTC", None, 10), await ours.deposits()
    assert (deposit["id"], deposit["status"], deposit["txid"]) == (
        our_deposit.deposit_id, "ok", our_deposit.transaction_id,
    )  # fmt: skip
    assert (await theirs.fetch_deposit_address("BTC"))["address"] == (await ours.deposit_address()).address

    paid = await theirs.withdraw("BTC", 0.1, PAYEE, {"network": "BTC", "clientId": "w1"})
    [withdrawal], our_withdrawal = await theirs.fetch_withdrawals("BTC"), await ours.withdrawal("w1")
    assert (paid["id"], withdrawal["status"]) == (our_withdrawal.withdrawal_id, "ok")
    assert Decimal(str(withdrawal["fee"]["cost"])) == our_withdrawal.fee == Decimal("0.00005")
    funding = await theirs.fetch_balance({"type": "funding"})
    assert Decimal(str(funding["BTC"]["total"])) == (await ours.funding_balance()).total == Decimal("2.04995")


async def test_python_okx_trades_and_reads_as_we_do(
    sdk: SimpleNamespace, ours: OkxClient, wire: Wire
) -> None:
    """Instruments, market data, order by client id, position, balance, leverage, fills, close."""
    [instrument] = await in_thread(sdk.public.get_instruments, "SWAP")
    assert Decimal(instrument["lotSz"]) == (await ours.instrument(SWAP)).lot_contracts
    [ticker] = await in_thread(sdk.market.get_ticker, SWAP)
    assert Decimal(ticker["last"]) == (await ours.ticker(SWAP)).last_usd
    [book] = await in_thread(sdk.market.get_orderbook, SWAP, "5")
    assert Decimal(book["bids"][0][0]) == (await ours.order_book(SWAP, levels=1)).bids[0].price_usd
    [config] = await in_thread(sdk.account.get_account_config)
    assert (config["acctLv"], config["posMode"]) == ("2", "net_mode")

    await in_thread(sdk.trade.place_order, SWAP, "cross", "sell", "market", "10", clOrdId="p1")
    [order] = await in_thread(sdk.trade.get_order, SWAP, clOrdId="p1")
    our_order = await ours.order(SWAP, "p1")
    assert (order["ordId"], Decimal(order["fee"])) == (our_order.order_id, our_order.fee_btc)
    [position] = await in_thread(sdk.account.get_positions, instId=SWAP)
    assert Decimal(position["pos"]) == (await ours.position(SWAP)).size_contracts == -10
    [balance] = await in_thread(sdk.account.get_account_balance)
    assert Decimal(balance["details"][0]["eq"]) == (await ours.trading_balance()).equity_btc
    await in_thread(sdk.account.set_leverage, "3", "cross", SWAP)
    [leverage] = await in_thread(sdk.account.get_leverage, "cross", instId=SWAP)
    assert Decimal(leverage["lever"]) == await ours.leverage(SWAP) == 3
    [fill] = await in_thread(sdk.trade.get_fills)
    assert fill["tradeId"] == (await ours.fills(SWAP))[0].trade_id
    await in_thread(sdk.trade.close_positions, SWAP, "cross")
    [flat] = await in_thread(sdk.account.get_positions, instId=SWAP)
    assert (flat["pos"], wire.simulator.exchange.account.contracts) == ("0", 0)


async def test_python_okx_moves_money_and_reads_it_as_we_do(
    sdk: SimpleNamespace, ours: OkxClient, wire: Wire
) -> None:
    """Transfer, withdrawal by client id, deposits, address, currency."""
    exchange = wire.simulator.exchange
    [sent] = await in_thread(sdk.funding.funds_transfer, "BTC", "0.1", "6", "18")
    [state] = await in_thread(sdk.funding.transfer_state, sent["transId"])
    assert state["state"] == "success"
    arguments = ("BTC", "0.1", "4", PAYEE)
    [paid] = await in_thread(sdk.funding.withdrawal, *arguments, chain="BTC-Bitcoin", clientId="w1")
    [withdrawal] = await in_thread(sdk.funding.get_withdrawal_history, clientId="w1")
    ours_says = await ours.withdrawal("w1")
    assert paid["wdId"] == withdrawal["wdId"] == ours_says.withdrawal_id
    assert withdrawal["txId"] == ours_says.transaction_id != ""
    exchange.wallet.receive(Decimal("0.25"), at=exchange.clock.now(), now_secs=exchange.clock.monotonic())
    [deposit] = await in_thread(sdk.funding.get_deposit_history)
    assert (deposit["depId"], deposit["amt"]) == ((await ours.deposits())[0].deposit_id, "0.25")
    [address] = await in_thread(sdk.funding.get_deposit_address, "BTC")
    assert address["addr"] == (await ours.deposit_address()).address
    [currency] = await in_thread(sdk.funding.get_currencies, "BTC")
    assert currency["chain"] == "BTC-Bitcoin"
    [funding] = await in_thread(sdk.funding.get_balances, "BTC")
    assert Decimal(funding["bal"]) == (await ours.funding_balance()).total


async def test_our_requests_look_like_theirs_on_the_wire(
    theirs: Any, sdk: SimpleNamespace, ours: OkxClient, wire: Wire
) -> None:
    """The same headers, each signature right for its own bytes, and the same fields but for optional ones."""
    await theirs.load_markets()
    wire.take()
    expires_at = datetime.now(UTC) + timedelta(minutes=1)
    await ours.place_market_order(SWAP, OrderSide.SELL, 10, "x1", expires_at=expires_at)
    await ours.order(SWAP, "x1")
    await ours.transfer(
        Decimal("0.1"), source=AccountKind.FUNDING, target=AccountKind.TRADING, client_transfer_id="x1"
    )
    await ours.withdraw(Decimal("0.1"), address=PAYEE, client_transfer_id="x1")
    our_requests = wire.take()

    await theirs.create_order(SYMBOL, "market", "sell", 10, None, {"clOrdId": "x2"})
    await theirs.fetch_order("", SYMBOL, {"clOrdId": "x2"})
    await theirs.transfer("BTC", 0.1, "funding", "trading", {"clientId": "x2"})
    await theirs.withdraw("BTC", 0.1, PAYEE, {"network": "BTC", "clientId": "x2"})
    ccxt_requests = wire.take()

    await in_thread(sdk.trade.place_order, SWAP, "cross", "sell", "market", "10", clOrdId="x3")
    await in_thread(sdk.trade.get_order, SWAP, clOrdId="x3")
    await in_thread(sdk.funding.funds_transfer, "BTC", "0.1", "6", "18")
    await in_thread(sdk.funding.withdrawal, "BTC", "0.1", "4", PAYEE, clientId="x3")
    sdk_requests = wire.take()

    assert len(our_requests) == len(ccxt_requests) == len(sdk_requests) == 4
    optional = {"tag", "chain", "fee", "type", "clientId", "posSide", "reduceOnly"}
    for ours_sent, *others in zip(our_requests, ccxt_requests, sdk_requests, strict=True):
        for sent in (ours_sent, *others):
            assert sent.headers["OK-ACCESS-SIGN"] == sent.signature()
            assert re.fullmatch(
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", sent.headers["OK-ACCESS-TIMESTAMP"]
            )
            assert (sent.headers["OK-ACCESS-KEY"], sent.headers["OK-ACCESS-PASSPHRASE"]) == (KEY[0], KEY[2])
        for other in others:
            assert ours_sent.method == other.method
            if ours_sent.method == "GET":
                assert ours_sent.target.partition("?")[0] == other.target.partition("?")[0]
                continue
            assert ours_sent.headers["Content-Type"] == other.headers["Content-Type"] == "application/json"
            differing = {
                name
                for name in ours_sent.given.keys() | other.given.keys()
                if ours_sent.given.get(name) != other.given.get(name)
            }
            assert differing <= optional | {"clOrdId"}, (ours_sent.given, other.given)


async def test_ccxt_pro_follows_every_stream(wire: Wire) -> None:
    """Ticker, book, mark price, balance, position, and an order placed while it is watched."""
    async with (
        asyncio.timeout(60),
        ccxt_pro.okx(dict(zip(("apiKey", "secret", "password"), KEY, strict=True))) as pro,
    ):
        pro.enableRateLimit = False
        pro.urls["api"] = {"rest": wire.simulator.base_url, "ws": wire.simulator.ws_url}
        await pro.load_markets()
        assert (await pro.watch_ticker(SYMBOL))["last"] == 50_000
        book = await pro.watch_order_book(SYMBOL)
        assert (book["bids"][0][0], book["asks"][0][0]) == (50_000, 50_000)
        wire.simulator.exchange.feed.set_by_hand(Decimal(49_999), Decimal(50_001))
        while book["bids"][0][0] != 49_999:
            book = await pro.watch_order_book(SYMBOL)
        assert book["asks"][0][0] == 50_001
        assert (await pro.watch_mark_price(SYMBOL))["markPrice"] == 50_000
        assert Decimal(str((await pro.watch_balance())["BTC"]["total"])) == Decimal("0.2")
        watching = asyncio.create_task(pro.watch_orders(SYMBOL))
        async with asyncio.timeout(60):
            while "orders" not in wire.simulator.streams.channels:
                await asyncio.sleep(0.01)
        await pro.create_order(SYMBOL, "market", "sell", 10, None, {"clOrdId": "pro1"})
        assert {order["clientOrderId"] for order in await watching} == {"pro1"}
        [position] = await pro.watch_positions([SYMBOL])
        assert (position["side"], position["contracts"]) == ("short", 10)


@pytest.fixture
async def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A simulator whose certificate is trusted by this process; the base of its WebSocket addresses."""
    async with OkxSimulator(SimulatorConfig(**SETTINGS, tls_port=0)) as simulator:
        assert simulator.certificate is not None
        assert simulator.tls_url is not None
        path = tmp_path / "simulator.pem"
        path.write_bytes(simulator.certificate.certificate_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        yield simulator.tls_url.replace("https", "wss") + "/ws/v5"


async def eventually(messages: list[str], count: int) -> list[Any]:
    async with asyncio.timeout(30):
        while len(messages) < count:
            await asyncio.sleep(0.02)
    return [json.loads(message) for message in messages]


async def test_python_okx_reads_public_streams_over_tls(tls: str) -> None:
    """It insists on TLS; trusting the simulator's certificate is all it needs."""
    received: list[str] = []
    stream = WsPublicAsync(url=f"{tls}/public")
    await stream.start()
    try:
        await stream.subscribe([{"channel": "tickers", "instId": SWAP}], received.append)
        acknowledged, push = (await eventually(received, 2))[:2]
    finally:
        await stream.stop()
    assert acknowledged["event"] == "subscribe"
    assert push["data"][0]["last"] == "50000"


@pytest.mark.slow
async def test_python_okx_logs_in_over_tls(tls: str) -> None:
    """Its login, and after the five seconds that it waits, its subscription."""
    received: list[str] = []
    stream = WsPrivateAsync(apiKey=KEY[0], passphrase=KEY[2], secretKey=KEY[1], url=f"{tls}/private")
    await stream.start()
    try:
        await stream.subscribe([{"channel": "account"}], received.append)
        messages = await eventually(received, 4)
    finally:
        await stream.stop()
    assert [message.get("event") for message in messages[:3]] == ["login", "subscribe", "channel-conn-count"]
    assert messages[3]["data"][0]["details"][0]["cashBal"] == "0.2"
