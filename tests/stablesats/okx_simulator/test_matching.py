"""What each kind of order takes on arrival, and what becomes of the rest."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stablesats.okx_simulator import Book, Level
from stablesats.okx_simulator.book import PriceLimits
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.matching import Rest, capped, match_on_arrival
from stablesats.okx_simulator.orders import CancelSource, OrderKind, OrderTicket

D = Decimal
BOOK = Book(
    asks=(Level(D(100), D(10)), Level(D(101), D(10)), Level(D(110), D(10))), bids=(Level(D(99), D(10)),)
)
LIMITS = PriceLimits(max_buy_usd=D(105), min_sell_usd=D(95))


def buy(kind: OrderKind, contracts: int, price: int | None) -> OrderTicket:
    return OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=Side.BUY,
        contracts=D(contracts),
        client_order_id="",
        tag="",
        reduce_only=False,
        kind=kind,
        price_usd=None if price is None else D(price),
    )


@pytest.mark.parametrize(
    ("kind", "contracts", "price", "taken", "rest"),
    [
        (OrderKind.MARKET, 15, None, [10, 5], Rest.IS_CANCELED),
        (OrderKind.MARKET, 40, None, [10, 10], Rest.IS_CANCELED),  # 110 is out of the band
        (OrderKind.OPTIMAL_LIMIT_IOC, 40, None, [10, 10], Rest.IS_CANCELED),
        (OrderKind.LIMIT, 15, 100, [10], Rest.STAYS),
        (OrderKind.LIMIT, 15, 99, [], Rest.STAYS),
        (OrderKind.LIMIT, 15, 101, [10, 5], Rest.STAYS),
        (OrderKind.POST_ONLY, 15, 99, [], Rest.STAYS),
        (OrderKind.POST_ONLY, 15, 100, [], Rest.IS_CANCELED),
        (OrderKind.IMMEDIATE_OR_CANCEL, 15, 100, [10], Rest.IS_CANCELED),
        (OrderKind.FILL_OR_KILL, 20, 101, [10, 10], Rest.IS_CANCELED),
        (OrderKind.FILL_OR_KILL, 21, 101, [], Rest.IS_CANCELED),
    ],
)
def test_each_kind_takes_what_it_may_and_keeps_or_cancels_the_rest(
    kind: OrderKind, contracts: int, price: int | None, taken: list[int], rest: Rest
) -> None:
    """Ten each at 100, 101 and 110; the band ends at 105."""
    match = match_on_arrival(buy(kind, contracts, price), D(contracts), BOOK, LIMITS)
    assert ([level.contracts for level in match.taken], match.rest) == (taken, rest)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (OrderKind.MARKET, CancelSource.SYSTEM),
        (OrderKind.IMMEDIATE_OR_CANCEL, CancelSource.IMMEDIATE_OR_CANCEL),
        (OrderKind.FILL_OR_KILL, CancelSource.FILL_OR_KILL),
        (OrderKind.POST_ONLY, CancelSource.POST_ONLY),
    ],
)
def test_reason_of_the_end_is_the_kind(kind: OrderKind, source: CancelSource) -> None:
    """OKX's numbers for each."""
    ticket = buy(kind, 99, 101 if kind.names_a_price else None)
    assert match_on_arrival(ticket, D(99), BOOK, LIMITS).cancel_source is source


@pytest.mark.parametrize(("cap", "taken"), [(0, []), (4, [4]), (10, [10]), (13, [10, 3]), (99, [10, 5])])
def test_capped_match_takes_no_more_than_the_cap(cap: int, taken: list[int]) -> None:
    """As if the book had ended there; the rest is cancelled."""
    match = capped(match_on_arrival(buy(OrderKind.LIMIT, 15, 101), D(15), BOOK, LIMITS), D(cap))
    assert ([level.contracts for level in match.taken], match.rest) == (taken, Rest.IS_CANCELED)
