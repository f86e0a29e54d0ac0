"""Checks the roll-ups of a book against its entries, in constant memory."""

import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from medici_py.accounts import Path, join
from medici_py.book_state import BookState
from medici_py.differences import Difference
from medici_py.rollup_rows import (
    Bucket,
    RolledUp,
    bucket_of,
    path_of,
    row_sums,
    rows_of_generation,
)
from medici_py.rollup_stream import RecordedLegs
from medici_py.rollups import RollUpUnderWayError, read_state, rollups_of
from medici_py.store import Store
from medici_py.sums import Sums

MAX_DIFFERENCES = 1_000

_TRIES = 3


@dataclass(frozen=True, slots=True)
class WrongRollUp(Difference):
    """A row of a roll-up that is not what the entries add up to.

    Attributes:
        path: The account; empty for the whole book.
        bucket: Which of its rows.
        expected: What the entries add up to.
        found: What the row holds; nothing if there is none.
    """

    path: Path
    bucket: Bucket
    expected: Sums
    found: Sums

    advice = (
        "An entry was recorded at a time that had been rolled up, or the row was changed by hand. Roll the "
        "book up anew (medici roll-up --anew)."
    )

    def _what(self) -> str:
        account = f"account {join(self.path)!r}" if self.path else "all accounts"
        dims = f" {list(self.bucket.dims)}" if self.bucket.dims else ""
        return (
            f"roll-up of {account}{dims}, {self.bucket.kind} {self.bucket.span}: the entries add up to "
            f"{_shown(self.expected)}, the roll-up has {_shown(self.found)}"
        )


def _shown(sums: Sums) -> str:
    return f"debit {sums.debit:f}, credit {sums.credit:f}, {sums.notes} legs"


async def check_rollups(
    store: Store, state: BookState, *, precision: int, max_differences: int = MAX_DIFFERENCES
) -> list[WrongRollUp]:
    """Compare every row of a book's roll-ups with the legs it stands for.

    Safe while others post and read: what is rolled up is final. Takes no snapshot, so it may take as long as
    it takes.

    Args:
        store: The database.
        state: How the book is kept, as last read; the stored one decides.
        precision: Decimal places of the book.
        max_differences: No more than so many are named.

    Returns:
        What differs; nothing for a book that is not rolled up.

    Raises:
        RollUpUnderWayError: If a roll-up went on meanwhile, again and again.
        UnreadableDocumentError: If a leg's amount is no number.
    """
    if not state.running_balances:
        return []
    for _ in range(_TRIES):
        rolled = RolledUp.from_document((await read_state(store, state.book)).rolled_up)
        check = _Check(store, state.book, rolled, precision, max_differences)
        differences = await check.differences()
        again = RolledUp.from_document((await read_state(store, state.book)).rolled_up)
        if again.step == rolled.step:
            return differences
    raise RollUpUnderWayError(
        f"The roll-ups of book {state.book!r} could not be checked: a roll-up is under way. Try again "
        "when it is done."
    )


@dataclass(frozen=True, slots=True)
class _Check:
    """One check of what was rolled up at one step."""

    store: Store
    book: str
    rolled: RolledUp
    precision: int
    max_differences: int

    async def differences(self) -> list[WrongRollUp]:
        """Compare all accounts; while a roll-up is under way, those it has done apart from the others."""
        found: list[WrongRollUp] = []
        for bound in dict.fromkeys((self.rolled.before, self.rolled.to)):
            if bound is None:
                continue
            differing = self._compare(bound)
            async with aclosing(differing):
                async for difference in differing:
                    if len(found) >= self.max_differences:
                        return found
                    found.append(difference)
        return found

    async def _compare(self, bound: dt.datetime) -> AsyncGenerator[WrongRollUp]:
        legs = RecordedLegs(self.store, self.book, self.rolled.fields, precision=self.precision)
        rows = self._rows_by_account()
        path_of_rows, found = await anext(rows)
        async for path, expected in legs.by_account(None, bound):
            while path_of_rows is not None and path_of_rows > path:
                for difference in self._differing(path_of_rows, {}, found, bound):
                    yield difference
                path_of_rows, found = await anext(rows)
            stored = {}
            if path_of_rows == path:
                stored = found
                path_of_rows, found = await anext(rows)
            for difference in self._differing(path, expected, stored, bound):
                yield difference

    def _differing(
        self, path: Path, expected: dict[Bucket, Sums], found: dict[Bucket, Sums], bound: dt.datetime
    ) -> list[WrongRollUp]:
        if self.rolled.covered(path) != bound:
            return []
        nothing = Sums()
        return [
            WrongRollUp(self.book, path, bucket, expected.get(bucket, nothing), found.get(bucket, nothing))
            for bucket in dict.fromkeys((*expected, *found))
            if expected.get(bucket, nothing) != found.get(bucket, nothing)
        ]

    async def _rows_by_account(self) -> AsyncGenerator[tuple[Path | None, dict[Bucket, Sums]]]:
        """Yield the rows of each account, in descending order, and None after the last."""
        current: Path | None = None
        found: dict[Bucket, Sums] = {}
        rows = rollups_of(self.store).find(rows_of_generation(self.book, self.rolled.generation))
        async for row in rows.sort("_id", -1):
            path = path_of(row)
            if current is not None and path != current:
                yield current, found
                found = {}
            current = path
            found[bucket_of(row)] = row_sums(row)
        if current is not None:
            yield current, found
        yield None, {}
