"""What a balance is, and the seam where an engine that computes balances plugs in."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from medici_py.driver import aggregate
from medici_py.money import exact_sum
from medici_py.query import LegQuery
from medici_py.store import ReadOptions, Store
from medici_py.sums import Sums, SumTooLargeError, fold_rows, leg_sums, sum_stages


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance of some accounts.

    Attributes:
        balance: Credits minus debits, exact: liabilities are positive, assets negative.
        notes: Number of legs behind it.
    """

    balance: Decimal
    notes: int

    @classmethod
    def of(cls, sums: Sums) -> "Balance":
        """Return the balance of a turnover."""
        return cls(exact_sum((sums.credit, sums.debit.copy_negate())), sums.notes)


class BalanceEngine(Protocol):
    """Answers what the legs of a question add up to.

    Whatever an engine keeps or caches, its answer equals the sum over the legs visible at that moment.
    """

    async def turnover(self, query: LegQuery, options: ReadOptions) -> Sums:
        """Return the sums over the legs that *query* matches."""


class EntrySums:
    """The engine that keeps nothing: one aggregation over the legs, always right."""

    def __init__(self, store: Store, *, precision: int) -> None:
        self._store = store
        self._precision = precision

    async def turnover(self, query: LegQuery, options: ReadOptions) -> Sums:
        """Return the sums over the legs that *query* matches, read in one snapshot."""
        if not self._store.capabilities.exact_sums:
            return await self._fold(query, options)
        stages = [
            {"$match": query.to_filter()},
            *sum_stages(precision=self._precision),
        ]
        legs = self._store.transactions_for(options)
        cursor = await aggregate(legs, stages, session=options.session, allowDiskUse=True)
        try:
            totals = fold_rows([row async for row in cursor], precision=self._precision)
        except SumTooLargeError:
            return await self._fold(query, options)
        return totals.get((), Sums())

    async def _fold(self, query: LegQuery, options: ReadOptions) -> Sums:
        legs = self._store.transactions_for(options)
        cursor = legs.find(query.to_filter(), {"credit": 1, "debit": 1}, session=options.session)
        total = Sums()
        async for leg in cursor:
            total += leg_sums(leg)
        return total
