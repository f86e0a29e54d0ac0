"""What can be subscribed to."""

import pytest

from stablesats.okx import OkxInvalidRequestError
from stablesats.okx.streams import channel
from stablesats.okx.streams.channel import Channel

SWAP = "BTC-USD-SWAP"


@pytest.mark.parametrize(
    ("wanted", "argument"),
    [
        (channel.tickers(SWAP), {"channel": "tickers", "instId": SWAP}),
        (channel.books(SWAP), {"channel": "books", "instId": SWAP}),
        (channel.mark_price(SWAP), {"channel": "mark-price", "instId": SWAP}),
        (channel.funding_rate(SWAP), {"channel": "funding-rate", "instId": SWAP}),
        (channel.orders(SWAP), {"channel": "orders", "instType": "SWAP", "instId": SWAP}),
        (channel.positions(SWAP), {"channel": "positions", "instType": "SWAP", "instId": SWAP}),
        (channel.account(), {"channel": "account", "ccy": "BTC"}),
    ],
)
def test_a_channel_in_okxs_words(wanted: Channel, argument: dict[str, str]) -> None:
    """What does not apply is left out; OKX's own additions do not make it another one."""
    assert wanted.argument() == argument
    assert wanted.is_meant_by({**argument, "uid": "77982378738415879"})
    assert not wanted.is_meant_by({**argument, "channel": "candle1m"})
    assert not wanted.is_meant_by({})


def test_the_same_channel_of_another_instrument_is_another_one() -> None:
    """Its pushes must not be mixed."""
    assert not channel.books(SWAP).is_meant_by(channel.books("ETH-USD-SWAP").argument())


def test_a_malformed_instrument_is_never_subscribed_to() -> None:
    """As in a request."""
    with pytest.raises(OkxInvalidRequestError):
        channel.tickers("btc usd")
