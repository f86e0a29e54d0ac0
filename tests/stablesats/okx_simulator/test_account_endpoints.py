"""The trading and the funding account over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

NUMBERS = (
    "avgPx",
    "markPx",
    "upl",
    "imr",
    "mmr",
    "mgnRatio",
    "lever",
    "liqPx",
    "notionalUsd",
    "last",
    "realizedPnl",
)


async def test_account_is_in_futures_and_net_mode(client: Any) -> None:
    """Anything else and a hedging engine refuses to start."""
    row = (await client.get("account/config")).json["data"][0]
    assert (row["acctLv"], row["posMode"], row["autoLoan"]) == ("2", "net_mode", False)


@pytest.mark.parametrize(
    ("mark", "upl", "equity", "initial", "available"),
    [
        (40_000, "0.05", "0.2499", "0.125", "0.1249"),
        (50_000, "0", "0.1999", "0.1", "0.0999"),
        (60_000, "-0.0333333333333333", "0.1665666666666667", "0.0833333333333333", "0.0832333333333333"),
    ],
)
async def test_balance_follows_the_mark(
    client_factory: Callable[..., Any], *, mark: int, upl: str, equity: str, initial: str, available: str
) -> None:
    """The reference's example: 0.2 BTC, short 10,000 USD from 50,000 at leverage 2."""
    client = await client_factory(trading_btc=Decimal("0.2"), lever=Decimal(2))
    await client.market_order("sell", "100")
    client.simulator.exchange.feed.set_by_hand(Decimal(mark), Decimal(mark))
    detail = (await client.get("account/balance")).json["data"][0]["details"][0]
    shown = (detail["cashBal"], detail["upl"], detail["eq"], detail["imr"], detail["availEq"])
    assert shown == ("0.1999", upl, equity, initial, available)


async def test_flat_account_has_no_margins_but_numeric_available_equity(client: Any) -> None:
    """Not applicable is empty; what a client computes with is a number."""
    detail = (await client.get("account/balance?ccy=BTC")).json["data"][0]["details"][0]
    assert (detail["imr"], detail["mmr"], detail["mgnRatio"]) == ("", "", "")
    assert (detail["availEq"], detail["eqUsd"]) == ("10", "500000")


@pytest.mark.parametrize("query", ["", "?ccy=BTC"])
async def test_empty_account_has_no_details(client_factory: Callable[..., Any], query: str) -> None:
    """A row per currency with a balance, so none."""
    client = await client_factory(trading_btc=Decimal(0))
    row = (await client.get(f"account/balance{query}")).json["data"][0]
    assert (row["details"], row["totalEq"]) == ([], "0")


async def test_other_currency_has_no_details(client: Any) -> None:
    """The account holds bitcoin only."""
    assert (await client.get("account/balance?ccy=ETH")).json["data"][0]["details"] == []


async def test_position_never_held_has_no_row(client: Any) -> None:
    """With and without naming the instrument."""
    assert (await client.get("account/positions")).json["data"] == []
    assert (await client.get("account/positions?instId=BTC-USD-SWAP")).json["data"] == []


async def test_open_position_is_signed_and_in_btc(client_factory: Callable[..., Any]) -> None:
    """Short 100: pos -100, margins in BTC, notional unsigned."""
    client = await client_factory(trading_btc=Decimal("0.1"), lever=Decimal(2))
    await client.market_order("sell", "90")
    row = (await client.get("account/positions?instId=BTC-USD-SWAP")).json["data"][0]
    assert (row["pos"], row["avgPx"], row["posSide"], row["mgnMode"]) == ("-90", "50000", "net", "cross")
    assert (row["imr"], row["mmr"], row["notionalUsd"], row["realizedPnl"]) == (
        "0.09",
        "0.00072",
        "9000",
        "-0.00009",
    )
    assert row["liqPx"].startswith("111")
    assert (await client.get("account/positions?instType=FUTURES")).json["data"] == []
    assert (await client.get(f"account/positions?posId={row['posId']}")).json["data"][0]["pos"] == "-90"
    assert (await client.get("account/positions?posId=1")).json["data"] == []


async def test_closed_position_has_two_shapes(client: Any) -> None:
    """No row in the list; by instrument a row with pos 0 and empty numbers."""
    await client.market_order("sell", "100")
    await client.market_order("buy", "100")
    row = (await client.get("account/positions?instId=BTC-USD-SWAP")).json["data"][0]
    assert (await client.get("account/positions")).json["data"] == []
    assert row["pos"] == "0"
    assert {row[name] for name in NUMBERS} == {""}


async def test_leverage_is_read_back_as_set(client: Any) -> None:
    """One client sends a number, another a text."""
    for lever in (2, "3.5"):
        fields = {"instId": "BTC-USD-SWAP", "mgnMode": "cross", "lever": lever, "posSide": ""}
        assert (await client.post("account/set-leverage", fields)).json["data"][0]["lever"] == str(lever)
        info = await client.get("account/leverage-info?instId=BTC-USD-SWAP&mgnMode=cross")
        assert (info.json["data"][0]["lever"], info.json["data"][0]["posSide"]) == (str(lever), "net")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"lever": "101"}, 200, "59102"),
        ({"lever": "0"}, 400, "59105"),
        ({"lever": "two"}, 400, "51000"),
        ({"mgnMode": "isolated"}, 200, "51010"),
        ({"mgnMode": ""}, 400, "51000"),
        ({"instId": "ETH-USD-SWAP"}, 200, "51001"),
    ],
)
async def test_impossible_leverage_is_refused(
    client: Any, change: dict[str, str], status: int, code: str
) -> None:
    """And stays as it was."""
    fields = {"instId": "BTC-USD-SWAP", "mgnMode": "cross", "lever": "2"} | change
    answer = await client.post("account/set-leverage", fields)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert client.simulator.exchange.account.lever == 5


