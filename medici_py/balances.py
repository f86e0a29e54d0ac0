"""What a balance is, and the seam where an engine that computes balances plugs in."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, cast

from medici_py.accounts import Path, covers, join
from medici_py.driver import Document, aggregate
from medici_py.money import exact_sum
from medici_py.query import LegQuery
from medici_py.store import ReadOptions, Store
from medici_py.sums import Sums, SumTooLargeError, fold_rows, leg_sums, sum_stages
from medici_py.turnover_table import TurnoverTable


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

    async def by_account(self, query: LegQuery, options: ReadOptions) -> dict[str, Balance]:
        """Return the balance of every account on and below *query*'s paths that has a matching leg."""


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

    async def by_account(self, query: LegQuery, options: ReadOptions) -> dict[str, Balance]:
        """Return the balance of every account that a matching leg is on or below, in one query."""
        table = TurnoverTable(())
        try:
            for path, sums in await self._by_path(query, options):
                table.add(path, (), sums)
        except SumTooLargeError:
            table = TurnoverTable(())
            async for leg in self._legs(query, options):
                table.add(tuple(leg["account_path"]), (), leg_sums(leg))
        asked = query.paths or ((),)
        paths = {path[:depth] for path, _, _ in table for depth in range(1, len(path) + 1)}
        return {
            join(path): Balance.of(table.sums(path, {}))
            for path in sorted(paths)
            if any(covers(above, path) for above in asked)
        }

    async def _by_path(self, query: LegQuery, options: ReadOptions) -> list[tuple[Path, Sums]]:
        if not self._store.capabilities.exact_sums:
            raise SumTooLargeError("this database adds no decimals")
        stages = [
            {"$match": query.to_filter()},
            *sum_stages({"path": "$account_path"}, precision=self._precision),
        ]
        legs = self._store.transactions_for(options)
        cursor = await aggregate(legs, stages, session=options.session, allowDiskUse=True)
        rows = [_with_path(row) async for row in cursor]
        totals = fold_rows(rows, names=("path",), precision=self._precision)
        return [(cast("Path", path), sums) for (path,), sums in totals.items()]

    async def _legs(self, query: LegQuery, options: ReadOptions) -> AsyncIterator[Document]:
        legs = self._store.transactions_for(options)
        fields = {"credit": 1, "debit": 1, "account_path": 1}
        async for leg in legs.find(query.to_filter(), fields, session=options.session):
            yield leg

    async def _fold(self, query: LegQuery, options: ReadOptions) -> Sums:
        total = Sums()
        async for leg in self._legs(query, options):
            total += leg_sums(leg)
        return total


def _with_path(row: Document) -> Document:
    """Return a row of the aggregation whose group, an array, can be a key."""
    return {**row, "_id": {**row["_id"], "by": {"path": tuple(row["_id"]["by"]["path"])}}}
