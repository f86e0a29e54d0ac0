"""The turnover of all accounts of a book, as a stream."""

from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from medici_py.account_turnover import turnover_by_account
from medici_py.errors import UnreadableDocumentError
from medici_py.running_rows import RowKey, Turnover, dimension_expression
from medici_py.store import Store
from medici_py.turnover_stack import row_order

Bank = AsyncDatabase[dict[str, Any]]

DIMENSION = dimension_expression("meta.c")


async def insert(bank: Bank, *legs: tuple[Any, Any, Any] | tuple[Any, Any, Any, Any]) -> None:
    """Insert legs (path, debit, credit, currency) as any writer might."""
    documents = [
        {"book": "B", "account_path": path, "debit": debit, "credit": credit, "meta": {"c": rest[0]}}
        if rest
        else {"book": "B", "account_path": path, "debit": debit, "credit": credit}
        for path, debit, credit, *rest in legs
    ]
    await bank["medici_transactions"].insert_many(documents)


async def read(bank: Bank, values: list[Any] | None = None) -> list[tuple[RowKey, Turnover]]:
    stream = turnover_by_account(Store(bank), {"book": "B"}, values or [], precision=2, session=None)
    return [one async for one in stream]


async def test_whole_paths_are_compared(bank: Bank) -> None:
    """An array is greater than another by its first different part, not by its largest.

    A sort by the array itself would bring ``["A", "Z"]`` before ``["B", "A"]``, whose largest part is smaller.
    """
    paths = [
        ["B", "A"],
        ["A", "Z"],
        ["A", "Z", "A"],
        ["A"],
        ["A:Z"],
        [""],
        [],
        ["A", ""],
        ["\U00010000"],
        ["\uffff"],
    ]
    await insert(bank, *((path, 1, 0) for path in paths))
    order = [key[0] for key, _ in await read(bank)]
    assert order == sorted({tuple(path) for path in paths} | {("B",)}, reverse=True)


async def test_accounts_above_have_what_lies_below(bank: Bank) -> None:
    """In each combination of values; a leg without a text there counts under none."""
    await insert(
        bank,
        (["A", "X"], 5, 0, "USD"),
        (["A"], 0, 2, "USD"),
        (["A", "X"], 1, 0, 7),
        (["B"], Decimal128("0.25"), 0),
    )
    await bank["medici_transactions"].insert_one({"book": "Other", "account_path": ["A"], "debit": 1})
    assert [
        (key, turnover.debit, turnover.credit, turnover.size, turnover.notes)
        for key, turnover in await read(bank, [DIMENSION])
    ] == [
        ((("B",), (None,)), Decimal("0.25"), 0, Decimal("0.25"), 1),
        ((("A", "X"), ("USD",)), 5, 0, 5, 1),
        ((("A", "X"), (None,)), 1, 0, 1, 1),
        ((("A",), ("USD",)), 5, 2, 7, 2),
        ((("A",), (None,)), 1, 0, 1, 1),
        (((), ("USD",)), 5, 2, 7, 2),
        (((), (None,)), Decimal("1.25"), 0, Decimal("1.25"), 2),
    ]


async def test_every_number_type_counts_exactly(bank: Bank) -> None:
    """Also doubles whose value the server cannot be sure of, each of which is a row of its own."""
    await insert(
        bank,
        (["A"], 0.1, 0),
        (["A"], 0.12345678901234566, 0),
        (["A"], 0, 3.0),
        (["A"], None, -2),
        (["A"], 1, 1),
    )
    (account, turnover), _ = await read(bank)
    assert account == (("A",), ())
    assert (turnover.debit, turnover.credit) == (Decimal("1.22345678901234566"), Decimal(2))
    assert (turnover.size, turnover.notes) == (Decimal("7.22345678901234566"), 5)


async def test_sums_beyond_what_the_server_holds_are_made_here(bank: Bank) -> None:
    """Only those of the account that is so large; its neighbours are unharmed."""
    huge, small = Decimal128("9" * 33), Decimal128("0.01")
    await insert(bank, *((["A"], huge, 0) for _ in range(20)), (["A"], small, 0), (["B"], 1, 0))
    sums = {key[0]: turnover.debit for key, turnover in await read(bank)}
    assert sums == {
        ("B",): Decimal(1),
        ("A",): Decimal("19999999999999999999999999999999980.01"),
        (): Decimal("19999999999999999999999999999999981.01"),
    }


async def test_path_that_is_none_counts_in_the_book_alone(bank: Bank) -> None:
    """Nobody posts such a leg, but a hand may have written one."""
    await insert(bank, ("A", 1, 0), (["A", 5], 1, 0), (None, 1, 0), ([["A"]], 1, 0))
    assert [(key, turnover.notes) for key, turnover in await read(bank)] == [(((), ()), 4)]


async def test_amount_that_is_no_number_stops_the_stream(bank: Bank) -> None:
    """Unknown is not zero."""
    leg_id = ObjectId()
    await bank["medici_transactions"].insert_one(
        {"_id": leg_id, "book": "B", "account_path": ["A"], "debit": "5"}
    )
    with pytest.raises(UnreadableDocumentError) as caught:
        await read(bank)
    assert (caught.value.document_id, caught.value.field, caught.value.value) == (leg_id, "debit", "5")


async def test_stream_has_the_order_of_the_rows(bank: Bank) -> None:
    """The ids of rows, sorted by the server backwards, are in the order in which the stream comes."""
    await insert(bank, (["A", "B"], 1, 0, "X"), (["A"], 1, 0), (["A:B"], 1, 0, ""), (["a"], 1, 0, "Y"))
    keys = [key for key, _ in await read(bank, [DIMENSION])]
    await bank["medici_py_balances"].insert_many(
        [
            {"_id": {"book": "B", "path": list(path), "dims": list(dims), "stripe": 1}}
            for path, dims in reversed(keys)
        ]
    )
    stored = [row["_id"] async for row in bank["medici_py_balances"].find().sort("_id", -1)]
    assert keys == [(tuple(one["path"]), tuple(one["dims"])) for one in stored]
    assert [row_order(key) for key in keys] == sorted(map(row_order, keys), reverse=True)
