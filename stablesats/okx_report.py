"""What the ``stablesats okx`` commands print: rows of an account at OKX, for people or for machines; pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from stablesats.okx import (
    AccountKind,
    Bill,
    Deposit,
    FundingBalance,
    Instrument,
    Order,
    Position,
    TradingBalance,
    TransferStatus,
    Withdrawal,
)
from stablesats.okx.health import HealthCheck
from stablesats.tables import print_whole

Cell: TypeAlias = str | int | bool | Decimal | datetime | None
ReportRow: TypeAlias = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Report:
    """Rows with the same keys; units are in the keys.

    Attributes:
        is_good: Whether the command may end with exit code 0.
    """

    columns: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    is_good: bool = True


def balance_report(trading: TradingBalance, funding: FundingBalance) -> Report:
    """Return a row for each account."""
    return _report(
        {
            "account": "trading",
            "total_btc": trading.equity_btc,
            "available_btc": trading.available_equity_btc,
            "cash_btc": trading.cash_btc,
            "unrealized_pnl_btc": trading.unrealized_pnl_btc,
            "margin_ratio": trading.margin_ratio,
        },
        {
            "account": "funding",
            "total_btc": funding.total,
            "available_btc": funding.available,
            "cash_btc": funding.total,
            "unrealized_pnl_btc": None,
            "margin_ratio": None,
        },
    )


def position_report(position: Position, instrument: Instrument) -> Report:
    """Return the position in one row; flat is a size of zero."""
    return _report(
        {
            "instrument": position.inst_id,
            "size_contracts": position.size_contracts,
            "exposure_cents": position.signed_exposure_cents(instrument.contract_value_usd),
            "average_price_usd": position.average_price_usd,
            "mark_price_usd": position.mark_price_usd,
            "liquidation_price_usd": position.liquidation_price_usd,
            "unrealized_pnl_btc": position.unrealized_pnl_btc,
            "margin_ratio": position.margin_ratio,
            "leverage": position.leverage,
        }
    )


def order_report(looks: Iterable[Order], *, limit: int | None = None) -> Report:
    """Return a row for each of the newest *limit* orders (None for all), newest first.

    Of several looks at one order the newest counts: one that becomes final between two reads is in the
    pending ones of the first and in the history of the second.
    """
    orders: dict[str, Order] = {}
    for look in looks:
        known = orders.get(look.order_id)
        if known is None or look.supersedes(known):
            orders[look.order_id] = look
    newest_first = sorted(orders.values(), key=lambda order: order.created_at, reverse=True)
    columns = (
        *("created_at", "client_order_id", "okx_order_id", "side", "type", "size_contracts"),
        *("filled_contracts", "limit_price_usd", "average_price_usd", "fee_btc", "state"),
    )
    rows = tuple(
        {
            "created_at": order.created_at,
            "client_order_id": order.client_order_id,
            "okx_order_id": order.order_id,
            "side": order.side.value,
            "type": order.order_type,
            "size_contracts": order.size_contracts,
            "filled_contracts": order.filled_contracts,
            "limit_price_usd": order.limit_price_usd,
            "average_price_usd": order.average_price_usd,
            "fee_btc": order.fee_btc,
            "state": order.state.value,
        }
        for order in newest_first[:limit]
    )
    return Report(columns, rows)


def transfer_report(
    *, bills: Sequence[Bill], deposits: Sequence[Deposit], withdrawals: Sequence[Withdrawal], limit: int
) -> Report:
    """Return the newest *limit* movements of any kind, newest first.

    *bills* are those of transfers: what the trading account's cash changed by, and no transfers. A bill has
    neither a state nor a client id; a transfer that failed leaves two, out and back, and one to the trading
    account leaves none before it has succeeded. `transfer_status_report` says how far a transfer is.
    """
    columns = ("at", "kind", "amount_btc", "fee_btc", "from", "to", "state", "id", "client_id")
    moved = [(bill.at, _billed(bill)) for bill in bills]
    moved += [(deposit.at, _deposited(deposit)) for deposit in deposits]
    moved += [(withdrawal.at, _withdrawn(withdrawal)) for withdrawal in withdrawals]
    moved.sort(key=lambda movement: movement[0], reverse=True)
    return Report(columns, tuple(row for _, row in moved[:limit]))


def transfer_status_report(status: TransferStatus) -> Report:
    """Return how far one transfer is, in one row; *phase* is what its state means for the money."""
    return _report(
        {
            "client_id": status.client_transfer_id,
            "okx_id": status.transfer_id,
            "amount_btc": status.amount,
            "from": _account_name(status.source),
            "to": _account_name(status.target),
            "state": status.state.name.lower(),
            "phase": status.state.phase.value,
        }
    )


def health_report(checks: Sequence[HealthCheck]) -> Report:
    """Return a row for each point; good if all of them are."""
    rows: tuple[ReportRow, ...] = tuple(
        {"check": check.name, "good": check.is_good, "found": check.found} for check in checks
    )
    return Report(("check", "good", "found"), rows, is_good=all(check.is_good for check in checks))


def report_json(report: Report) -> str:
    """Return a JSON list of objects; decimals are texts, since a reader's JSON numbers are binary floats."""
    return json.dumps([_json_row(row) for row in report.rows], indent=2)


def print_table(report: Report, console: Console | None = None) -> None:
    """Print it for people."""
    table = Table(box=None, pad_edge=False)
    for column in report.columns:
        is_number = any(_is_number(row[column]) for row in report.rows)
        table.add_column(column, justify="right" if is_number else "left")
    for row in report.rows:
        table.add_row(*(_cell_text(row[column]) for column in report.columns))
    print_whole(table, console or Console())


def _report(*rows: ReportRow) -> Report:
    return Report(tuple(rows[0]), rows)


def _billed(bill: Bill) -> ReportRow:
    return {
        "at": bill.at,
        "kind": "bill in" if bill.balance_change > 0 else "bill out",
        "amount_btc": abs(bill.balance_change),
        "fee_btc": None,
        "from": _account_name(bill.source),
        "to": _account_name(bill.target),
        "state": None,
        "id": bill.bill_id,
        "client_id": None,
    }


def _deposited(deposit: Deposit) -> ReportRow:
    return {
        "at": deposit.at,
        "kind": "deposit",
        "amount_btc": deposit.amount,
        "fee_btc": None,
        "from": "outside",
        "to": deposit.address,
        "state": deposit.state.name.lower(),
        "id": deposit.deposit_id,
        "client_id": None,
    }


def _withdrawn(withdrawal: Withdrawal) -> ReportRow:
    return {
        "at": withdrawal.at,
        "kind": "withdrawal",
        "amount_btc": withdrawal.amount,
        "fee_btc": withdrawal.fee,
        "from": AccountKind.FUNDING.name.lower(),
        "to": withdrawal.address,
        "state": withdrawal.state.name.lower(),
        "id": withdrawal.withdrawal_id,
        "client_id": withdrawal.client_transfer_id,
    }


def _account_name(code: str) -> str:
    try:
        return AccountKind(code).name.lower()
    except ValueError:
        return code


def _json_row(row: ReportRow) -> dict[str, object]:
    return {
        name: cell if isinstance(cell, bool | int | None) else _cell_text(cell) for name, cell in row.items()
    }


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, Decimal | int) and not isinstance(cell, bool)


def _cell_text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case Decimal():
            return f"{cell:f}"
        case datetime():
            return cell.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case _:
            return str(cell)
