"""The funding account over HTTP: transfers, deposits, withdrawals, addresses, and every way to get them wrong."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from stablesats.okx_simulator.addresses import BitcoinNetwork, deposit_address, is_bitcoin_address

D = Decimal
PAYEE = deposit_address(77, 1)
IN = {"ccy": "BTC", "amt": "0.4", "from": "6", "to": "18"}
OUT = {"ccy": "BTC", "amt": "0.4", "dest": "4", "toAddr": PAYEE}


def held(client: Any) -> tuple[Decimal, Decimal, Decimal]:
    exchange = client.simulator.exchange
    return exchange.account.cash_btc, exchange.wallet.balance_btc, exchange.wallet.frozen_btc


@pytest.fixture
async def rich(client_factory: Callable[..., Any]) -> Any:
    """10 BTC in the trading account, 2 in the funding account; blocks and transfers take no time."""
    return await client_factory(funding_btc=D(2), rate_limits=False)


@pytest.fixture
async def slow(client_factory: Callable[..., Any]) -> Any:
    """The same, but a transfer takes 5 s and a block a minute."""
    return await client_factory(
        funding_btc=D(2), rate_limits=False, transfer_ms=5_000, block_ms=60_000, trading_btc=D(10)
    )


async def test_transfer_moves_and_its_state_is_a_success(rich: Any) -> None:
    """By its own id or the client's; the cash of the trading account has a bill."""
    sent = (await rich.post("asset/transfer", IN | {"clientId": "t1"})).json["data"][0]
    assert sent == {**IN, "clientId": "t1", "transId": sent["transId"]}
    for query in (f"transId={sent['transId']}", "clientId=t1", f"transId={sent['transId']}&clientId=other"):
        [state] = (await rich.get(f"asset/transfer-state?{query}")).json["data"]
        assert (state["state"], state["amt"], state["type"]) == ("success", "0.4", "0")
    assert held(rich) == (D("10.4"), D("1.6"), 0)
    [bill] = (await rich.get("account/bills?type=1")).json["data"]
    assert (bill["balChg"], bill["bal"], bill["from"], bill["to"]) == ("0.4", "10.4", "6", "18")


async def test_transfer_that_takes_time_has_left_and_not_arrived(slow: Any, clock: Any) -> None:
    """Pending for 5 s: in neither account, and a repeat of its client id names it."""
    sent = (await slow.post("asset/transfer", IN | {"clientId": "t1"})).json["data"][0]
    assert (await slow.get("asset/transfer-state?clientId=t1")).json["data"][0]["state"] == "pending"
    assert held(slow) == (10, D("1.6"), 0)
    again = await slow.post("asset/transfer", IN | {"clientId": "t1"})
    assert again.json["code"] == "58124"
    assert sent["transId"] in again.json["msg"]
    clock.advance(5)
    assert (await slow.get("asset/transfer-state?clientId=t1")).json["data"][0]["state"] == "success"
    assert held(slow) == (D("10.4"), D("1.6"), 0)
    assert (await slow.post("asset/transfer", IN | {"clientId": "t1"})).json["code"] == "58129"
    assert len(slow.simulator.exchange.wallet.transfers) == 1


