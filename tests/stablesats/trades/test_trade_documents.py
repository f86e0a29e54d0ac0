"""What is stored of a trade, and when two are the same."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from stablesats.trades import ReceivedTrade
from stablesats.trades.trade_documents import live_reference, trade_differences

Factory = Callable[..., ReceivedTrade]


@pytest.mark.parametrize(
    ("btc", "usd", "stored"),
    [
        (None, None, None),
        ("b", None, {"btc_tx_id": "b"}),
        (None, "u", {"usd_tx_id": "u"}),
        ("b", "u", {"btc_tx_id": "b", "usd_tx_id": "u"}),
    ],
)
def test_live_reference_has_the_payments_that_are_known(
    received: Factory, btc: str | None, usd: str | None, stored: dict[str, str] | None
) -> None:
    """A trade without any has none: those never meet."""
    assert live_reference(received("t", btc=btc, usd=usd).trade) == stored


def test_differences_ignore_what_is_not_stored(received: Factory) -> None:
    """MongoDB keeps milliseconds."""
    trade = received("t1")
    moved = received("t1", at=trade.trade.timestamp + timedelta(microseconds=999))
    assert trade_differences(trade.trade, moved.trade) == {}
    other = received("t1", cents=501)
    assert trade_differences(trade.trade, other.trade) == {"buy_amount": (500, 501)}
