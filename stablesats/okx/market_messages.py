"""What OKX answers about the market: the book, the mark price, the funding rate, maintenance.

Prices are USD per bitcoin, sizes are contracts, rates are fractions (0.0001 is 0.01 %).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import Field

from stablesats.okx.amounts import parse_amount
from stablesats.okx.fields import Amount, Instant, Message, NonEmpty, OptionalInstant, PositiveAmount, Text


@dataclass(frozen=True, slots=True)
class BookLevel:
    """The orders resting at one price; in an update, a size of zero removes the price.

    Attributes:
        price_usd: The price, with the digits OKX sent.
        size_contracts: All of them together, with the digits OKX sent.
        orders: How many they are.
    """

    price_usd: Decimal
    size_contracts: Decimal
    orders: int


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Both sides of the book at one moment, best price first.

    Attributes:
        at: OKX's time of the last change in it.
        sequence: OKX's number of that change; None where OKX sends none.
    """

    inst_id: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    at: datetime
    sequence: int | None = None

    @property
    def best_bid(self) -> BookLevel | None:
        """The highest price somebody buys at; None if nobody does."""
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> BookLevel | None:
        """The lowest price somebody sells at; None if nobody does."""
        return self.asks[0] if self.asks else None

    @property
    def is_crossed(self) -> bool:
        """Whether somebody buys above the lowest sale: no real book does, so this one is broken."""
        return bool(self.bids and self.asks) and self.bids[0].price_usd > self.asks[0].price_usd


def read_levels(rows: object) -> tuple[BookLevel, ...]:
    """Read one side of a book as OKX writes it: ``[price, contracts, "0", orders]`` a level.

    Raises:
        ValueError: If one is not of this shape, its price not above zero or its size negative.
    """
    if not isinstance(rows, list):
        raise ValueError(f"expected a list of levels, found {type(rows).__name__}")  # noqa: TRY004
    return tuple(_read_level(row) for row in rows)


def _read_level(row: object) -> BookLevel:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) < 2:
        raise ValueError(f"expected a level of price and size, found {str(row)[:64]!r}")
    price, size = parse_amount(row[0]), parse_amount(row[1])
    orders = str(row[3]) if len(row) > 3 else "0"
    if price is None or price <= 0 or size is None or size < 0 or not orders.isdecimal():
        raise ValueError(f"expected a level of price and size, found {str(row)[:64]!r}")
    return BookLevel(price, size, int(orders))


class MarkPrice(Message):
    """The price that margin, profit and liquidation are counted at."""

    inst_id: NonEmpty = Field(validation_alias="instId")
    mark_usd: PositiveAmount = Field(validation_alias="markPx")
    at: Instant = Field(validation_alias="ts")


class FundingRate(Message):
    """What shorts get from longs at the next settlement (a negative rate: what they pay), as forecast.

    Attributes:
        rate: Fraction of the position's value at the mark price.
        settles_at: When it is charged to whoever holds a position then.
        next_settles_at: The settlement after that; None if OKX does not say.
    """

    inst_id: NonEmpty = Field(validation_alias="instId")
    rate: Amount = Field(validation_alias="fundingRate")
    settles_at: Instant = Field(validation_alias="fundingTime")
    next_settles_at: OptionalInstant = Field(default=None, validation_alias="nextFundingTime")
    at: OptionalInstant = Field(default=None, validation_alias="ts")


class Maintenance(Message):
    """Maintenance of OKX, announced or under way.

    Attributes:
        state: ``scheduled``, ``ongoing``, ``pre_open``, ``completed``, ``canceled``.
    """

    title: Text = ""
    state: NonEmpty
    begins_at: OptionalInstant = Field(default=None, validation_alias="begin")
    ends_at: OptionalInstant = Field(default=None, validation_alias="end")

    @property
    def is_ongoing(self) -> bool:
        """Whether it is under way."""
        return self.state == "ongoing"
