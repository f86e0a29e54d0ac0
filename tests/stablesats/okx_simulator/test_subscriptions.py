"""What can be subscribed to, and where."""

from __future__ import annotations

from typing import Any

import pytest

from stablesats.okx_simulator.instrument import BTC_USD_SWAP
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.subscriptions import Channel, StreamKind, parse_subscription

SWAP = "BTC-USD-SWAP"


@pytest.mark.parametrize(
    ("kind", "arg"),
    [
        (StreamKind.PUBLIC, {"channel": "tickers", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "books", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "books5", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "bbo-tbt", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "mark-price", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "funding-rate", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "trades", "instId": SWAP}),
        (StreamKind.PUBLIC, {"channel": "index-tickers", "instId": "BTC-USD"}),
        (StreamKind.PRIVATE, {"channel": "account"}),
        (StreamKind.PRIVATE, {"channel": "account", "ccy": "BTC"}),
        (StreamKind.PRIVATE, {"channel": "positions", "instType": "ANY"}),
        (StreamKind.PRIVATE, {"channel": "orders", "instType": "SWAP", "instId": SWAP}),
    ],
)
def test_every_channel_is_found_at_its_address(kind: StreamKind, arg: dict[str, str]) -> None:
    """Its argument is repeated as it was given."""
    subscription = parse_subscription(arg, kind, BTC_USD_SWAP)
    assert subscription.arg == arg
    assert subscription.channel.is_private is (kind is StreamKind.PRIVATE)


@pytest.mark.parametrize(
    ("kind", "arg", "code"),
    [
        (StreamKind.PUBLIC, {"channel": "candle1m", "instId": SWAP}, "60018"),
        (StreamKind.PUBLIC, {"channel": "tickers", "instId": "BTC-USDT-SWAP"}, "60018"),
        (StreamKind.PUBLIC, {"channel": "tickers"}, "60018"),
        (StreamKind.PUBLIC, {"channel": "index-tickers", "instId": SWAP}, "60018"),
        (StreamKind.PUBLIC, {"channel": "orders", "instType": "SWAP"}, "60018"),
        (StreamKind.PRIVATE, {"channel": "tickers", "instId": SWAP}, "60018"),
        (StreamKind.PRIVATE, {"channel": "orders"}, "60018"),
        (StreamKind.PRIVATE, {"channel": "account", "ccy": "ETH"}, "60018"),
        (StreamKind.BUSINESS, {"channel": "tickers", "instId": SWAP}, "60018"),
        (StreamKind.PUBLIC, {"instId": SWAP}, "60027"),
        (StreamKind.PUBLIC, {"channel": ["tickers"]}, "60013"),
        (StreamKind.PUBLIC, "tickers", "60013"),
        (StreamKind.PUBLIC, None, "60013"),
    ],
)
def test_what_does_not_exist_here_is_refused(kind: StreamKind, arg: Any, code: str) -> None:
    """Another channel, another instrument, the other address, no argument."""
    with pytest.raises(RefusalError) as refused:
        parse_subscription(arg, kind, BTC_USD_SWAP)
    assert refused.value.code == code


def test_same_arguments_are_the_same_subscription() -> None:
    """Subscribing twice leaves one."""
    arg = {"channel": "books", "instId": SWAP}
    first, second = (parse_subscription(arg, StreamKind.PUBLIC, BTC_USD_SWAP) for _ in range(2))
    assert first == second
    assert (first.channel, first.key) == (Channel.BOOKS, "books instId=BTC-USD-SWAP")
