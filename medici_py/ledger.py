"""Reading legs in their total order: numbered pages, and a stream that repeats and skips none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pymongo.errors import AutoReconnect, CursorNotFound, OperationFailure

from medici_py.documents import Transaction
from medici_py.driver import Document, has_no_transactions, has_transaction, refuses_filter, snapshot_session
from medici_py.errors import InvalidQueryError, UnsupportedDeploymentError
from medici_py.query import LegQuery, beyond, filter_refused, sort_order
from medici_py.store import ReadOptions, Store

TransactionT = TypeVar("TransactionT", bound=Transaction)

_SNAPSHOT_TOO_OLD = 239

STREAM_BATCH = 1_000
"""Legs that a stream holds at a time."""


@dataclass(frozen=True, slots=True)
class LedgerPage(Generic[TransactionT]):
    """A page of legs.

    Attributes:
        results: The legs, in order.
        total: How many legs the whole question matches.
    """

    results: list[TransactionT]
    total: int


@dataclass(frozen=True, slots=True)
class PageRange:
    """Which legs of the order a page holds: *limit* of them from *skip* on."""

    skip: int
    limit: int


def parse_page(per_page: int | None, page: int | None) -> PageRange | None:
    """Read the numbers of a page; None means everything, as without *per_page*.

    Raises:
        InvalidQueryError: If a number given is no whole number of 1 or more.
    """
    for name, number in (("per_page", per_page), ("page", page)):
        if number is not None and not _is_count(number):
            raise InvalidQueryError(
                f"{name} {number!r} refused: give a whole number of 1 or more.", field=name, value=number
            )
    if per_page is None:
        return None
    return PageRange(skip=((page or 1) - 1) * per_page, limit=per_page)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


class LedgerReader(Generic[TransactionT]):
    """Reads the legs of one book."""

    def __init__(self, store: Store, model: type[TransactionT]) -> None:
        self._store = store
        self._model = model

    async def page(
        self, query: LegQuery, options: ReadOptions, page: PageRange | None, *, oldest_first: bool
    ) -> LedgerPage[TransactionT]:
        """Return one page and the whole count, both of the same moment."""
        if page is None:
            results = [self._read(leg) async for leg in self._find(query.to_filter(), options, oldest_first)]
            return LedgerPage(results, len(results))
        async with self._one_snapshot(options) as snapshot:
            cursor = self._find(query.to_filter(), snapshot, oldest_first).skip(page.skip).limit(page.limit)
            results = [self._read(leg) async for leg in cursor]
            total = await self._store.transactions_for(snapshot).count_documents(
                query.to_filter(),
                session=snapshot.session,
            )
        return LedgerPage(results, total)

    async def stream(
        self, query: LegQuery, options: ReadOptions, *, oldest_first: bool
    ) -> AsyncIterator[TransactionT]:
        """Yield every leg once, in order, in constant memory.

        One snapshot for as long as the server keeps it (five minutes by default); after that, or after a
        broken connection, reading goes on behind the last leg in a new one. Legs posted meanwhile may
        then appear, none is repeated, and none that was there from the start is skipped.
        """
        matches = query.to_filter()
        while True:
            last: Document | None = None
            cursor = self._find(matches, options, oldest_first)
            try:
                async for leg in cursor:
                    last = leg
                    yield self._read(leg)
            except (AutoReconnect, OperationFailure) as exc:
                if has_no_transactions(exc):
                    raise UnsupportedDeploymentError from exc
                if query.conditions and refuses_filter(exc):
                    raise filter_refused(query, exc) from exc
                if last is None or not _may_go_on(exc, options):
                    raise
                matches = {"$and": [query.to_filter(), beyond(last, oldest_first=oldest_first)]}
            else:
                return
            finally:
                await cursor.close()

    def _find(self, matches: Document, options: ReadOptions, oldest_first: bool) -> Any:
        legs = self._store.transactions_for(options)
        cursor = legs.find(matches, session=options.session).sort(sort_order(oldest_first=oldest_first))
        # The index gives the date only; the server sorts the rest and may use its disk for it.
        return (
            cursor.allow_disk_use(True).batch_size(STREAM_BATCH)
            if self._store.capabilities.exact_sums
            else cursor
        )

    def _read(self, leg: Document) -> TransactionT:
        return self._model.from_document(leg)

    @asynccontextmanager
    async def _one_snapshot(self, options: ReadOptions) -> AsyncIterator[ReadOptions]:
        if options.session is not None or options.read_concern is not None:
            yield options
            return
        async with snapshot_session(self._store.client) as session:
            yield replace(options, session=session)


def _may_go_on(error: Exception, options: ReadOptions) -> bool:
    if has_transaction(options.session):
        return False
    if isinstance(error, (AutoReconnect, CursorNotFound)):
        return True
    return isinstance(error, OperationFailure) and error.code == _SNAPSHOT_TOO_OLD
