"""What the command prints is exact, whole, and safe to look at."""

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from medici_py import Balance, Transaction
from medici_py.cli_output import (
    balance_table,
    json_text,
    legs_table,
    print_table,
    printable,
    shown_amount,
    statement_table,
)
from medici_py.reports import statement_of

MAY = dt.datetime(2024, 5, 1, 12, 30, 15, 123_000, tzinfo=dt.UTC)


def leg(**fields: Any) -> Transaction:
    values = {
        "id": ObjectId(),
        "journal": ObjectId("65f000000000000000000001"),
        "account_path": ("Assets", "Cash"),
        "accounts": "Assets:Cash",
        "book": "B",
        "debit": 5,
        "datetime": MAY,
        "timestamp": MAY,
        "memo": "Rent",
    }
    return Transaction(**values | fields)


@given(st.text())
def test_printable_text_has_no_control_characters(text: str) -> None:
    """Whatever a memo holds, the terminal is told nothing by it."""
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Käse 💶", "Käse 💶"), ("\x1b[2J", "\\x1b[2J"), ("a\nb", "a\\nb"), ("\u202e", "\\u202e")],
)
def test_only_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    """Letters of any script stay."""
    assert shown == printable(text)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0"),
        ("1234567.5", "1,234,567.5"),
        ("-1000", "-1,000"),
        ("0.00000001", "0.00000001"),
        ("9" * 34, ",".join(["9", *["999"] * 11])),
    ],
)
def test_amount_is_shown_with_all_its_digits(amount: str, shown: str) -> None:
    """No exponent, no rounding."""
    assert shown == shown_amount(Decimal(amount))


def test_table_of_balances(capsys: pytest.CaptureFixture[str]) -> None:
    """One line an account."""
    print_table(balance_table([("Assets", Balance(Decimal(-1000), 2)), (None, Balance(Decimal(0), 4))]))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["Account", "Balance", "Legs"]
    assert lines[2:] == [["Assets", "-1,000", "2"], ["(whole", "book)", "0", "4"]]


def test_wide_table_is_not_cut_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe has no width."""
    memo = "[red]" + "long memo " * 40 + "end"
    print_table(legs_table([leg(memo=memo, voided=True), leg(debit=0, credit=Decimal("1e33"))]))
    _, _, first, second = capsys.readouterr().out.splitlines()
    assert f"(voided) {memo}" in first
    assert "2024-05-01 12:30:15" in first
    assert "1,000,000,000,000,000,000,000,000,000,000,000" in second


def test_narrow_terminal_breaks_memos_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits and ids are whole."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(legs_table([leg(memo="long memo " * 10, debit=Decimal("1e33"))]))
    shown = capsys.readouterr().out
    assert "1,000,000,000,000,000,000,000,000,000,000,000" in shown
    assert "65f000000000000000000001" in shown
    assert shown.count("long") > 1
    assert len(shown.splitlines()) > 5


def test_statement_begins_and_ends_with_a_balance(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line has the balance after it."""
    print_table(statement_table(statement_of(Decimal(100), [leg(), leg(debit=0, credit=2)])))
    opening, first, second, closing = capsys.readouterr().out.splitlines()[2:]
    assert opening.split() == ["Opening", "balance", "100"]
    assert first.split()[4:6] == ["5", "95"]
    assert second.split()[4:6] == ["2", "97"]
    assert closing.split() == ["Closing", "balance", "97"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("0.10000000"), "0.10000000"),
        (Decimal("1E+33"), "1" + "0" * 33),
        (Decimal128("0.1"), "0.1"),
        (Int64(2**62), 2**62),
        (MAY, "2024-05-01T12:30:15.123Z"),
        (ObjectId("65f000000000000000000001"), "65f000000000000000000001"),
        (b"\xff", {"$binary": {"base64": "/w==", "subType": "00"}}),
        ("\x1b", "\x1b"),
    ],
)
def test_json_keeps_every_digit(value: object, shown: object) -> None:
    """Amounts are strings, whole numbers in meta numbers, the rest MongoDB's extended JSON."""
    assert {"x": [shown]} == json.loads(json_text({"x": [value]}))


def test_json_is_ascii() -> None:
    """It can be piped anywhere and shown on anything."""
    assert json_text({"memo": "\x1b[2J Käse", "id": uuid.UUID(int=1)}).isascii()
