"""What the demo shows, in a terminal and elsewhere."""

import io
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console

from stablesats.demo.checks import Check
from stablesats.demo.view import Frame, OrderLine, PlainView, TerminalView, check_line, dollars, render

FRAME = Frame(
    title="A day",
    replay_at=datetime(2017, 9, 4, 14, 45, tzinfo=UTC),
    bid_usd=Decimal("4399.02"),
    users_cents=12_365_079,
    btc_wallet_sats=2_710_970_538,
    position_contracts=Decimal(-1183),
    exposure_ratio=Decimal("0.95672"),
    trades_booked=2_564,
    journals_per_second=208.4,
    orders=[
        OrderLine(
            at=datetime(2026, 1, 1, 2, 57, 57, tzinfo=UTC),
            action="sell",
            contracts=Decimal(167),
            filled_contracts=Decimal(166),
            state="canceled",
        )
    ],
    metrics_url="http://127.0.0.1:39215/metrics",
)
SHOWN = (
    "2017-09-04 14:45", "4,399.02", "123,650.79", "27.10970538", "-1183", "0.9567", "2,564", "208", "02:57:57",
    "sell", "167", "166", "canceled", "http://127.0.0.1:39215/metrics",
)  # fmt: skip


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_page_shows_every_figure_and_the_orders() -> None:
    """Clock, price, users' dollars, bitcoin, position, ratio, trades, rate, orders, URL."""
    console = Console(file=io.StringIO(), width=110)
    console.print(render(FRAME))
    assert [text for text in SHOWN if text not in printed(console)] == []


def test_a_terminal_shows_frames_and_keeps_lines() -> None:
    """A line said above the page stays, and so does the last frame."""
    console = Console(file=io.StringIO(), width=110, force_terminal=True)
    with TerminalView(console) as view:
        view.say("engine started")
        view.show(FRAME)
    assert "engine started" in printed(console)
    assert "4,399.02" in printed(console)


def test_elsewhere_a_frame_is_a_line_every_three_seconds() -> None:
    """No cursor movements, no colours, no flood."""
    console = Console(file=io.StringIO(), width=80)
    clock = [100.0]
    view = PlainView(console, monotonic_secs=lambda: clock[0])
    for clock[0] in (100.0, 101.0, 102.9, 103.0, 103.1):
        view.show(FRAME)
    lines = printed(console).splitlines()
    line = (
        "2017-09-04 14:45  BTC 4,399.02  users 123,650.79 USD  position -1183 contracts  ratio 0.9567"
        "  trades 2,564  208 journals/s"
    )
    assert lines == [line, line]


def test_a_failed_check_says_so_first() -> None:
    """The eye finds it in a column."""
    assert check_line(Check("books balanced", False, "1 off", {})) == "FAILED  books balanced: 1 off"
    assert check_line(Check("books balanced", True, "0 off", {})) == "ok      books balanced: 0 off"


def test_dollars_are_cents_with_a_point() -> None:
    """Exact at any size."""
    assert dollars(-5) == "-0.05"
    assert dollars(900_719_925_474_099_301) == "9,007,199,254,740,993.01"
