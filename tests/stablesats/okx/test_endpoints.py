"""The table of endpoints."""

import pytest

from stablesats.okx import endpoints
from stablesats.okx.endpoints import Endpoint, Priority

ALL = [value for value in vars(endpoints).values() if isinstance(value, Endpoint)]


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_every_post_is_a_write_and_every_get_a_read(endpoint: Endpoint) -> None:
    """A POST that counted as a read would be repeated, and could trade twice."""
    assert endpoint.write == (endpoint.method == "POST")


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_only_public_and_market_data_go_unsigned(endpoint: Endpoint) -> None:
    """Everything about the account is private."""
    assert endpoint.private == (not endpoint.path.startswith(("/api/v5/public/", "/api/v5/market/")))


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_writes_go_first_and_prices_last(endpoint: Endpoint) -> None:
    """Orders before polls before prices; the clock is read on behalf of an order."""
    if endpoint.write:
        assert endpoint.priority is Priority.ORDER
    assert (endpoint.priority is Priority.PRICE) == endpoint.path.startswith("/api/v5/market/")


@pytest.mark.parametrize(
    ("path", "per_two_secs"),
    [
        ("public/time", 10),
        ("public/instruments", 20),
        ("market/ticker", 20),
        ("account/balance", 10),
        ("account/positions", 10),
        ("account/config", 5),
        ("account/leverage-info", 20),
        ("trade/order", 60),
        ("trade/cancel-order", 60),
        ("trade/close-position", 20),
    ],
)
def test_limits_are_those_of_okx(path: str, per_two_secs: int) -> None:
    """Source: OKX API v5, the rate limit of each endpoint."""
    matching = [endpoint for endpoint in ALL if endpoint.path == f"/api/v5/{path}"]
    assert {(found.allowance.requests, found.allowance.window_secs) for found in matching} == {
        (per_two_secs, 2.0)
    }


def test_limits_of_orders_count_by_instrument() -> None:
    """OKX counts trade requests per user and instrument."""
    assert {str(found) for found in ALL if found.allowance.per_instrument} == {
        "POST /api/v5/trade/order",
        "GET /api/v5/trade/order",
        "POST /api/v5/trade/cancel-order",
        "POST /api/v5/trade/close-position",
    }
