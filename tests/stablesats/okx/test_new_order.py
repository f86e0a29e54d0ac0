"""An order as it is asked for."""

from decimal import Decimal

import pytest

from stablesats.okx import NewOrder, OkxInvalidRequestError, OrderSide, OrderType


def order(**changes) -> NewOrder:
    return NewOrder(**{"side": OrderSide.SELL, "size_contracts": 1, "client_order_id": "a1", **changes})


def test_a_market_order_is_the_default() -> None:
    """Reduce-only is said only where it holds."""
    assert order().fields() == {"side": "sell", "ordType": "market", "sz": "1"}
    assert order(reduce_only=True).fields()["reduceOnly"] is True


@pytest.mark.parametrize("order_type", [kind for kind in OrderType if kind.has_limit_price])
def test_a_type_with_a_limit_needs_a_price(order_type: OrderType) -> None:
    """OKX refuses it without (51204)."""
    with pytest.raises(OkxInvalidRequestError, match="needs a limit price"):
        order(order_type=order_type).fields()
    assert order(order_type=order_type, limit_price_usd=Decimal("50000.10")).fields()["px"] == "50000.1"


@pytest.mark.parametrize("order_type", [OrderType.MARKET, OrderType.OPTIMAL_LIMIT])
def test_a_type_without_a_limit_takes_no_price(order_type: OrderType) -> None:
    """OKX would ignore it, and the caller would believe in a bound that is none."""
    with pytest.raises(OkxInvalidRequestError, match="takes no limit price"):
        order(order_type=order_type, limit_price_usd=1).fields()


@pytest.mark.parametrize(
    "changes",
    [
        {"size_contracts": 0},
        {"size_contracts": 0.5},
        {"order_type": OrderType.LIMIT, "limit_price_usd": 0},
        {"order_type": OrderType.LIMIT, "limit_price_usd": 50_000.1},
        {"order_type": OrderType.LIMIT, "limit_price_usd": Decimal("NaN")},
    ],
)
def test_a_number_that_is_no_size_or_price_is_refused(changes) -> None:
    """Zero, a binary float, no number at all."""
    with pytest.raises(OkxInvalidRequestError):
        order(**changes).fields()
