"""A recorded price history and the clock that walks through it at a chosen speed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from stablesats.errors import ConfigurationError
from stablesats.okx_simulator.book import Book  # noqa: TC001 - read at run time when a saved state is loaded

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SPEED: Final = Decimal(1_000_000)
"""Recorded seconds a second at most; a recorded month is over in three seconds then."""


MAX_PRICE_USD: Final = Decimal(1_000_000_000)
"""No bitcoin of this exchange costs more."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid, best ask and last trade from instant *at* on; USD for one BTC, ``bid <= ask``.

    *book* is the depth where it was recorded, *index_usd* the index where it is not the middle.
    """

    at: datetime
    bid_usd: Decimal
    ask_usd: Decimal
    last_usd: Decimal
    book: Book | None = field(default=None, repr=False)
    index_usd: Decimal | None = None

    @property
    def mid_usd(self) -> Decimal:
        """The middle between bid and ask."""
        return (self.bid_usd + self.ask_usd) / 2


@dataclass(frozen=True)
class PriceReplay:
    """Quotes in ascending order of time, and how many recorded seconds pass in one real second.

    Raises:
        ConfigurationError: If there are no quotes, their times are naive or do not ascend, a price is not
            above zero and at most `MAX_PRICE_USD`, or *speed* not above zero and at most `MAX_SPEED`.
    """

    quotes: tuple[Quote, ...] = field(repr=False)
    speed: Decimal = Decimal(1)
    _instants: tuple[datetime, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.quotes:
            raise ConfigurationError("replay: there are no quotes to replay; widen start and end")
        if not self.speed.is_finite() or not 0 < self.speed <= MAX_SPEED:
            raise ConfigurationError(
                f"replay: speed is {self.speed}, and must be greater than 0 and at most {MAX_SPEED:,}"
            )
        if any(quote.at.tzinfo is None for quote in self.quotes):
            raise ConfigurationError("replay: quote times need a time zone")
        for quote in self.quotes:
            if not 0 < quote.bid_usd <= quote.ask_usd <= MAX_PRICE_USD:
                raise ConfigurationError(
                    f"replay: bid {quote.bid_usd} and ask {quote.ask_usd} of {quote.at.isoformat()}"
                    f" must satisfy 0 < bid <= ask <= {MAX_PRICE_USD:,}"
                )
        instants = tuple(quote.at for quote in self.quotes)
        if any(later <= earlier for earlier, later in pairwise(instants)):
            raise ConfigurationError("replay: quote times must ascend")
        object.__setattr__(self, "_instants", instants)

    @property
    def starts_at(self) -> datetime:
        """The instant of the first quote."""
        return self._instants[0]

    @property
    def ends_at(self) -> datetime:
        """The instant of the last quote."""
        return self._instants[-1]

    def first_after(self, at: datetime) -> Quote | None:
        """Return the first quote later than *at*, None after the last one."""
        position = bisect_right(self._instants, at)
        return self.quotes[position] if position < len(self.quotes) else None

    def quote_at(self, at: datetime) -> Quote:
        """Return the last quote at or before *at*; the first one if *at* is before all of them."""
        return self.quotes[max(0, bisect_right(self._instants, at) - 1)]


class ReplayClock:
    """Where a replay stands: ``first quote + speed x seconds since start``, held at the last quote.

    Args:
        replay: What to walk through.
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(self, replay: PriceReplay, *, monotonic: Callable[[], float]) -> None:
        self.replay = replay
        self._monotonic = monotonic
        self._anchor_at = replay.starts_at
        self._running_since: float | None = None
        self._started = False

    def __repr__(self) -> str:
        return f"<ReplayClock at={self.at().isoformat()} started={self.started} finished={self.finished}>"

    @property
    def started(self) -> bool:
        """Whether the replay was ever started."""
        return self._started

    @property
    def finished(self) -> bool:
        """Whether the last quote has been reached."""
        return self.at() >= self.replay.ends_at

    def start(self) -> None:
        """Start, or go on after `pause`; nothing happens while it runs."""
        if self._running_since is None:
            self._running_since = self._monotonic()
            self._started = True

    def pause(self) -> None:
        """Hold the replay where it is."""
        self._anchor_at = self.at()
        self._running_since = None

    def at(self, monotonic_at: float | None = None) -> datetime:
        """Return the replayed instant at a past reading of the monotonic clock, or now."""
        if self._running_since is None:
            return self._anchor_at
        elapsed = (self._monotonic() if monotonic_at is None else monotonic_at) - self._running_since
        passed_secs = max(0.0, elapsed) * float(self.replay.speed)
        # Compared as a number: a long run at high speed fits neither a date nor a timedelta.
        if passed_secs >= (self.replay.ends_at - self._anchor_at).total_seconds():
            return self.replay.ends_at
        return self._anchor_at + timedelta(seconds=passed_secs)

    def jump(self, at: datetime) -> None:
        """Go to an instant of the history (kept within it); whether it runs stays as it is."""
        self._anchor_at = min(max(at, self.replay.starts_at), self.replay.ends_at)
        if self._running_since is not None:
            self._running_since = self._monotonic()

    def monotonic_of(self, at: datetime) -> float | None:
        """Return the reading of the monotonic clock at which a running replay comes to *at*."""
        if self._running_since is None:
            return None
        return self._running_since + (at - self._anchor_at).total_seconds() / float(self.replay.speed)

    def quote(self, monotonic_at: float | None = None) -> Quote:
        """Return the quote that holds at that reading of the monotonic clock, or now."""
        return self.replay.quote_at(self.at(monotonic_at))
