"""The hedge decision: how many swap contracts bring the short back inside its bounds. Pure.

The short is compared with the dollars owed as a ratio. Below the low bound more is sold, above the high
bound some is bought back, each time as far as the safe bound on that side; between the bounds nothing
happens, so that small movements cost no fees. All arithmetic is exact (fractions); only the number of
contracts is rounded, half to even.

Source: stablesats-rs, ``hedging/src/okex/hedge_adjustment.rs``.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from stablesats.errors import ConfigurationError, StablesatsError

CONTRACT_CENTS: Final = 10_000
"""One BTC-USD-SWAP contract is 100 USD."""


class NegativeLiabilityError(StablesatsError, ValueError):
    """Users cannot owe the dealer dollars: a negative liability means that the books are damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeBounds:
    """When to act and how far.

    Attributes:
        low_bound_ratio: Sell when short over liability is below this.
        low_safebound_ratio: Sell up to this ratio.
        high_safebound_ratio: Buy down to this ratio.
        high_bound_ratio: Buy when short over liability is above this.
        minimum_liability_cents: Below this liability nothing is hedged and any position is closed.

    Raises:
        ConfigurationError: If the ratios are not in the order
            0 < low bound <= low safe bound <= high safe bound <= high bound, or the minimum is negative.
    """

    low_bound_ratio: Decimal = Decimal("0.95")
    low_safebound_ratio: Decimal = Decimal("0.98")
    high_safebound_ratio: Decimal = Decimal("1.00")
    high_bound_ratio: Decimal = Decimal("1.03")
    minimum_liability_cents: int = 5_000

    def __post_init__(self) -> None:
        ratios = (
            self.low_bound_ratio,
            self.low_safebound_ratio,
            self.high_safebound_ratio,
            self.high_bound_ratio,
        )
        if not all(ratio.is_finite() for ratio in ratios) or list(ratios) != sorted(ratios) or ratios[0] <= 0:
            given = " <= ".join(str(ratio) for ratio in ratios)
            msg = (
                "hedge bounds must be finite, above zero and in order (low, low safe, high safe, high),"
                f" got {given}"
            )
            raise ConfigurationError(msg)
        if self.minimum_liability_cents < 0:
            msg = f"minimum_liability_cents must not be negative, got {self.minimum_liability_cents}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class DoNothing:
    """The short is inside its bounds, or less than half a contract outside."""


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Too little is owed to be worth a hedge: close whatever is open, long or short."""


@dataclass(frozen=True, slots=True)
class Sell:
    """Go shorter by this many contracts (at least one)."""

    contracts: int


@dataclass(frozen=True, slots=True)
class Buy:
    """Buy back this many contracts (at least one)."""

    contracts: int


HedgeDecision = DoNothing | ClosePosition | Sell | Buy


def decide_hedge(
    *, liability_cents: int, signed_exposure_cents: int | Decimal, bounds: HedgeBounds
) -> HedgeDecision:
    """Decide how many swap contracts bring the short back inside *bounds*.

    Args:
        liability_cents: Dollars to be hedged, in cents; zero or more.
        signed_exposure_cents: Dollar value of the position, in cents; negative when short.
        bounds: The ratios of short to liability at which we act and to which we return.

    Returns:
        `Sell` or `Buy` with a whole number of contracts, `ClosePosition`, or `DoNothing`.
        Owing 20,000 cents while short 10,000 gives ``Sell(1)``: the ratio is 0.5, and
        (20,000 x 0.98 - 10,000) / 10,000 = 0.96 rounds to one contract.

    Raises:
        NegativeLiabilityError: If *liability_cents* is below zero.

    Source: stablesats-rs, ``hedging/src/okex/hedge_adjustment.rs``, ``determine_action``. Unlike
    there, a liability of zero with a minimum of zero closes the position instead of dividing by zero.
    """
    if liability_cents < 0:
        msg = f"liability is {liability_cents} cents; it must not be negative, check the books before hedging"
        raise NegativeLiabilityError(msg)
    exposure = Fraction(signed_exposure_cents)
    if liability_cents < bounds.minimum_liability_cents or liability_cents == 0:
        return DoNothing() if exposure == 0 else ClosePosition()
    short = -exposure
    if short < liability_cents * Fraction(bounds.low_bound_ratio):
        # A long position (short < 0) is sold off on top of what the hedge needs.
        return _sell(liability_cents * Fraction(bounds.low_safebound_ratio) - short)
    if short > liability_cents * Fraction(bounds.high_bound_ratio):
        return _buy(short - liability_cents * Fraction(bounds.high_safebound_ratio))
    return DoNothing()


def _sell(missing_cents: Fraction) -> HedgeDecision:
    contracts = _round_contracts(missing_cents)
    return Sell(contracts) if contracts > 0 else DoNothing()


def _buy(excess_cents: Fraction) -> HedgeDecision:
    contracts = _round_contracts(excess_cents)
    return Buy(contracts) if contracts > 0 else DoNothing()


def _round_contracts(cents: Fraction) -> int:
    """Whole contracts nearest to *cents*, half to even: ``round`` on a fraction is exactly that."""
    return round(cents / CONTRACT_CENTS)
