"""The journals that are posted: cash moves from the bank's omnibus account to one of its users' wallets."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

from bson import Int64, ObjectId
from pymongo.asynchronous.database import AsyncDatabase

BOOK = "Bench"
MEMO = "bench"
CASH = "Assets:Cash"
"""The omnibus account: every journal has a leg on it."""

WALLETS = 1_000
AMOUNT = 7

Document: TypeAlias = dict[str, Any]
Database: TypeAlias = AsyncDatabase[Document]


def wallet(number: int) -> str:
    """Return the account of the user whose turn it is."""
    return f"Liabilities:Users:{number % WALLETS}"


def balance_after(journals: int, account: str) -> int:
    """Return the balance of `CASH` or of a wallet when so many journals were posted one after the other."""
    if account == CASH:
        return -journals * AMOUNT
    turn = int(account.rpartition(":")[2])
    return len(range(turn, journals, WALLETS)) * AMOUNT


def client_id(account: str) -> str:
    """Return what legs of a filled ledger have under ``meta.client``."""
    return f"client-{account}"


def stored_journal(
    number: int, recorded_at: datetime, *, with_meta: bool = False
) -> tuple[Document, list[Document]]:
    """Return a journal and its two legs as the library stores them."""
    journal_id, account = ObjectId(), wallet(number)
    legs = [
        _leg(journal_id, CASH, AMOUNT, 0, recorded_at),
        _leg(journal_id, account, 0, AMOUNT, recorded_at),
    ]
    if with_meta:
        legs[1]["meta"] = {"client": client_id(account)}
    journal = {
        "_id": journal_id,
        "memo": MEMO,
        "_transactions": [leg["_id"] for leg in legs],
        "datetime": recorded_at,
        "book": BOOK,
    }
    return journal, legs


def flattened(legs: Iterable[list[Document]]) -> list[Document]:
    """Return the legs of several journals as one list."""
    return [leg for of_journal in legs for leg in of_journal]


def _leg(journal_id: ObjectId, account: str, debit: int, credit: int, recorded_at: datetime) -> Document:
    return {
        "_id": ObjectId(),
        "_journal": journal_id,
        "account_path": account.split(":"),
        "accounts": account,
        "book": BOOK,
        "credit": Int64(credit),
        "datetime": recorded_at,
        "debit": Int64(debit),
        "memo": MEMO,
        "timestamp": recorded_at,
    }
