"""The table of endpoints."""

import pytest

from stablesats.okx import endpoints
from stablesats.okx.endpoints import Endpoint, Priority
from stablesats.okx.limits import pace_of

ALL = [value for value in vars(endpoints).values() if isinstance(value, Endpoint)]


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_every_post_is_a_write_and_every_get_a_read(endpoint: Endpoint) -> None:
    """A POST that counted as a read would be repeated, and could trade twice."""
    assert endpoint.write == (endpoint.method == "POST")


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_only_public_and_market_data_go_unsigned(endpoint: Endpoint) -> None:
    """Everything about the account is private."""
    unsigned = ("/api/v5/public/", "/api/v5/market/", "/api/v5/system/")
    assert endpoint.private == (not endpoint.path.startswith(unsigned))


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_writes_go_first_and_prices_last(endpoint: Endpoint) -> None:
    """Orders before polls before prices; the clock is read on behalf of an order."""
    if endpoint.write:
        assert endpoint.priority is Priority.ORDER
    prices = ("/api/v5/market/", "/api/v5/public/mark-price", "/api/v5/public/funding-rate")
    assert (endpoint.priority is Priority.PRICE) == endpoint.path.startswith(prices)


@pytest.mark.parametrize(
    ("path", "per_two_secs"),
    [
        ("public/time", 10),
        ("public/instruments", 20),
        ("market/ticker", 20),
        ("market/tickers", 20),
        ("market/books", 40),
        ("public/mark-price", 10),
        ("public/funding-rate", 10),
        ("account/balance", 10),
        ("account/positions", 10),
        ("account/config", 5),
        ("account/leverage-info", 20),
        ("trade/order", 60),
        ("trade/cancel-order", 60),
        ("trade/close-position", 20),
        ("account/set-leverage", 20),
        ("account/set-position-mode", 5),
        ("account/trade-fee", 5),
        ("account/max-size", 20),
        ("account/max-withdrawal", 20),
        ("trade/orders-history", 40),
        ("trade/fills-history", 10),
    ],
)
def test_limits_are_those_of_okx(path: str, per_two_secs: int) -> None:
    """Source: OKX API v5, the rate limit of each endpoint."""
    matching = [endpoint for endpoint in ALL if endpoint.path == f"/api/v5/{path}"]
    assert {(found.allowance.requests, found.allowance.window_secs) for found in matching} == {
        (per_two_secs, 2.0)
    }


@pytest.mark.parametrize(
    ("path", "per_sec"),
    [
        ("asset/balances", 6),
        ("asset/currencies", 6),
        ("asset/deposit-address", 6),
        ("asset/deposit-history", 6),
        ("asset/withdrawal", 6),
        ("asset/withdrawal-history", 6),
        ("asset/transfer", 2),
        ("asset/transfer-state", 10),
    ],
)
def test_limits_of_the_funding_account_are_those_of_okx(path: str, per_sec: int) -> None:
    """OKX counts these by the second."""
    (found,) = (endpoint for endpoint in ALL if endpoint.path == f"/api/v5/{path}")
    assert (found.allowance.requests, found.allowance.window_secs) == (per_sec, 1.0)


def test_the_limit_of_maintenance_is_that_of_okx() -> None:
    """One request in 5 s: a second look waits for that, and gets through within the client's timeout."""
    allowance = endpoints.SYSTEM_STATUS.allowance
    assert (allowance.requests, allowance.window_secs) == (1, 5.0)


@pytest.mark.parametrize("endpoint", ALL, ids=str)
def test_no_request_waits_longer_for_the_one_before_it_than_a_timeout(endpoint: Endpoint) -> None:
    """The operator's commands wait 8 s: our own limit alone must never use that up."""
    pace = pace_of(endpoint.allowance)
    assert pace.refill_secs / pace.burst < 8.0


def test_a_batch_of_one_counts_as_a_single_order() -> None:
    """300 orders in two seconds are for batches; one alone takes from the 60 of single ones."""
    assert endpoints.BATCH_ORDERS.allowance.requests == 300
    assert endpoints.BATCH_OF_ONE.allowance == endpoints.PLACE_ORDER.allowance


def test_every_allowance_has_one_rule() -> None:
    """Two rules under one name would share a door and wait by the first one's."""
    by_name: dict[str, set[object]] = {}
    for endpoint in ALL:
        by_name.setdefault(endpoint.allowance.name, set()).add(endpoint.allowance)
    assert all(len(rules) == 1 for rules in by_name.values())
    assert all(endpoint.allowance.requests >= 1 for endpoint in ALL)


def test_limits_of_orders_count_by_instrument() -> None:
    """OKX counts trade requests per user and instrument, and two public ones likewise."""
    assert {str(found) for found in ALL if found.allowance.per_instrument} == {
        "POST /api/v5/trade/order",
        "GET /api/v5/trade/order",
        "POST /api/v5/trade/cancel-order",
        "POST /api/v5/trade/batch-orders",
        "POST /api/v5/trade/close-position",
        "GET /api/v5/public/mark-price",
        "GET /api/v5/public/funding-rate",
    }
