"""The demo's display: a live page in a terminal, a line now and then elsewhere.

What is shown is a `Frame`, a value; how it is read is the run's business.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stablesats.demo.checks import Check

_PLAIN_LINE_EVERY_SECS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """A hedge order as shown: when it was reserved, what it is, what became of it."""

    at: datetime
    action: str
    contracts: Decimal
    filled_contracts: Decimal
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the system looks like at one moment, as its database and its exchange say."""

    title: str
    replay_at: datetime
    bid_usd: Decimal
    users_cents: int
    btc_wallet_sats: int
    position_contracts: Decimal
    exposure_ratio: Decimal | None
    trades_booked: int
    journals_per_second: float
    orders: Sequence[OrderLine]
    metrics_url: str

    @property
    def ratio_text(self) -> str:
        """The exposure ratio, or a dash while nothing is owed."""
        return "-" if self.exposure_ratio is None else f"{self.exposure_ratio:.4f}"


class View(Protocol):
    """Shows frames, and says single things."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End showing; the last frame stays visible."""
        ...

    def show(self, frame: Frame) -> None:
        """Show *frame*, now or a little later or not at all."""
        ...

    def say(self, line: str) -> None:
        """Show one line that stays."""
        ...


class TerminalView:
    """A page that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        """Draw on *console*, which must be a terminal."""
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._console = console

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, frame: Frame) -> None:
        """Redraw with *frame*."""
        self._live.update(render(frame), refresh=True)

    def say(self, line: str) -> None:
        """Print *line* above the page."""
        self._console.print(line, style="dim", highlight=False, markup=False)


class PlainView:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, *, monotonic_secs: "MonotonicClock") -> None:
        """Print on *console*; *monotonic_secs* paces the lines."""
        self._console = console
        self._monotonic_secs = monotonic_secs
        self._next_line_at = monotonic_secs()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def show(self, frame: Frame) -> None:
        """Print *frame* in one line if the last one was long enough ago."""
        if self._monotonic_secs() < self._next_line_at:
            return
        self._next_line_at = self._monotonic_secs() + _PLAIN_LINE_EVERY_SECS
        self.say(
            f"{frame.replay_at:%Y-%m-%d %H:%M}  BTC {frame.bid_usd:,.2f}"
            f"  users {dollars(frame.users_cents)} USD"
            f"  position {frame.position_contracts:f} contracts  ratio {frame.ratio_text}"
            f"  trades {frame.trades_booked:,}  {frame.journals_per_second:.0f} journals/s"
        )

    def say(self, line: str) -> None:
        """Print *line*."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class MonotonicClock(Protocol):
    """Seconds that only go up."""

    def __call__(self) -> float:
        """Seconds since some fixed moment."""
        ...


def console_for(*, json_output: bool) -> Console:
    """Where the demo talks: standard output, or standard error when that is reserved for JSON."""
    return Console(file=sys.stderr if json_output else sys.stdout)


def render(frame: Frame) -> RenderableType:
    """The whole page for *frame*."""
    figures = Table.grid(padding=(0, 3))
    figures.add_column(style="dim")
    figures.add_column(justify="right", style="bold")
    figures.add_column(style="dim")
    figures.add_column(justify="right", style="bold")
    figures.add_row("clock", f"{frame.replay_at:%Y-%m-%d %H:%M} UTC", "price", f"{frame.bid_usd:,.2f} USD")
    figures.add_row(
        "users' dollars",
        f"{dollars(frame.users_cents)} USD",
        "bitcoin held",
        f"{Decimal(frame.btc_wallet_sats) / 100_000_000:.8f} BTC",
    )
    figures.add_row(
        "position",
        f"{frame.position_contracts:f} contracts",
        "exposure ratio",
        Text(frame.ratio_text, style="bold"),
    )
    figures.add_row(
        "trades booked",
        f"{frame.trades_booked:,}",
        "posting rate",
        f"{frame.journals_per_second:.0f} journals/s",
    )
    orders = Table(title="last orders", title_justify="left", title_style="dim", expand=True, box=None)
    for heading in ("at", "action", "contracts", "filled", "state"):
        orders.add_column(heading, justify="right" if heading in {"contracts", "filled"} else "left")
    for order in frame.orders:
        orders.add_row(
            f"{order.at:%H:%M:%S}",
            order.action,
            f"{order.contracts:f}",
            f"{order.filled_contracts:f}",
            order.state,
        )
    footer = Text(f"metrics  {frame.metrics_url}", style="dim")
    return Panel(
        Group(figures, Text(), orders, Text(), footer), title=frame.title, title_align="left", expand=True
    )


def check_line(check: Check) -> str:
    """One line of the summary."""
    return f"{'ok    ' if check.holds else 'FAILED'}  {check.name}: {check.detail}"


def dollars(cents: int) -> str:
    """Cents as dollars with two places: ``12345`` is ``123.45``."""
    return f"{Decimal(cents) / 100:,.2f}"
