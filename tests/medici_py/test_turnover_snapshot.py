"""Whole books are read at one cluster time, however many batches that takes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book, Transaction, turnover_snapshot
from medici_py.money import exact_sum
from medici_py.task_end import end_task
from medici_py.turnover_snapshot import BookShape, path_of, read_turnover

PLAIN = BookShape.of("MainBook", 8, [], Transaction)


class WalletTransaction(Transaction):
    wallet: str | None = None


@pytest.mark.parametrize(
    ("leg", "values"),
    [
        ({"wallet": "w1", "meta": {"currency": "USD"}}, ("w1", "USD")),
        (
            {"meta": {"wallet": "elsewhere"}},
            (None, None),
        ),  # the model declares it, so it is not read from meta
        ({}, (None, None)),
        (
            {"wallet": ["a", {"b": 1}], "meta": None},
            (("a", (("b", 1),)), None),
        ),  # other writers store anything
    ],
)
def test_dimension_values_are_read_from_where_the_model_keeps_them(
    leg: dict[str, Any], values: tuple[Any, ...]
) -> None:
    """A dimension that the transaction model declares is a field of the leg, any other lies under meta."""
    assert BookShape.of("B", 8, ["wallet", "currency"], WalletTransaction).values_of(leg) == values


@pytest.mark.parametrize("amount", [1, 10**33], ids=["summed by the server", "summed here"])
async def test_snapshot_of_many_batches_is_of_one_time(
    amount: int, driver_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is posted between two batches is not in the snapshot; through each driver."""
    monkeypatch.setattr(turnover_snapshot, "_BATCH_SIZE", 3)
    book = Book("MainBook", driver_database, running_balances=False)
    for number in range(10):
        await book.entry("x").debit("Cash", amount).credit(f"Users:{number}", amount).commit()
    before = await book.balance("Users")

    async def keep_posting() -> None:
        while True:
            await book.entry("x").debit("Cash", amount).credit("Users:late", amount).commit()

    poster = asyncio.ensure_future(keep_posting())
    try:
        for _ in range(5):
            snapshot = await read_turnover(driver_database, [PLAIN])
            table = snapshot.tables["MainBook"]
            cash, users = table.sums(("Cash",), {}), table.sums(("Users",), {})
            assert cash.debit == users.credit
            assert users.notes == cash.notes >= before.notes
            assert users.credit == exact_sum([Decimal(amount)] * users.notes)
    finally:
        await end_task(poster)
        await book.close()


async def test_abandoned_read_leaves_no_cursor(
    bank: AsyncDatabase[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An amount that cannot be read ends the read in the middle; its cursor goes too."""
    monkeypatch.setattr(turnover_snapshot, "_BATCH_SIZE", 2)
    leg = {"book": "MainBook", "account_path": ["A"], "accounts": "A", "debit": 0, "credit": 10**18}
    await bank["medici_transactions"].insert_many([leg | {"_id": ObjectId()} for _ in range(7)])
    command = {"find": "medici_transactions", "filter": {}}
    async with turnover_snapshot._SnapshotRead(bank, command) as read:
        async for _ in read:
            break
    operations = await bank.client.admin.aggregate([{"$currentOp": {"idleCursors": True}}])
    assert not [one async for one in operations if one.get("ns") == f"{bank.name}.medici_transactions"]


@pytest.mark.parametrize(
    ("stored", "path"),
    [(["A", "b"], ("A", "b")), (["A", 7], ("A", "7")), (None, ()), (7, ()), ("A:b", ()), ({"A": 1}, ())],
)
def test_account_is_read_where_there_is_one(stored: Any, path: tuple[str, ...]) -> None:
    """A leg of another writer that has something else there is on no account."""
    assert path_of({"account_path": stored}) == path
    assert path_of({}) == ()
