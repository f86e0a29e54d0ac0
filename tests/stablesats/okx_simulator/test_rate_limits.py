"""Token buckets: full at the start, refilled evenly, each for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.rate_limits import Bucket, Charge, Limit, RateLimiter, take
from stablesats.okx_simulator.refusals import RefusalError

LIMIT = Limit("row", 10, 2.0, keyed_by="instId")


@pytest.mark.parametrize(
    ("elapsed_secs", "cost", "left"),
    [
        (0.0, 1, None),  # empty
        (0.19, 1, None),  # 0.95 of a token
        (0.25, 1, 0.25),  # 5 tokens a second
        (2.0, 10, 0.0),
        (99.0, 10, 0.0),  # never more than the burst
        (99.0, 11, None),
    ],
)
def test_emptied_bucket_refills_evenly(elapsed_secs: float, cost: int, left: float | None) -> None:
    """10 in 2 s are 5 a second."""
    after = take(Bucket(0.0, 100.0), Charge(LIMIT, cost), now_secs=100.0 + elapsed_secs)
    assert (after and after.tokens) == left


@given(st.lists(st.floats(min_value=0, max_value=1), max_size=60))
def test_no_more_than_the_burst_and_the_refill_ever_passes(pauses_secs: list[float]) -> None:
    """Over any stretch: accepted <= 10 + 5 per second."""
    bucket, now_secs, accepted = None, 0.0, 0
    for pause_secs in pauses_secs:
        now_secs += pause_secs
        after = take(bucket, Charge(LIMIT), now_secs=now_secs)
        if after is not None:
            bucket, accepted = after, accepted + 1
    assert accepted <= 10 + 5 * now_secs + 1e-6


def test_callers_and_instruments_have_their_own_buckets(clock: Any) -> None:
    """One caller's or instrument's burst leaves the others theirs."""
    limiter = RateLimiter(enabled=True, monotonic=clock.monotonic)
    limiter.spend("a", [(Charge(LIMIT, 10), "BTC-USD-SWAP")])
    limiter.spend("a", [(Charge(LIMIT, 10), "other")])
    limiter.spend("b", [(Charge(LIMIT, 10), "BTC-USD-SWAP")])
    with pytest.raises(RefusalError) as refused:
        limiter.spend("a", [(Charge(LIMIT), "BTC-USD-SWAP")])
    assert (refused.value.code, refused.value.http_status) == ("50011", 429)


def test_refused_request_takes_nothing_from_any_bucket(clock: Any) -> None:
    """Two limits, the second exhausted: the first keeps its token."""
    limiter = RateLimiter(enabled=True, monotonic=clock.monotonic)
    first, second = Limit("first", 1), Limit("second", 1, code="50061")
    limiter.spend("a", [(Charge(second), "")])
    with pytest.raises(RefusalError) as refused:
        limiter.spend("a", [(Charge(first), ""), (Charge(second), "")])
    assert refused.value.code == "50061"
    assert limiter.spend("a", [(Charge(first), "")]) is None


async def test_request_over_the_limit_gets_429_without_data(client: Any, clock: Any) -> None:
    """10 balances pass at once, the eleventh does not, and 0.2 s later one does."""
    statuses = [(await client.get("account/balance")).status for _ in range(10)]
    refused = await client.get("account/balance")
    clock.advance(0.2)
    later = await client.get("account/balance")
    assert statuses == [200] * 10
    assert (refused.status, refused.json) == (429, {"code": "50011", "msg": "Too Many Requests"})
    assert later.status == 200


async def test_switched_off_limits_refuse_nothing(client_factory: Callable[..., Any]) -> None:
    """For load tests."""
    client = await client_factory(rate_limits=False)
    assert {(await client.get("account/balance")).status for _ in range(30)} == {200}


async def test_batch_is_charged_by_its_orders(client: Any) -> None:
    """300 orders in 2 s: fifteen batches of twenty, not one order more."""
    order = {"instId": "BTC-USD-SWAP", "tdMode": "cross", "side": "sell", "ordType": "market", "sz": "0.1"}
    codes = [(await client.post("trade/batch-orders", [order] * 20)).json["code"] for _ in range(15)]
    refused = await client.post("trade/batch-orders", [order] * 2)
    assert codes == ["0"] * 15
    assert refused.json["code"] == "50011"
    assert (await client.post("trade/batch-orders", [order])).json["code"] == "0"


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("application/json", "{", "50002"),
        ("application/json", "[]", "50002"),
        ("text/plain", "{}", "50006"),
        ("application/json", '{"instId":"MADE-UP"}', "1"),
    ],
)
async def test_request_that_cannot_be_read_counts_all_the_same(
    client: Any, content_type: str, body: str, code: str
) -> None:
    """60 orders of any kind of garbage, then 429; a name made up has no bucket of its own."""
    target = "/api/v5/trade/order"
    headers = client.headers("POST", target, body) | {"Content-Type": content_type}
    codes = [(await client.send("POST", target, body=body, headers=headers)).json["code"] for _ in range(60)]
    other = body.replace("MADE-UP", "ANOTHER")
    headers = client.headers("POST", target, other) | {"Content-Type": content_type}
    refused = await client.send("POST", target, body=other, headers=headers)
    assert codes == [code] * 60
    assert (refused.status, refused.json["code"]) == (429, "50011")
    assert (await client.market_order("sell", "1")).json["code"] == "0"


async def test_instrument_has_one_bucket_by_name_and_by_code(client: Any) -> None:
    """60 orders named either way; the instrument's code is what ccxt sends over WebSocket."""
    by_code = {"instId": "", "instIdCode": 10458}
    for more in ({}, by_code) * 30:
        assert (await client.market_order("sell", "0.1", **more)).json["code"] == "0"
    refused = [(await client.market_order("sell", "0.1", **more)).json["code"] for more in ({}, by_code)]
    assert refused == ["50011", "50011"]
