"""The balances of the accounts that were touched while a subscription could not see it."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from medici_py.accounts import covers, join
from medici_py.balance_events import BalanceTable, LegMove, balance_rows
from medici_py.change_events import BalanceChanged, ChangePosition
from medici_py.change_filter import ChangeFilter
from medici_py.driver import aggregate
from medici_py.durable_position import JournalKey, Recovery
from medici_py.money import ZERO
from medici_py.store import Store
from medici_py.turnover_snapshot import BookShape, path_of, read_turnover


async def missed_balances(
    store: Store, wanted: ChangeFilter, recovery: Recovery, *, last: JournalKey
) -> AsyncGenerator[BalanceChanged]:
    """Yield the balance of each account that a recovery has touched, and of each one above it.

    They are of now: journals that the stream brings next may be in them already, and then bring the balances
    that they left. After those every account is as it is.

    Args:
        store: The database.
        wanted: Which accounts.
        recovery: Since when accounts were touched.
        last: The last journal of the recovery, which stands for all that it brought.

    Raises:
        SnapshotReadError: If the balances cannot be read.
        UnreadableDocumentError: If a stored amount is no number.
    """
    for shape in wanted.shapes:
        moves = await _touched(store, shape, recovery)
        snapshot = await read_turnover(store.database, [shape])
        for row in balance_rows(BalanceTable.of(snapshot.tables[shape.name]), moves):
            if wanted.paths is None or any(covers(path, row.path) for path in wanted.paths):
                yield BalanceChanged(
                    book=shape.name,
                    account=join(row.path),
                    dimensions=dict(zip(shape.dimensions, row.values, strict=True)),
                    balance=row.balance,
                    notes=row.notes,
                    journal_id=last.journal_id,
                    position=ChangePosition(None, recovery.until),
                    committed_at=last.recorded_at,
                )


async def _touched(store: Store, shape: BookShape, recovery: Recovery) -> list[LegMove]:
    """Return a move of nothing for each account and dimension values that have a leg in the recovery."""
    names = {f"dimension{number}": field for number, field in enumerate(shape.fields)}
    by = {"account_path": "$account_path"} | {name: f"${'.'.join(field)}" for name, field in names.items()}
    matches: dict[str, Any] = {"book": shape.name}
    if recovery.since is not None:
        matches["timestamp"] = {"$gte": recovery.since}
    groups = await aggregate(
        store.latest_transactions, [{"$match": matches}, {"$group": {"_id": by}}], allowDiskUse=True
    )
    found = [group["_id"] async for group in groups]
    return [LegMove(path_of(one), shape.values_of(_as_leg(one, names)), ZERO) for one in found]


def _as_leg(group: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    leg: dict[str, Any] = {}
    for name, field in names.items():
        inside = leg
        for part in field[:-1]:
            inside = inside.setdefault(part, {})
        inside[field[-1]] = group.get(name)
    return leg