@pytest.mark.parametrize("direction", [("6", "18"), ("18", "6")])
async def test_transfer_that_fails_goes_back(slow: Any, clock: Any, direction: tuple[str, str]) -> None:
    """Announced by the operator; the amount is where it was."""
    await slow.admin("POST", "fail-transfers", {"count": 1})
    source, target = direction
    await slow.post("asset/transfer", IN | {"from": source, "to": target, "clientId": "t1"})
    clock.advance(5)
    assert (await slow.get("asset/transfer-state?clientId=t1")).json["data"][0]["state"] == "failed"
    assert held(slow) == (10, 2, 0)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amt": "2.00000001"}, 200, "58350"),
        ({"amt": "0"}, 400, "58114"),
        ({"amt": "-1"}, 400, "58114"),
        ({"amt": "0.000000001"}, 400, "51000"),
        ({"amt": "1e-2"}, 400, "51000"),
        ({"amt": ""}, 400, "51000"),
        ({"amt": "1" * 13}, 400, "51000"),
        ({"ccy": "ETH"}, 400, "51000"),
        ({"from": "18"}, 200, "58123"),
        ({"to": "1"}, 200, "58129"),
        ({"from": ""}, 200, "58129"),
        ({"type": "1"}, 400, "51000"),
        ({"clientId": "with-hyphen"}, 400, "51000"),
        ({"from": "18", "to": "6", "amt": "10.00000001"}, 200, "58116"),
    ],
)
async def test_bad_transfer_is_refused_and_moves_nothing(
    rich: Any, change: dict[str, str], status: int, code: str
) -> None:
    """OKX's own code, an empty data list, the same balances."""
    answer = await rich.post("asset/transfer", IN | change)
    assert (answer.status, answer.json["code"], answer.json["data"]) == (status, code, [])
    assert held(rich) == (10, 2, 0)
    assert not rich.simulator.exchange.wallet.transfers


async def test_gains_on_paper_cannot_leave_the_trading_account(client_factory: Callable[..., Any]) -> None:
    """At 40,000 the short of the example has 0.1999 cash and 0.125 margin: 0.0749 may go, and no satoshi more."""
    client = await client_factory(trading_btc=D("0.2"), lever=D(2), rate_limits=False)
    await client.market_order("sell", "100")
    await client.admin("POST", "price", {"price": "40000"})
    [row] = (await client.get("account/max-withdrawal?ccy=BTC")).json["data"]
    assert row["maxWd"] == "0.0749"
    outward = IN | {"from": "18", "to": "6"}
    assert (await client.post("asset/transfer", outward | {"amt": "0.07490001"})).json["code"] == "58116"
    assert (await client.post("asset/transfer", outward | {"amt": "0.0749"})).json["code"] == "0"
    assert (await client.get("account/max-withdrawal")).json["data"][0]["maxWd"] == "0"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("type=0", "50014"),
        ("transId=1", "58129"),
        ("clientId=nobody", "58129"),
        ("transId=x", "51000"),
        ("clientId=a-b", "51000"),
    ],
)
async def test_unknown_transfer_has_its_code(rich: Any, query: str, code: str) -> None:
    """None given, none found, malformed."""
    assert (await rich.get(f"asset/transfer-state?{query}")).json["code"] == code


async def test_withdrawal_is_frozen_then_broadcast_then_paid(slow: Any, clock: Any) -> None:
    """States 0, 1 and 2, a minute each; amount and fee are frozen until they leave, `txId` comes with state 1."""
    paid = (await slow.post("asset/withdrawal", OUT | {"clientId": "w1"})).json["data"][0]
    assert paid == {
        "amt": "0.4",
        "ccy": "BTC",
        "chain": "BTC-Bitcoin",
        "clientId": "w1",
        "wdId": paid["wdId"],
    }
    seen = []
    for _ in range(3):
        [row] = (await slow.get("asset/withdrawal-history?clientId=w1")).json["data"]
        seen.append((row["state"], bool(row["txId"]), *held(slow)[1:]))
        clock.advance(60)
    assert seen == [
        ("0", False, 2, D("0.40005")),
        ("1", True, D("1.59995"), 0),
        ("2", True, D("1.59995"), 0),
    ]
    assert (row["fee"], row["to"], row["feeCcy"]) == ("0.00005", PAYEE, "BTC")
    [balance] = (await slow.get("asset/balances?ccy=BTC")).json["data"]
    assert balance == {"ccy": "BTC", "bal": "1.59995", "availBal": "1.59995", "frozenBal": "0"}


