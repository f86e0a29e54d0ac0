"""An entry made ready to be posted: what it moves, what it demands, what it writes. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from bson import ObjectId

from medici_py.accounts import Path, covers, join
from medici_py.book_state import BookState
from medici_py.entry import Entry, Leg
from medici_py.entry_key import EntryKey, LegContent, content_digest
from medici_py.errors import TransactionError
from medici_py.running_rows import RowKey, Turnover, dimension_values, with_rows_above
from medici_py.turnover_table import DimensionValues


class Move(NamedTuple):
    """What one leg moves.

    Attributes:
        path: Its account.
        dims: Its values where the book's rows are told apart.
        own_dims: Its values of the dimensions that the poster's `Book` was given.
        debit: Amount.
        credit: Amount.
    """

    path: Path
    dims: DimensionValues
    own_dims: DimensionValues
    debit: Decimal
    credit: Decimal


@dataclass(frozen=True, slots=True)
class Guard:
    """A bound that the balance of an account must keep after the entry.

    Attributes:
        path: The account, with everything below it.
        dims: The values of the dimensions of the poster's `Book` in which it is looked at.
        minimum: Lowest balance, credit minus debit; None for no bound.
        maximum: Highest balance.
    """

    path: Path
    dims: DimensionValues
    minimum: Decimal | None
    maximum: Decimal | None

    @property
    def account(self) -> str:
        """The account as text."""
        return join(self.path)

    def change(self, moves: Sequence[Move]) -> Decimal:
        """Return what *moves* change about the balance; under an exact decimal context."""
        return sum(
            (
                move.credit - move.debit
                for move in moves
                if move.own_dims == self.dims and covers(self.path, move.path)
            ),
            Decimal(0),
        )


class Plan(NamedTuple):
    """One entry, ready to be posted.

    Attributes:
        entry: What the caller built.
        fields: Where legs store what the book's rows are told apart by.
        guards: Bounds it must keep.
        key: Its idempotency key.
        locks: Accounts to write-lock.
        keeps_rows: Whether the book has running balances.
        guards_by_rows: Whether those can answer its guards: the dimensions are the same.
        begins: How its book is kept, if that is only assumed: it is stored with the first entry that stands.
        recorded_from: Its recorded time is no earlier; None for no bound.
        clock: Where its recorded time comes from.
    """

    entry: Entry
    fields: tuple[str, ...]
    guards: tuple[Guard, ...]
    key: EntryKey | None
    locks: tuple[str, ...]
    keeps_rows: bool
    guards_by_rows: bool
    begins: BookState | None
    recorded_from: datetime | None
    clock: Callable[[], datetime]

    @property
    def book(self) -> str:
        """Name of the book."""
        return self.entry.rules.book

    @property
    def journal_id(self) -> ObjectId:
        """The id of the journal that it becomes."""
        return self.entry.id

    @property
    def moves(self) -> tuple[Move, ...]:
        """What its legs move."""
        own_fields = self.entry.rules.dimension_fields
        return tuple(
            Move(leg.path, _values(leg, self.fields), _values(leg, own_fields), leg.debit, leg.credit)
            for leg in self.entry.legs
        )


def plan_entry(
    entry: Entry, state: BookState, *, locks: Sequence[str], clock: Callable[[], datetime]
) -> Plan:
    """Make *entry*, which balances, ready to be posted.

    Args:
        entry: The entry.
        state: How its book is kept.
        locks: Accounts to write-lock.
        clock: Where the recorded time comes from.

    Raises:
        TransactionError: If it has bounds, and the `Book` other dimensions than the book is kept by.
    """
    fields, own_fields = state.fields, entry.rules.dimension_fields
    bounded = [leg for leg in entry.legs if leg.min_balance is not None or leg.max_balance is not None]
    if bounded and fields != own_fields:
        raise TransactionError(
            f"Entry {entry.memo!r} refused: book {state.book!r} is kept by the dimensions {list(fields)}, in "
            f"which a bound is looked at, and this Book has {list(own_fields)}. Open it with the same ones."
        )
    guards = [Guard(leg.path, _values(leg, own_fields), leg.min_balance, leg.max_balance) for leg in bounded]
    return Plan(
        entry=entry,
        fields=fields,
        guards=tuple(guards),
        key=None if entry.key is None else _key(entry, entry.key),
        locks=tuple(locks),
        keeps_rows=state.running_balances,
        guards_by_rows=state.running_balances and fields == own_fields,
        begins=state if state.is_assumed else None,
        recorded_from=state.recorded_from,
        clock=clock,
    )


def _values(leg: Leg, fields: Sequence[str]) -> DimensionValues:
    return dimension_values({**leg.fields, "meta": leg.meta}, fields) if fields else ()


def _key(entry: Entry, text: str) -> EntryKey:
    digest = content_digest(
        entry.memo,
        entry.original_journal,
        leg_contents(entry),
        entry.rules.codec_options,
        header=entry.header_content,
    )
    return EntryKey(text, digest, entry.date)


def leg_contents(entry: Entry) -> list[LegContent]:
    """Return what the caller decided about each leg."""
    return [
        LegContent(
            account=join(leg.path),
            debit=leg.debit,
            credit=leg.credit,
            extra={**leg.fields, **({"meta": leg.meta} if leg.meta else {})},
        )
        for leg in entry.legs
    ]


def added_to_rows(plans: Sequence[Plan]) -> dict[tuple[str, RowKey], Turnover]:
    """Return what *plans* add to each row: of the accounts, everything above them, and the books.

    Runs under an exact decimal context of the caller's.
    """
    own: dict[tuple[str, RowKey], Turnover] = {}
    for plan in plans:
        if not plan.keeps_rows:
            continue
        book, fields = plan.book, plan.fields
        for leg in plan.entry.legs:
            row = book, (leg.path, _values(leg, fields) if fields else ())
            turnover = own.get(row)
            if turnover is None:
                turnover = own[row] = Turnover()
            turnover.add(leg.debit, leg.credit)
    return with_rows_above(own)


def guarded_rows(plans: Sequence[Plan]) -> dict[tuple[str, RowKey], None]:
    """Return the rows that the guards of *plans* look at, each once."""
    return {
        (plan.book, (guard.path, guard.dims)): None
        for plan in plans
        if plan.guards_by_rows
        for guard in plan.guards
    }


def guarded_by_entries(plans: Sequence[Plan]) -> dict[tuple[str, RowKey], Plan]:
    """Return what the other guards look at, each with a plan that does."""
    return {
        (plan.book, (guard.path, guard.dims)): plan
        for plan in plans
        if not plan.guards_by_rows
        for guard in plan.guards
    }


def guarding_locks(plan: Plan) -> list[str]:
    """Return the accounts to lock because of guards that no row answers.

    Not only those that are guarded: another entry's guard may look at an account above a leg of this one.
    """
    if plan.guards_by_rows or not plan.guards:
        return []
    paths = (move.path[:depth] for move in plan.moves for depth in range(1, len(move.path) + 1))
    return [join(path) for path in dict.fromkeys(paths)]


def conditions(plan: Plan, dims: DimensionValues) -> Mapping[str, Any]:
    """Return the filter for legs with these values of the book's dimensions."""
    return {name: {"$eq": value} for name, value in zip(plan.entry.rules.dimension_fields, dims, strict=True)}