async def test_largest_size_counts_what_closes(client: Any) -> None:
    """Flat: the same on both sides. Short: buying may also close."""
    path = "account/max-size?instId=BTC-USD-SWAP&tdMode=cross"
    flat = (await client.get(path)).json["data"][0]
    await client.market_order("sell", "1000")
    short = (await client.get(path)).json["data"][0]
    assert (flat["maxBuy"], flat["maxSell"]) == ("24937.6", "24937.6")
    assert Decimal(short["maxBuy"]) > Decimal(flat["maxBuy"])
    assert Decimal(short["maxSell"]) < Decimal(flat["maxSell"])


async def test_funding_account_has_a_row_only_with_a_balance(client_factory: Callable[..., Any]) -> None:
    """An empty list means zero."""
    empty, filled = await client_factory(), await client_factory(funding_btc=Decimal("1.5"))
    assert (await empty.get("asset/balances?ccy=BTC")).json["data"] == []
    assert (await filled.get("asset/balances")).json["data"] == [
        {"availBal": "1.5", "bal": "1.5", "ccy": "BTC", "frozenBal": "0"}
    ]


async def test_bitcoin_is_listed_on_its_main_chain(client: Any) -> None:
    """Flags are JSON booleans, amounts texts."""
    rows = (await client.get("asset/currencies")).json["data"]
    assert (rows[0]["chain"], rows[0]["canWd"], rows[0]["minWd"]) == ("BTC-Bitcoin", True, "0.0005")
    assert (await client.get("asset/currencies?ccy=ETH")).json["data"] == []


async def test_fee_rates_are_negative_for_what_is_charged(client: Any) -> None:
    """0.02 % for a maker, 0.05 % for a taker."""
    [row] = (await client.get("account/trade-fee?instType=SWAP&instFamily=BTC-USD")).json["data"]
    assert (row["maker"], row["taker"]) == ("-0.0002", "-0.0005")
    assert (await client.get("account/trade-fee")).json["code"] == "50014"


@pytest.mark.parametrize(
    ("mode", "is_open", "code"),
    [
        ("net_mode", True, "0"),
        ("long_short_mode", False, "51010"),
        ("long_short_mode", True, "59000"),
        ("", False, "51000"),
    ],
)
async def test_position_mode_is_net_mode(client: Any, mode: str, is_open: bool, code: str) -> None:
    """It can be confirmed; another is refused, first for what is open."""
    if is_open:
        await client.market_order("sell", "1")
    answer = await client.post("account/set-position-mode", {"posMode": mode})
    assert answer.json["code"] == code


async def test_bills_tell_the_cash_line_by_line(client_factory: Callable[..., Any]) -> None:
    """Newest first: the profit of the close less its fee, the fee of the opening, the transfer."""
    client = await client_factory(funding_btc=Decimal(1))
    await client.post("asset/transfer", {"ccy": "BTC", "amt": "0.5", "from": "6", "to": "18"})
    await client.market_order("sell", "100")
    await client.admin("POST", "price", {"price": "40000"})
    await client.market_order("buy", "100")
    bills = (await client.get("account/bills")).json["data"]
    assert [(bill["type"], bill["balChg"], bill["bal"]) for bill in bills] == [
        ("2", "0.049875", "10.549775"),
        ("2", "-0.0001", "10.4999"),
        ("1", "0.5", "10.5"),
    ]
    assert (bills[0]["pnl"], bills[0]["fee"], bills[0]["subType"]) == ("0.05", "-0.000125", "1")
    assert bills == (await client.get("account/bills-archive")).json["data"]
    older = (await client.get(f"account/bills?after={bills[0]['billId']}&limit=1")).json["data"]
    assert older == bills[1:2]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "account/balance", "50101"),
        ("GET", "asset/balances", "50101"),
        ("POST", "trade/order", "50101"),
        ("POST", "asset/transfer", "50038"),
        ("POST", "asset/withdrawal", "50038"),
    ],
)
async def test_demo_requests_are_refused_where_the_environment_is_strict(
    client_factory: Callable[..., Any], method: str, path: str, code: str
) -> None:
    """50101, and 50038 for what would move money; by default the header is ignored."""
    strict, lenient = await client_factory(strict_environment=True), await client_factory()
    answers = []
    for client in (strict, lenient):
        client.extra_headers = {"x-simulated-trading": "1"}
        ask = client.get(path) if method == "GET" else client.post(path, {})
        answers.append((await ask).json["code"])
    assert answers[0] == code
    assert answers[1] not in {"50101", "50038"}
    strict.extra_headers = {"x-simulated-trading": "0"}
    assert (await strict.get("account/balance")).json["code"] == "0"