@pytest.mark.parametrize(
    ("state", "balance", "frozen"),
    [("-1", "2", "0"), ("-2", "2", "0"), ("4", "2", "0.40005"), ("99", "2", "0.40005")],
)
async def test_withdrawal_that_ends_badly_comes_back_and_one_under_review_stays_frozen(
    slow: Any, clock: Any, state: str, balance: str, frozen: str
) -> None:
    """Failed, cancelled; reviewed by hand, and a state that nobody knows. Blocks change none of them."""
    wd_id = (await slow.post("asset/withdrawal", OUT)).json["data"][0]["wdId"]
    await slow.admin("POST", "money-state", {"id": wd_id, "state": state})
    clock.advance(600)
    [row] = (await slow.get(f"asset/withdrawal-history?wdId={wd_id}")).json["data"]
    assert row["state"] == state
    assert held(slow)[1:] == (D(balance), D(frozen))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amt": "1.99995001"}, "58350"),
        ({"amt": "0.00049999"}, "58206"),
        ({"amt": "500.00000001"}, "58205"),
        ({"amt": "0"}, "58114"),
        ({"amt": "x"}, "51000"),
        ({"ccy": "ETH"}, "51000"),
        ({"dest": "5"}, "51000"),
        ({"chain": "BTC-Lightning"}, "51000"),
        ({"toAddr": ""}, "58222"),
        ({"toAddr": "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"}, "58222"),
        ({"toAddr": "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn"}, "58222"),
        ({"toAddr": "0x52908400098527886E0F7030069857D2E4169EE7"}, "58222"),
        ({"toAddr": PAYEE[:-1] + ("q" if PAYEE[-1] != "q" else "p")}, "58222"),
        ({"clientId": "a" * 33}, "51000"),
    ],
)
async def test_bad_withdrawal_is_refused_and_pays_nothing(
    rich: Any, change: dict[str, str], code: str
) -> None:
    """Too much, too little, another chain, a typing error in the address."""
    answer = await rich.post("asset/withdrawal", OUT | change)
    assert (answer.json["code"], answer.json["data"]) == (code, [])
    assert held(rich) == (10, 2, 0)


async def test_withdrawal_goes_to_verified_addresses_only_where_there_is_a_list(
    client_factory: Callable[..., Any],
) -> None:
    """58207 for any other."""
    client = await client_factory(funding_btc=D(2), verified_addresses=frozenset({PAYEE}))
    other = deposit_address(78, 1)
    assert (await client.post("asset/withdrawal", OUT | {"toAddr": other})).json["code"] == "58207"
    assert (await client.post("asset/withdrawal", OUT)).json["code"] == "0"


async def test_repeated_client_id_pays_once(rich: Any) -> None:
    """58404, and one withdrawal."""
    await rich.post("asset/withdrawal", OUT | {"clientId": "w1"})
    assert (await rich.post("asset/withdrawal", OUT | {"clientId": "w1"})).json["code"] == "58404"
    assert len((await rich.get("asset/withdrawal-history")).json["data"]) == 1


async def test_internal_payment_costs_nothing(rich: Any) -> None:
    """`dest` 3 names a user of the exchange, not an address."""
    answer = await rich.post("asset/withdrawal", OUT | {"dest": "3", "toAddr": "someone@example.com"})
    assert answer.json["code"] == "0"
    assert held(rich)[1] == D("1.6")


async def test_unknown_withdrawal_id_is_refused_and_an_unknown_client_id_finds_none(rich: Any) -> None:
    """Both shapes exist; a client has to accept both."""
    assert (await rich.get("asset/withdrawal-history?wdId=1")).json["code"] == "58215"
    assert (await rich.get("asset/withdrawal-history?clientId=nobody")).json["data"] == []


