"""The decision what to allocate: everything that is unallocated, with its sign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.ledger import AllocationAdjustment, LiabilityBalances, allocation_for


def liability(*, unallocated: int, okex: int = 0, bitfinex: int = 0) -> LiabilityBalances:
    return LiabilityBalances(
        unallocated_cents=unallocated,
        okex_allocation_cents=okex,
        bitfinex_allocation_cents=bitfinex,
        total_cents=unallocated + okex + bitfinex,
    )


@pytest.mark.parametrize(
    ("unallocated", "okex", "change"),
    [
        (500, 0, 500),  # a user bought 5 USD
        (-200, 500, -200),  # a user sold 2 USD
        (1, 0, 1),
        (-500, 500, -500),  # the last dollar was sold
        (-700, 500, -700),  # more sold than was ever bought: an alarm, but allocated as the books say it
    ],
)
def test_what_is_unallocated_goes_to_okx(unallocated: int, okex: int, change: int) -> None:
    """All of it, up or down; nothing to the second exchange."""
    decided = allocation_for(liability(unallocated=unallocated, okex=okex))
    assert decided == AllocationAdjustment(okex_cents=change, bitfinex_cents=0)


def test_nothing_unallocated_is_nothing_to_do() -> None:
    """Whatever has been allocated before."""
    assert allocation_for(liability(unallocated=0, okex=500, bitfinex=200)) is None


@given(unallocated=st.integers(), okex=st.integers(), bitfinex=st.integers())
def test_after_the_adjustment_there_is_nothing_more_to_do(unallocated: int, okex: int, bitfinex: int) -> None:
    """One look is enough, and what users are owed in total stays what it was."""
    before = liability(unallocated=unallocated, okex=okex, bitfinex=bitfinex)
    adjustment = allocation_for(before)
    after = before if adjustment is None else adjustment.applied_to(before)
    assert allocation_for(after) is None
    assert after == liability(unallocated=0, okex=before.total_cents - bitfinex, bitfinex=bitfinex)


@pytest.mark.parametrize(
    ("adjustment", "left"),
    [
        (AllocationAdjustment(okex_cents=300), (200, 800, 0)),
        (AllocationAdjustment(okex_cents=-100), (600, 400, 0)),
        (AllocationAdjustment(okex_cents=100, bitfinex_cents=400), (0, 600, 400)),
        (AllocationAdjustment(okex_cents=-500, bitfinex_cents=500), (500, 0, 500)),
    ],
)
def test_adjustment_moves_between_what_is_unallocated_and_the_exchanges(
    adjustment: AllocationAdjustment, left: tuple[int, int, int]
) -> None:
    """From 500 unallocated and 500 at OKX."""
    after = adjustment.applied_to(liability(unallocated=500, okex=500))
    assert (after.unallocated_cents, after.okex_allocation_cents, after.bitfinex_allocation_cents) == left
    assert after.total_cents == 1_000
