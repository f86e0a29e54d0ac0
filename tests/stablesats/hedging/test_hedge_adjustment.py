"""The hedge decision: rows, thresholds and properties."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.errors import ConfigurationError
from stablesats.hedging.hedge_adjustment import (
    CONTRACT_CENTS,
    Buy,
    ClosePosition,
    DoNothing,
    HedgeBounds,
    HedgeDecision,
    NegativeLiabilityError,
    Sell,
    decide_hedge,
)

DEFAULT = HedgeBounds()
D = Decimal


def decide(
    liability_cents: int, exposure_cents: int | Decimal, bounds: HedgeBounds = DEFAULT
) -> HedgeDecision:
    return decide_hedge(liability_cents=liability_cents, signed_exposure_cents=exposure_cents, bounds=bounds)


@pytest.mark.parametrize(
    ("liability_cents", "exposure_cents", "expected"),
    [
        (10_000, -10_000, DoNothing()),
        (0, -10_000, ClosePosition()),
        (20_000, -10_000, Sell(1)),
        (100_000, -599_800, Buy(50)),
        (1_000_000, -950_000, DoNothing()),
        (1_000_000, D("-949999.05"), Sell(3)),
        (4_900, -19_998, ClosePosition()),
    ],
)
def test_vectors_of_the_original(
    liability_cents: int, exposure_cents: int | Decimal, expected: HedgeDecision
) -> None:
    """The published cases of stablesats-rs give the published answers."""
    assert decide(liability_cents, exposure_cents) == expected


@pytest.mark.parametrize(
    ("liability_cents", "exposure_cents", "expected"),
    [
        (4_999, 0, DoNothing()),  # row 1
        (4_999, -1, ClosePosition()),  # row 2
        (4_999, 10_000, ClosePosition()),  # row 2, a long is closed too
        (5_000, -5_000, DoNothing()),  # the minimum itself is hedged: ratio 1
        (5_000, -10_000, DoNothing()),  # ratio 2, but (10,000 - 5,000) / 10,000 = 0.5 rounds to 0
        (5_000, -20_000, Buy(2)),  # (20,000 - 5,000) / 10,000 = 1.5 rounds to 2
        (0, 0, DoNothing()),
    ],
)
def test_around_the_minimum_liability(
    liability_cents: int, exposure_cents: int, expected: HedgeDecision
) -> None:
    """Below the minimum every position is closed; at the minimum the ratio counts."""
    assert decide(liability_cents, exposure_cents) == expected


@pytest.mark.parametrize(
    ("exposure_cents", "expected"),
    [
        (-9_499_999, Sell(30)),  # below 0.95: (9,800,000 - 9,499,999) / 10,000 = 30.0001
        (-9_500_000, DoNothing()),  # at 0.95
        (-9_500_001, DoNothing()),  # above 0.95
        (-10_299_999, DoNothing()),  # below 1.03
        (-10_300_000, DoNothing()),  # at 1.03
        (-10_300_001, Buy(30)),  # above 1.03: (10,300,001 - 10,000,000) / 10,000 = 30.0001
    ],
)
def test_around_the_bounds_of_a_liability_of_100_000_usd(
    exposure_cents: int, expected: HedgeDecision
) -> None:
    """A ratio equal to a bound does nothing; a cent beyond it goes back to the safe bound."""
    assert decide(10_000_000, exposure_cents) == expected


@pytest.mark.parametrize(
    ("liability_cents", "expected"),
    [
        (5_102, DoNothing()),  # 5,102 x 0.98 = 4,999.96: 0.499996 of a contract
        (5_103, Sell(1)),  # 5,000.94: 0.500094
        (15_306, Sell(1)),  # 14,999.88
        (15_307, Sell(2)),  # 15,000.86
    ],
)
def test_first_contract_opens_above_half_a_contract(liability_cents: int, expected: HedgeDecision) -> None:
    """With no position, a hedge opens as soon as the safe target rounds to a contract."""
    assert decide(liability_cents, 0) == expected


@pytest.mark.parametrize(("missing_cents", "contracts"), [(5_000, 0), (15_000, 2), (25_000, 2), (35_000, 4)])
def test_half_a_contract_rounds_to_even(missing_cents: int, contracts: int) -> None:
    """Ties go to the even number of contracts."""
    bounds = HedgeBounds(low_bound_ratio=D(1), low_safebound_ratio=D(1), high_bound_ratio=D(1))
    expected = Sell(contracts) if contracts else DoNothing()
    assert decide(100_000, -100_000 + missing_cents, bounds) == expected


def test_a_long_position_is_sold_on_top_of_the_hedge() -> None:
    """Long 10,000 with 20,000 owed: (19,600 + 10,000) / 10,000 = 2.96 gives three contracts."""
    assert decide(20_000, 10_000) == Sell(3)


def test_a_minimum_of_zero_with_nothing_owed_closes_instead_of_dividing_by_zero() -> None:
    """The original panics here."""
    bounds = HedgeBounds(minimum_liability_cents=0)
    assert decide(0, -10_000, bounds) == ClosePosition()
    assert decide(0, 0, bounds) == DoNothing()


def test_a_negative_liability_is_refused() -> None:
    """Damaged books must not move money."""
    with pytest.raises(NegativeLiabilityError, match="liability is -1 cents"):
        decide(-1, 0)


@pytest.mark.parametrize(
    "bounds",
    [
        {"low_bound_ratio": D("0.99")},
        {"low_safebound_ratio": D("1.01")},
        {"high_bound_ratio": D("0.99")},
        {"low_bound_ratio": D(0)},
        {"high_bound_ratio": D("NaN")},
        {"high_bound_ratio": D("Infinity")},
        {"minimum_liability_cents": -1},
    ],
)
def test_bounds_out_of_order_are_refused(bounds: dict[str, Decimal | int]) -> None:
    """Bounds that cross would make the engine trade back and forth."""
    with pytest.raises(ConfigurationError):
        HedgeBounds(**bounds)  # type: ignore[arg-type]


@st.composite
def ordered_bounds(draw: st.DrawFn) -> HedgeBounds:
    ratios = sorted(
        draw(st.lists(st.decimals(D("0.01"), D("3"), places=3), min_size=4, max_size=4)),
    )
    return HedgeBounds(
        low_bound_ratio=ratios[0],
        low_safebound_ratio=ratios[1],
        high_safebound_ratio=ratios[2],
        high_bound_ratio=ratios[3],
        minimum_liability_cents=draw(st.integers(0, 1_000_000)),
    )


def after(exposure_cents: int, decision: HedgeDecision) -> int:
    match decision:
        case DoNothing():
            return exposure_cents
        case ClosePosition():
            return 0
        case Sell(contracts):
            return exposure_cents - contracts * CONTRACT_CENTS
        case Buy(contracts):
            return exposure_cents + contracts * CONTRACT_CENTS


@given(
    liability_cents=st.integers(0, 10**12),
    exposure_cents=st.integers(-(10**12), 10**12),
    bounds=ordered_bounds(),
)
def test_after_the_decided_order_there_is_nothing_left_to_do(
    liability_cents: int, exposure_cents: int, bounds: HedgeBounds
) -> None:
    """One order is enough: deciding again on its result says do nothing."""
    decision = decide(liability_cents, exposure_cents, bounds)
    assert decide(liability_cents, after(exposure_cents, decision), bounds) == DoNothing()


@given(liability_cents=st.integers(5_000, 10**12), exposure_cents=st.integers(-(10**12), 10**12))
def test_an_order_lands_within_half_a_contract_of_its_safe_bound(
    liability_cents: int, exposure_cents: int
) -> None:
    """Sells aim at 0.98 of the liability and buys at 1.00, no further off than rounding needs."""
    decision = decide(liability_cents, exposure_cents)
    short = -after(exposure_cents, decision)
    match decision:
        case Sell(contracts):
            assert contracts > 0
            assert abs(short - liability_cents * D("0.98")) <= CONTRACT_CENTS // 2
        case Buy(contracts):
            assert contracts > 0
            assert abs(short - liability_cents) <= CONTRACT_CENTS // 2
        case DoNothing() | ClosePosition():
            assert short in {-exposure_cents, 0}
