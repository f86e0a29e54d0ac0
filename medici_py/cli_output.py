"""Answers of the ``medici`` command: tables for people, JSON with exact amounts for programs.

Text that came out of the database is shown with its control characters escaped: a memo cannot move a
terminal's cursor, hide a line or colour one.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson import Decimal128, ObjectId, json_util
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from medici_py.balances import Balance
from medici_py.documents import Journal, Transaction
from medici_py.ledger import LedgerPage
from medici_py.reports import Statement

WHOLE_BOOK = "(whole book)"

NARROWEST = 20
"""Characters below which a column is not broken over lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        right: Whether it holds numbers, which are set to the right.
        wraps: Whether its text may be broken over lines where the terminal is narrow.
    """

    title: str
    right: bool = False
    wraps: bool = False


DATE = Column("Date (UTC)")
ACCOUNT = Column("Account")
MEMO = Column("Memo", wraps=True)
DEBIT = Column("Debit", right=True)
CREDIT = Column("Credit", right=True)
BALANCE = Column("Balance", right=True)
LEGS = Column("Legs", right=True)
JOURNAL = Column("Journal")


def printable(text: str) -> str:
    """Return *text* with everything that is no visible character escaped, a line feed too."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def shown_amount(amount: Decimal) -> str:
    """Return *amount* for a person, all its digits, thousands apart: ``1,234,567.5``."""
    return f"{amount:,f}"


def _shown_side(amount: Decimal) -> str:
    return shown_amount(amount) if amount else ""


def shown_instant(instant: dt.datetime) -> str:
    """Return *instant* to the second, in UTC."""
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def table_of(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table; a cell is plain text."""
    cells = [[printable(cell) for cell in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        widest = max(cell_len(text) for text in (column.title, *(row[number] for row in cells)))
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold",
            min_width=min(widest, NARROWEST) if column.wraps else widest,
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def balance_table(balances: Iterable[tuple[str | None, Balance]]) -> Table:
    """Return the balances of some accounts, None being the whole book."""
    rows = (
        (WHOLE_BOOK if account is None else account, shown_amount(answer.balance), str(answer.notes))
        for account, answer in balances
    )
    return table_of((ACCOUNT, BALANCE, LEGS), rows)


def legs_table(legs: Iterable[Transaction]) -> Table:
    """Return legs as a person reads them; a voided one says so before its memo."""
    rows = (
        (
            shown_instant(leg.datetime),
            leg.accounts,
            f"(voided) {leg.memo}" if leg.voided else leg.memo,
            _shown_side(leg.debit),
            _shown_side(leg.credit),
            str(leg.journal),
        )
        for leg in legs
    )
    return table_of((DATE, ACCOUNT, MEMO, DEBIT, CREDIT, JOURNAL), rows)


def statement_table(statement: Statement) -> Table:
    """Return a statement: opening balance, the lines with the balance after each, closing balance."""
    lines = (
        (
            shown_instant(line.leg.datetime),
            line.leg.accounts,
            line.leg.memo,
            _shown_side(line.leg.debit),
            _shown_side(line.leg.credit),
            shown_amount(line.balance),
            str(line.leg.journal),
        )
        for line in statement.lines
    )
    opening = ("", "", "Opening balance", "", "", shown_amount(statement.opening_balance), "")
    closing = ("", "", "Closing balance", "", "", shown_amount(statement.closing_balance), "")
    return table_of((DATE, ACCOUNT, MEMO, DEBIT, CREDIT, BALANCE, JOURNAL), (opening, *lines, closing))


def print_table(table: Table, *, to_stderr: bool = False) -> None:
    """Print *table*; no digit of a number and no part of an id is ever cut, however narrow the terminal."""
    console = Console(stderr=to_stderr, markup=False, highlight=False, emoji=False)
    # Asked without the terminal's own width, which would bound the answer.
    wanted = Measurement.get(console, console.options.update(max_width=1_000_000), table)
    console.width = max(console.width, wanted.minimum) if console.is_terminal else wanted.maximum
    console.print(table)


def json_text(answer: object) -> str:
    """Return *answer* as JSON: amounts are strings with all their digits, instants are ISO 8601 in UTC."""
    return json.dumps(answer, indent=2, default=_json_value)


def _json_value(value: object) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case ObjectId() | Decimal128() | UUID():
            return str(value)
        case _:
            # Whatever else may stand in meta, as MongoDB's extended JSON.
            return json_util.default(value)


def balances_json(balances: Iterable[tuple[str | None, Balance]]) -> list[Mapping[str, Any]]:
    """Return the balances of some accounts, null being the whole book."""
    return [
        {"account": account, "balance": answer.balance, "notes": answer.notes} for account, answer in balances
    ]


def leg_json(leg: Transaction) -> dict[str, Any]:
    """Return a leg."""
    return {
        "id": leg.id,
        "journal": leg.journal,
        "account": leg.accounts,
        "debit": leg.debit,
        "credit": leg.credit,
        "datetime": leg.datetime,
        "timestamp": leg.timestamp,
        "memo": leg.memo,
        "meta": leg.meta,
        "original_journal": leg.original_journal,
        "voided": leg.voided,
        "void_reason": leg.void_reason,
    }


def page_json(answer: LedgerPage[Any], *, page: int, per_page: int) -> dict[str, Any]:
    """Return a page of the ledger."""
    legs = [leg_json(leg) for leg in answer.results]
    return {"page": page, "per_page": per_page, "total": answer.total, "results": legs}


def statement_json(account: str, statement: Statement) -> dict[str, Any]:
    """Return a statement."""
    return {
        "account": account,
        "opening_balance": statement.opening_balance,
        "lines": [{**leg_json(line.leg), "balance": line.balance} for line in statement.lines],
        "closing_balance": statement.closing_balance,
    }


def reversal_json(voided: str, reversal: Journal) -> dict[str, Any]:
    """Return what a void did."""
    return {
        "voided": voided,
        "reversal": reversal.id,
        "memo": reversal.memo,
        "datetime": reversal.datetime,
    }
