"""The engine that reads running balances, and leaves every other question to the entries."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Protocol

from pymongo.read_preferences import ReadPreference

from medici_py.accounts import Path, join
from medici_py.balances import Balance, EntrySums
from medici_py.book_state import BookState
from medici_py.driver import Document
from medici_py.instants import utc_now
from medici_py.query import LegQuery
from medici_py.running_rows import ROOT, matching, rows_below, rows_of
from medici_py.store import ReadOptions, Store
from medici_py.sums import Sums

StateOf = Callable[[str], Awaitable[BookState]]
"""How a book is kept."""


class TurnoverInTime(Protocol):
    """Answers questions about the past from roll-ups; None where they do not help."""

    async def turnover(self, query: LegQuery, state: BookState, options: ReadOptions) -> Sums | None:
        """Return the sums over the legs that *query* matches."""


class RunningBalances:
    """Reads the rows that every posting adds to: the answer that the entries give, at the cost of few rows.

    They know accounts and dimension values. Bounds in time go to the roll-ups; anything else, and a book
    whose balances are not running, to the sums over its entries.

    Args:
        store: The database.
        state_of: How a book is kept.
        entries: Sums over the entries.
        history: Answers from roll-ups.
    """

    def __init__(
        self, store: Store, state_of: StateOf, *, entries: EntrySums, history: TurnoverInTime
    ) -> None:
        self._store = store
        self._state_of = state_of
        self._entries = entries
        self._history = history

    async def turnover(self, query: LegQuery, options: ReadOptions) -> Sums:
        """Return the sums over the legs that *query* matches, read in one snapshot."""
        state = await self._state_of(query.book)
        if not self._may_rely_on_rows(state, options):
            return await self._entries.turnover(query, options)
        wanted = wanted_dimensions(query, state.fields)
        if wanted is None:
            return await self._entries.turnover(query, options)
        if query.is_bounded:
            answer = await self._history.turnover(query, state, options)
            return answer if answer is not None else await self._entries.turnover(query, options)
        ranges = [rows_of(query.book, path) for path in query.paths or (ROOT,)]
        return matching(await self._find(ranges, options), wanted)

    async def by_account(self, query: LegQuery, options: ReadOptions) -> dict[str, Balance]:
        """Return the balance of every account on and below *query*'s paths that has a matching leg."""
        state = await self._state_of(query.book)
        wanted = wanted_dimensions(query, state.fields)
        if not self._may_rely_on_rows(state, options) or wanted is None or query.is_bounded:
            return await self._entries.by_account(query, options)
        ranges = [rows_below(query.book, path) for path in query.paths or (ROOT,)]
        rows = await self._find(ranges, options)
        found = balances_by_account(rows, wanted)
        return {account: balance for account, balance in found.items() if balance.notes}

    def _may_rely_on_rows(self, state: BookState, options: ReadOptions) -> bool:
        """Whether the rows answer: they are kept, and were complete before the moment that is read."""
        if not state.running_balances:
            return False
        preference = options.read_preference or self._store.database.read_preference
        latest = options.session is None and preference == ReadPreference.PRIMARY
        return latest or utc_now() >= state.usable_from

    async def _find(self, ranges: list[Document], options: ReadOptions) -> list[Document]:
        wanted = ranges[0] if len(ranges) == 1 else {"$or": ranges}
        found = self._store.rows_for(options).find(wanted, session=options.session)
        return [row async for row in found]


def wanted_dimensions(query: LegQuery, fields: tuple[str, ...]) -> Mapping[int, Hashable] | None:
    """Return the dimension values that *query* asks for, by place; None if it asks for something else."""
    wanted: dict[int, Hashable] = {}
    for name, condition in query.conditions.items():
        value = _equal_text(condition)
        if value is None or name not in fields:
            return None
        wanted[fields.index(name)] = value
    return wanted


def _equal_text(condition: Any) -> str | None:
    match condition:
        case str():
            return condition
        case {"$eq": str() as value} if len(condition) == 1:
            return value
        case _:
            return None


def balances_by_account(rows: list[Document], wanted: Mapping[int, Hashable]) -> dict[str, Balance]:
    """Return the balance of each account in *rows*."""
    by_path: dict[Path, list[Document]] = {}
    for row in rows:
        by_path.setdefault(tuple(row["_id"]["path"]), []).append(row)
    return {
        join(path): Balance.of(matching(found, wanted)) for path, found in sorted(by_path.items()) if path
    }
