"""Streams what the accounts of a book turned over by day, in descending order and constant memory."""

import datetime as dt
from collections.abc import AsyncGenerator, Sequence

from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from medici_py.account_turnover import turnover_by_account
from medici_py.accounts import Path
from medici_py.driver import Document
from medici_py.errors import UnreadableDocumentError
from medici_py.rollup_rows import Bucket, DayTurnover, buckets
from medici_py.running_rows import ROOT, RowKey, Turnover, dimension_expression
from medici_py.store import Store
from medici_py.sums import Sums

_FIRST_DAY = dt.datetime.min.replace(tzinfo=dt.UTC)
_LAST_DAY = dt.datetime.max.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=dt.UTC)


class RecordedLegs:
    """The legs of a book that were recorded in some stretch of time, by account and day.

    They are read as a majority of the servers has them, not in one snapshot, which would bound how long it
    may take: legs recorded long enough ago are all there and stay as they are.

    Args:
        store: The database.
        book: Name of the book.
        fields: Where its legs store the dimensions.
        precision: Decimal places of its amounts; with others the answer is the same, only slower.
    """

    def __init__(self, store: Store, book: str, fields: Sequence[str], *, precision: int) -> None:
        self._store = Store(
            store.database.with_options(
                read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
            )
        )
        self._book = book
        self._values = [_day("$timestamp"), _day("$datetime"), *map(dimension_expression, fields)]
        self._precision = precision

    async def oldest(self, since: dt.datetime | None) -> dt.datetime | None:
        """Return when the first leg was recorded that was recorded at *since* or later."""
        recorded = {"$gte": _FIRST_DAY if since is None else since}
        found = self._store.transactions.find({"book": self._book, "timestamp": recorded}, {"timestamp": 1})
        async for leg in found.sort("timestamp", 1).limit(1):
            oldest: dt.datetime = leg["timestamp"]
            return oldest
        return None

    async def refuse_undated(self) -> None:
        """Make sure that every leg has a recorded time.

        Raises:
            UnreadableDocumentError: If one has not; it names the leg.
        """
        undated = {"book": self._book, "timestamp": {"$not": {"$type": "date"}}}
        leg = await self._store.transactions.find_one(undated, {"timestamp": 1})
        if leg is not None:
            raise UnreadableDocumentError(
                f"Leg {leg['_id']} of book {self._book!r} stores no time under 'timestamp', so no past "
                "moment has it or lacks it. Correct the stored document.",
                document_id=leg["_id"],
                field="timestamp",
                value=leg.get("timestamp"),
            )

    async def by_account(
        self, since: dt.datetime | None, before: dt.datetime
    ) -> AsyncGenerator[tuple[Path, dict[Bucket, Sums]]]:
        """Yield the rows of each account that has legs on or below it; descending, the whole book last.

        Args:
            since: Only legs recorded at this time or later; None for no bound, legs without a time included.
            before: Only legs recorded before.

        Raises:
            UnreadableDocumentError: If an amount is no number.
        """
        recorded = {"$not": {"$gte": before}} if since is None else {"$gte": since, "$lt": before}
        legs = {"book": self._book, "timestamp": recorded}
        stream = turnover_by_account(self._store, legs, self._values, precision=self._precision, session=None)
        current: Path = ROOT
        days: list[DayTurnover] = []
        async for key, turnover in stream:
            if days and key[0] != current:
                yield current, buckets(days)
                days = []
            current = key[0]
            days.append(_of_day(key, turnover))
        if days:
            yield current, buckets(days)


def _of_day(key: RowKey, turnover: Turnover) -> DayTurnover:
    recorded, effective, *dims = (None if value is None else str(value) for value in key[1])
    return DayTurnover(recorded, effective, tuple(dims), turnover)


def _day(field: str) -> Document:
    """Return an expression for the day of *field* in UTC as text, null where that is no time."""
    # The server writes no text for times outside the years 1 to 9999: they count with the outermost days.
    within = {"$min": [_LAST_DAY, {"$max": [_FIRST_DAY, field]}]}
    text = {"$dateToString": {"date": within, "format": "%Y-%m-%d"}}
    return {"$cond": [{"$eq": [{"$type": field}, "date"]}, text, None]}
