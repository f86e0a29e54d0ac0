"""`UserTrade`: a user gave one currency and got the other. A value; nothing here knows the ledger."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from stablesats.errors import StablesatsError

LARGEST_AMOUNT: Final = 2**63 - 1
"""What fits a 64-bit integer: four thousand times all the satoshi there will ever be."""


LONGEST_TEXT: Final = 256
"""Characters of an id: more than any backend's, and few enough for an index."""


class UserTradeError(StablesatsError, ValueError):
    """A field of a trade is unusable, or the fields contradict each other; the message names both."""


class Unit(StrEnum):
    """What an amount of a trade counts."""

    USD_CENT = "usd_cent"
    SATOSHI = "satoshi"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTrade:
    """A trade as seen by the user.

    Attributes:
        id: Identifies the trade for ever; a trade is booked once an id.
        timestamp: When it took place (timezone-aware); kept in UTC.
        buy_unit: What the user got.
        buy_amount: How much of it, whole and above zero.
        sell_unit: What the user gave; the other unit.
        sell_amount: How much of it, whole and above zero.
        btc_tx_id: The wallet transaction that moved the bitcoin, if known.
        usd_tx_id: The wallet transaction that moved the dollars, if known.

    Raises:
        UserTradeError: If the fields contradict each other.
    """

    id: str
    timestamp: datetime
    buy_unit: Unit
    buy_amount: int
    sell_unit: Unit
    sell_amount: int
    btc_tx_id: str | None = None
    usd_tx_id: str | None = None

    def __post_init__(self) -> None:
        if type(self.id) is not str or not self.id:
            msg = f"a trade needs a text as its id, got {self.id!r}: it keeps it from being booked twice"
            raise UserTradeError(msg)
        require_text("id", self.id)
        for name, tx_id in (("btc_tx_id", self.btc_tx_id), ("usd_tx_id", self.usd_tx_id)):
            if tx_id is not None:
                require_text(f"trade {self.id!r}: {name}", tx_id)
        if self.timestamp.utcoffset() is None:
            msg = f"trade {self.id!r}: timestamp {self.timestamp.isoformat()} has no time zone"
            raise UserTradeError(msg)
        object.__setattr__(self, "timestamp", _in_utc(self.id, self.timestamp))
        for name, unit in (("buy_unit", self.buy_unit), ("sell_unit", self.sell_unit)):
            if not isinstance(unit, Unit):
                msg = f"trade {self.id!r}: {name} must be a Unit (satoshi or usd_cent), got {unit!r}"
                raise UserTradeError(msg)
        if self.buy_unit is self.sell_unit:
            msg = f"trade {self.id!r}: both sides are in {self.buy_unit}; one must be satoshi, one usd_cent"
            raise UserTradeError(msg)
        for name, amount in (("buy_amount", self.buy_amount), ("sell_amount", self.sell_amount)):
            # A bool is an int to isinstance.
            if type(amount) is not int or not 0 < amount <= LARGEST_AMOUNT:
                msg = f"trade {self.id!r}: {name} must be whole, above zero and below 2^63, got {amount!r}"
                raise UserTradeError(msg)

    @property
    def user_buys_usd(self) -> bool:
        """Whether the user got dollars (the dealer owes more) rather than bitcoin."""
        return self.buy_unit is Unit.USD_CENT

    @property
    def sats(self) -> int:
        """The bitcoin side, in satoshi."""
        return self.sell_amount if self.user_buys_usd else self.buy_amount

    @property
    def cents(self) -> int:
        """The dollar side, in cents."""
        return self.buy_amount if self.user_buys_usd else self.sell_amount

    @property
    def reference(self) -> tuple[str | None, str | None] | None:
        """What identifies the trade at its backend, as (btc_tx_id, usd_tx_id); None if nothing does."""
        pair = (self.btc_tx_id, self.usd_tx_id)
        return None if pair == (None, None) else pair

    def to_document(self) -> dict[str, Any]:
        """The trade as it is stored, without what booking adds."""
        return {
            "_id": self.id,
            "timestamp": self.timestamp,
            "buy_unit": self.buy_unit.value,
            "buy_amount": self.buy_amount,
            "sell_unit": self.sell_unit.value,
            "sell_amount": self.sell_amount,
            "btc_tx_id": self.btc_tx_id,
            "usd_tx_id": self.usd_tx_id,
        }


def _in_utc(trade_id: str, timestamp: datetime) -> datetime:
    try:
        return timestamp.astimezone(UTC)
    except OverflowError as error:
        msg = f"trade {trade_id!r}: timestamp {timestamp.isoformat()} lies outside the years 1 to 9999 in UTC"
        raise UserTradeError(msg) from error


def require_text(name: str, value: object) -> None:
    """Check that *value* can identify something: a text, not empty, not too long, storable.

    Raises:
        UserTradeError: If it is not; the message begins with *name*.
    """
    if type(value) is not str or not 0 < len(value) <= LONGEST_TEXT:
        shown = repr(value) if len(repr(value)) <= LONGEST_TEXT else f"{repr(value)[:LONGEST_TEXT]}..."
        msg = f"{name} must be a text of 1 to {LONGEST_TEXT} characters, got {shown}"
        raise UserTradeError(msg)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        msg = f"{name} has half a character at {error.start}: {value!r} cannot be stored"
        raise UserTradeError(msg) from error
