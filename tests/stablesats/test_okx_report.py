"""What the operator's commands print."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from stablesats.okx import (
    Bill,
    Deposit,
    DepositState,
    Order,
    OrderSide,
    OrderState,
    TransferState,
    TransferStatus,
    Withdrawal,
    WithdrawalState,
)
from stablesats.okx.health import HealthCheck
from stablesats.okx_report import (
    Report,
    health_report,
    order_report,
    print_table,
    report_json,
    transfer_report,
    transfer_status_report,
)


def at(minute: int) -> datetime:
    return datetime(2026, 1, 1, 12, minute, tzinfo=UTC)


BILL = Bill(
    bill_id="7",
    currency="BTC",
    kind="1",
    balance_change=Decimal("-0.3"),
    balance=Decimal("0.5"),
    source="18",
    target="99",
    at=at(2),
)
DEPOSIT = Deposit(
    deposit_id="1",
    currency="BTC",
    amount=Decimal("0.10"),
    state=DepositState.FROZEN,
    address="bc1q",
    at=at(3),
)
WITHDRAWAL = Withdrawal(
    withdrawal_id="9",
    client_transfer_id="w1",
    currency="BTC",
    amount=Decimal("0.2"),
    state=WithdrawalState.SUCCEEDED,
    at=at(1),
)
EVERYTHING = Report(
    ("text", "amount", "count", "good", "none", "at"),
    (
        {
            "text": "[bold]",
            "amount": Decimal("0.00000001"),
            "count": 3,
            "good": True,
            "none": None,
            "at": at(0),
        },
    ),
)


def table(report: Report, width: int = 300) -> str:
    out = io.StringIO()
    print_table(report, Console(file=out, width=width))
    return out.getvalue()


def test_json_keeps_amounts_exact() -> None:
    """Decimals as plain texts, without an exponent; numbers, booleans and null as themselves."""
    assert json.loads(report_json(EVERYTHING)) == [
        {
            "text": "[bold]",
            "amount": "0.00000001",
            "count": 3,
            "good": True,
            "none": None,
            "at": "2026-01-01T12:00:00.000Z",
        }
    ]


def test_a_table_shows_cells_as_they_are() -> None:
    """OKX's words are no markup; what is not there is a dash."""
    header, line = table(EVERYTHING).splitlines()
    assert header.split() == list(EVERYTHING.columns)
    assert line.split() == ["[bold]", "0.00000001", "3", "yes", "-", "2026-01-01T12:00:00.000Z"]


def test_a_table_without_a_terminal_does_not_break_its_lines() -> None:
    """Somebody will grep in it."""
    assert len(table(EVERYTHING, width=20).splitlines()) == 2


def test_no_rows_are_a_header_and_an_empty_list() -> None:
    """None is an answer, too."""
    empty = transfer_report(bills=[], deposits=[], withdrawals=[], limit=5)
    assert json.loads(report_json(empty)) == []
    assert len(table(empty).splitlines()) == 1


def test_movements_of_every_kind_are_one_list_newest_first() -> None:
    """Amounts without sign: from and to say the way; an account code that we do not know stays as it is."""
    report = transfer_report(bills=[BILL], deposits=[DEPOSIT], withdrawals=[WITHDRAWAL], limit=5)
    assert [
        (row["kind"], row["amount_btc"], row["from"], row["to"], row["state"]) for row in report.rows
    ] == [
        ("deposit", Decimal("0.1"), "outside", "bc1q", "frozen"),
        ("bill out", Decimal("0.3"), "trading", "99", None),
        ("withdrawal", Decimal("0.2"), "funding", "", "succeeded"),
    ]
    newest = transfer_report(bills=[BILL], deposits=[DEPOSIT], withdrawals=[WITHDRAWAL], limit=1)
    assert [row["kind"] for row in newest.rows] == ["deposit"]


@pytest.mark.parametrize(("change", "kind"), [("0.3", "bill in"), ("-0.3", "bill out")])
def test_a_bill_is_no_transfer(change: str, kind: str) -> None:
    """It says what the cash changed by, and knows neither a state nor a client id."""
    bill = BILL.model_copy(update={"balance_change": Decimal(change)})
    (row,) = transfer_report(bills=[bill], deposits=[], withdrawals=[], limit=5).rows
    assert (row["kind"], row["amount_btc"], row["state"], row["client_id"]) == (
        kind,
        Decimal("0.3"),
        None,
        None,
    )


@pytest.mark.parametrize(
    ("state", "shown", "phase"),
    [
        (TransferState.SUCCEEDED, "succeeded", "succeeded"),
        (TransferState.PENDING, "pending", "pending"),
        (TransferState.FAILED, "failed", "failed"),
        (TransferState.UNKNOWN, "unknown", "pending"),
    ],
)
def test_a_transfer_is_shown_with_its_state(state: TransferState, shown: str, phase: str) -> None:
    """One that we do not know may still move the money."""
    status = TransferStatus(
        transfer_id="5",
        client_transfer_id="t1",
        currency="BTC",
        amount=Decimal("0.1"),
        source="6",
        target="18",
        state=state,
    )
    (row,) = transfer_status_report(status).rows
    assert (row["client_id"], row["okx_id"], row["from"], row["to"], row["state"], row["phase"]) == (
        *("t1", "5", "funding", "trading"),
        *(shown, phase),
    )


def order(order_id: str, minute: int, **more: Any) -> Order:
    fields = {"state": OrderState.LIVE, "filled_contracts": Decimal(0), "updated_at": at(minute), **more}
    return Order(
        inst_id="BTC-USD-SWAP",
        order_id=order_id,
        side=OrderSide.SELL,
        size_contracts=Decimal(10),
        fee_btc=Decimal(0),
        created_at=at(minute),
        **fields,
    )


@pytest.mark.parametrize("history_first", [False, True])
def test_order_that_moves_into_history_while_being_read_is_one_row(history_first: bool) -> None:
    """Live among the pending ones, filled in the history a moment later: one row, as it was last seen."""
    live = order("2", 2)
    filled = order("2", 2, state=OrderState.FILLED, filled_contracts=Decimal(10), updated_at=at(5))
    older = order("1", 1, state=OrderState.CANCELED)
    looks = [filled, older, live] if history_first else [live, filled, older]
    rows = [(row["okx_order_id"], row["state"], row["filled_contracts"]) for row in order_report(looks).rows]
    assert rows == [("2", "filled", Decimal(10)), ("1", "canceled", Decimal(0))]
    assert [row["state"] for row in order_report(looks, limit=1).rows] == ["filled"]


def test_one_point_that_is_not_good_makes_the_report_not_good() -> None:
    """The command's exit code follows it."""
    good, bad = HealthCheck("clock", True, "fine"), HealthCheck("price", False, "none")
    assert health_report([good]).is_good
    assert not health_report([good, bad]).is_good
