"""How much of the liability each exchange is told to hedge: the decision, without the doing. Pure."""

from dataclasses import dataclass, replace

from stablesats.ledger.balances import LiabilityBalances


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationAdjustment:
    """What each exchange has to hedge more; below zero for less.

    Attributes:
        okex_cents: The change for OKX.
        bitfinex_cents: The change for the second exchange.
    """

    okex_cents: int
    bitfinex_cents: int = 0

    def applied_to(self, balances: LiabilityBalances) -> LiabilityBalances:
        """What *balances* are once this has been posted."""
        return replace(
            balances,
            unallocated_cents=balances.unallocated_cents - self.okex_cents - self.bitfinex_cents,
            okex_allocation_cents=balances.okex_allocation_cents + self.okex_cents,
            bitfinex_allocation_cents=balances.bitfinex_allocation_cents + self.bitfinex_cents,
        )


def allocation_for(balances: LiabilityBalances) -> AllocationAdjustment | None:
    """Decide what to allocate: whatever is unallocated goes to OKX, with its sign.

    After a purchase of 5 USD and a sale of 2 USD, OKX gets 300 cents more. A figure that raises an alarm is
    allocated as it is: the allocation then says what the books say, and the hedge refuses what cannot be.

    Returns:
        The change, or None when nothing is unallocated.

    Source: stablesats-rs, the allocation listener of ``hedging``.
    """
    if balances.unallocated_cents == 0:
        return None
    return AllocationAdjustment(okex_cents=balances.unallocated_cents)
