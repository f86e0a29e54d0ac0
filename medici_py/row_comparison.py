"""Compares the running balances of a whole book with its legs, at one moment and in constant memory."""

from collections.abc import AsyncGenerator

from bson import MaxKey
from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from medici_py.account_turnover import ROWS_A_BATCH, turnover_by_account
from medici_py.compared_rows import ComparedRow, RowTotal, stored_key
from medici_py.driver import Document
from medici_py.running_rows import RowKey, Turnover, dimension_expression
from medici_py.store import Store
from medici_py.turnover_stack import row_order


def rows_of_book(book: str) -> Document:
    """Return the filter for everything that is stored for a book's running balances."""
    return {"_id": {"$gte": {"book": book}, "$lt": {"book": book, "path": MaxKey()}}}


async def compared_rows(
    store: Store,
    book: str,
    fields: tuple[str, ...],
    *,
    precision: int,
    session: AsyncClientSession | None,
) -> AsyncGenerator[ComparedRow]:
    """Yield every account that has legs or rows, with both; the whole book comes last.

    Args:
        store: The database.
        book: Name of the book.
        fields: Where its legs store the dimensions of the rows.
        precision: Decimal places of the book.
        session: Whose snapshot is read, so that legs and rows are of one moment.

    Raises:
        UnreadableDocumentError: If a leg's amount is no number, or a row cannot be read as one.
    """
    values = [dimension_expression(name) for name in fields]
    legs = turnover_by_account(store, {"book": book}, values, precision=precision, session=session)
    rows = _totals(store, book, session)
    leg, row = await anext(legs, None), await anext(rows, None)
    while leg is not None or row is not None:
        if row is None or (leg is not None and row_order(leg[0]) > row_order(row[0])):
            assert leg is not None
            yield ComparedRow(leg[0], leg[1], RowTotal())
            leg = await anext(legs, None)
        elif leg is None or leg[0] != row[0]:
            yield ComparedRow(row[0], Turnover(), row[1])
            row = await anext(rows, None)
        else:
            yield ComparedRow(leg[0], leg[1], row[1])
            leg, row = await anext(legs, None), await anext(rows, None)


async def _totals(
    store: Store, book: str, session: AsyncClientSession | None
) -> AsyncGenerator[tuple[RowKey, RowTotal]]:
    current: RowKey | None = None
    total = RowTotal()
    rows = store.balance_rows.find(rows_of_book(book), session=session, batch_size=ROWS_A_BATCH)
    async for row in rows.sort("_id", DESCENDING):
        key = stored_key(row)
        if current is not None and key != current:
            yield current, total
            total = RowTotal()
        current = key
        total.add(row)
    if current is not None:
        yield current, total
