"""The turnover of every account of a book, those above others included, streamed in constant memory."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.driver import Document, aggregate
from medici_py.money import EXACT
from medici_py.running_rows import RowKey, Turnover
from medici_py.store import Store
from medici_py.sums import Sums, SumTooLargeError, fold_rows, leg_sums, sum_stages
from medici_py.turnover_stack import TurnoverStack

ROWS_A_BATCH = 1_000
"""The server would fill 16 MB, which take many times that much here."""


async def turnover_by_account(
    store: Store,
    legs: Mapping[str, Any],
    values: Sequence[Any],
    *,
    precision: int,
    session: AsyncClientSession | None,
) -> AsyncGenerator[tuple[RowKey, Turnover]]:
    """Yield what legs add up to, for each account with everything below it and each combination of values.

    The server groups and sorts, on disk if need be; here no more is held than one account of each depth,
    in each combination of values.

    Args:
        store: The database.
        legs: Filter for the legs.
        values: Expressions for what tells the rows of an account apart, each a text or null, such as
            `medici_py.running_rows.dimension_expression`.
        precision: Decimal places of the book.
        session: Whose snapshot or transaction is read.

    Yields:
        Account, values, and their turnover; in descending order of `medici_py.turnover_stack.row_order`,
        each once: an account after everything below it, the whole book (``()``) last.

    Raises:
        UnreadableDocumentError: If a leg's amount is no number.
    """
    stack = TurnoverStack()
    async for key, own in _own_turnover(store, legs, values, precision=precision, session=session):
        for complete in stack.add(key, own):
            yield complete
    for complete in stack.finish():
        yield complete


async def _own_turnover(
    store: Store,
    legs: Mapping[str, Any],
    values: Sequence[Any],
    *,
    precision: int,
    session: AsyncClientSession | None,
) -> AsyncGenerator[tuple[RowKey, Turnover]]:
    by = _group(values)
    stages = [
        {"$match": dict(legs)},
        *sum_stages(by, precision=precision),
        # The document is compared as a whole. Sorting by the array in it would compare only its largest part.
        {"$sort": {"_id.by": DESCENDING}},
    ]
    rows = await aggregate(
        store.transactions, stages, session=session, allowDiskUse=True, batchSize=ROWS_A_BATCH
    )
    group: Document | None = None
    own, too_large = Turnover(), False
    async for row in rows:
        if group is not None and row["_id"]["by"] != group:
            yield _key(group), await _summed_here(store, legs, by, group, session) if too_large else own
            own, too_large = Turnover(), False
        group = row["_id"]["by"]
        try:
            _add(own, row, precision)
        except SumTooLargeError:
            too_large = True
    if group is not None:
        yield _key(group), await _summed_here(store, legs, by, group, session) if too_large else own


def _group(values: Sequence[Any]) -> Document:
    # A path that is no list of texts, which can only be written by hand, counts in the whole book alone.
    texts = {"$map": {"input": "$account_path", "as": "part", "in": {"$eq": [{"$type": "$$part"}, "string"]}}}
    is_path = {"$cond": [{"$isArray": "$account_path"}, {"$allElementsTrue": [texts]}, False]}
    path = {"$cond": [is_path, "$account_path", []]}
    return {"path": path, **{f"value{place}": value for place, value in enumerate(values)}}


def _key(group: Mapping[str, Any]) -> RowKey:
    path, *values = group.values()
    return tuple(path), tuple(values)


def _add(own: Turnover, row: Mapping[str, Any], precision: int) -> None:
    (sums,) = fold_rows([row], precision=precision).values()
    _add_sums(own, sums, None if row["_id"]["as_stored"] else row["size"].to_decimal())


def _add_sums(own: Turnover, sums: Sums, size: Decimal | None = None) -> None:
    with localcontext(EXACT):
        own.debit += sums.debit
        own.credit += sums.credit
        own.size += abs(sums.debit) + abs(sums.credit) if size is None else size
        own.notes += sums.notes


async def _summed_here(
    store: Store,
    legs: Mapping[str, Any],
    by: Mapping[str, Any],
    group: Mapping[str, Any],
    session: AsyncClientSession | None,
) -> Turnover:
    of_group = {"$expr": {"$eq": [dict(by), {"$literal": dict(group)}]}}
    found = store.transactions.find(
        {"$and": [dict(legs), of_group]}, {"credit": 1, "debit": 1}, session=session
    )
    own = Turnover()
    async for leg in found:
        _add_sums(own, leg_sums(leg))
    return own