async def test_deposit_is_credited_with_its_first_confirmation(client_factory: Callable[..., Any]) -> None:
    """States 0, 1, 2 with 0, 1, 2 blocks; it counts from state 1 on."""
    client = await client_factory(block_ms=None, rate_limits=False)
    [address] = (await client.get("asset/deposit-address?ccy=BTC")).json["data"]
    await client.admin("POST", "chain-deposit", {"amt": "0.2500", "txId": "f00d"})
    seen = []
    for _ in range(3):
        [row] = (await client.get("asset/deposit-history?ccy=BTC")).json["data"]
        seen.append((row["state"], row["actualDepBlkConfirm"], held(client)[1]))
        await client.admin("POST", "blocks")
    assert seen == [("0", "0", 0), ("1", "1", D("0.25")), ("2", "2", D("0.25"))]
    assert (row["to"], row["amt"], row["txId"]) == (address["addr"], "0.25", "f00d")


@pytest.mark.parametrize(("state", "credited"), [("8", False), ("12", False), ("99", False), ("2", True)])
async def test_deposit_may_be_held_up_in_any_state(
    client_factory: Callable[..., Any], state: str, credited: bool
) -> None:
    """Suspended, frozen, unknown: not credited, and no block moves it."""
    client = await client_factory(block_ms=None, rate_limits=False)
    deposit = (await client.admin("POST", "chain-deposit", {"amt": "0.25"})).json["deposit"]
    await client.admin("POST", "money-state", {"id": deposit["depId"], "state": state})
    await client.admin("POST", "blocks", {"count": 3})
    [row] = (await client.get(f"asset/deposit-history?depId={deposit['depId']}")).json["data"]
    assert (row["state"], held(client)[1]) == (state, D("0.25") if credited else 0)


async def test_exactly_one_address_is_selected_and_old_ones_stay(rich: Any) -> None:
    """A new one takes over; all are addresses of bitcoin's main chain."""
    [first] = (await rich.get("asset/deposit-address?ccy=BTC")).json["data"]
    await rich.admin("POST", "address")
    rows = (await rich.get("asset/deposit-address?ccy=BTC")).json["data"]
    assert [row["selected"] for row in rows] == [True, False]
    assert rows[1]["addr"] == first["addr"]
    assert all(is_bitcoin_address(row["addr"]) and row["addr"].startswith("bc1q") for row in rows)
    assert (await rich.get("asset/deposit-address")).json["code"] == "50014"
    assert (await rich.get("asset/deposit-address?ccy=ETH")).json["code"] == "51000"


async def test_histories_come_newest_first_and_are_cut_by_time(rich: Any, clock: Any) -> None:
    """`after` is older, `before` newer, both by `ts`; `limit` cuts."""
    stamps = []
    for amount in ("0.1", "0.2", "0.3"):
        clock.advance(10)
        stamps.append((await rich.admin("POST", "chain-deposit", {"amt": amount})).json["deposit"]["ts"])
    shown = {
        query: [row["amt"] for row in (await rich.get(f"asset/deposit-history?{query}")).json["data"]]
        for query in ("ccy=BTC", "limit=2", f"after={stamps[1]}", f"before={stamps[1]}", "state=8")
    }
    assert list(shown.values()) == [["0.3", "0.2", "0.1"], ["0.3", "0.2"], ["0.1"], ["0.3"], []]
    assert (await rich.get("asset/deposit-history?after=x")).json["code"] == "51000"


async def test_third_transfer_within_a_second_is_too_many(client_factory: Callable[..., Any]) -> None:
    """Two a second for each user and currency."""
    client = await client_factory(funding_btc=D(2))
    codes = [(await client.post("asset/transfer", IN | {"amt": "0.1"})).json["code"] for _ in range(3)]
    assert codes == ["0", "0", "50011"]


async def test_withdrawals_may_go_to_a_test_chain_if_that_is_the_exchange_s(client_factory: Any) -> None:
    """Then the main chain is the one that is refused."""
    client = await client_factory(
        funding_btc=Decimal(1), bitcoin_networks=frozenset({BitcoinNetwork.REGTEST})
    )
    codes = []
    for address in ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", PAYEE):
        fields = {"ccy": "BTC", "amt": "0.1", "dest": "4", "toAddr": address}
        codes.append((await client.post("asset/withdrawal", fields)).json["code"])
    assert codes == ["0", "58222"]
