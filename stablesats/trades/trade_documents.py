"""What the dealer stores about trades, as Beanie documents.

The fields stand in classes of their own, out of which `stablesats.trades.trade_collections` makes what the
services use. An application that asks its own questions binds `UserTradeDocument` and its neighbours.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from beanie import Document, PydanticObjectId
from pydantic import BaseModel, ConfigDict, Field
from pymongo import ASCENDING, IndexModel

from medici_py import documents as medici_documents
from medici_py.instants import to_millisecond
from stablesats.trades.trade_source import ReceivedTrade
from stablesats.trades.user_trade import Unit, UserTrade

USER_TRADES: Final = "stablesats_user_trades"
TRADE_REVERTS: Final = "stablesats_trade_reverts"
QUARANTINE: Final = "stablesats_quarantine"
SOURCE_POSITIONS: Final = "stablesats_trade_positions"

Instant = medici_documents.Instant


class TradeState(StrEnum):
    """Where a trade stands. It is booked once and taken back once.

    Nothing leads back, except that a rejected one that is given again is received again.
    """

    RECEIVED = "received"
    BOOKED = "booked"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


TAKEN_BACK: Final = frozenset({TradeState.REVERTED, TradeState.CANCELLED})
"""The states of a trade that is as if it had never been."""


class RevertState(StrEnum):
    """Where a request to take a trade back stands.

    A settled one is pending again if the trade's row does not say that it was taken back: it was lost then,
    or restored from an older backup.
    """

    PENDING = "pending"
    SETTLED = "settled"
    REJECTED = "rejected"


class LiveReference(BaseModel):
    """The payments of a live trade: no two live trades have one in common."""

    model_config = ConfigDict(frozen=True)

    btc_tx_id: str | None = None
    usd_tx_id: str | None = None


def _index(name: str, *fields: str, unique: bool = False, only: Mapping[str, Any]) -> IndexModel:
    return IndexModel(
        [(field, ASCENDING) for field in fields], name=name, unique=unique, partialFilterExpression=dict(only)
    )


def _unique(field: str) -> IndexModel:
    return _index(f"{field}_once".replace(".", "_"), field, unique=True, only={field: {"$exists": True}})


class UserTradeFields(BaseModel):
    """A trade and what became of it.

    Attributes:
        id: The trade's own id.
        state: Where it stands.
        live_reference: Its payments while it is received or booked and has some; each unique by itself.
        received_at: When it was stored first.
        booked_at: When it was booked.
        reverted_at: When it was taken back, booked or not.
        ledger_journal_id: Its journal in the Stablesats book.
        correction_journal_id: The journal that took it back.
        traceparent: The trace context in which it was made.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    timestamp: Instant
    buy_unit: Unit
    buy_amount: int
    sell_unit: Unit
    sell_amount: int
    btc_tx_id: str | None = None
    usd_tx_id: str | None = None
    state: TradeState
    live_reference: LiveReference | None = None
    received_at: Instant
    booked_at: Instant | None = None
    reverted_at: Instant | None = None
    ledger_journal_id: PydanticObjectId | None = None
    correction_journal_id: PydanticObjectId | None = None
    traceparent: str | None = None

    class Settings:
        """Where Beanie finds it."""

        name = USER_TRADES
        keep_nulls = False
        indexes: tuple[IndexModel, ...] = (
            _unique("ledger_journal_id"),
            _unique("correction_journal_id"),
            _unique("live_reference.btc_tx_id"),
            _unique("live_reference.usd_tx_id"),
            _index("received", "timestamp", "_id", only={"state": TradeState.RECEIVED.value}),
        )

    def to_trade(self) -> UserTrade:
        """The trade as its source gave it."""
        return UserTrade(
            id=self.id,
            timestamp=self.timestamp,
            buy_unit=self.buy_unit,
            buy_amount=self.buy_amount,
            sell_unit=self.sell_unit,
            sell_amount=self.sell_amount,
            btc_tx_id=self.btc_tx_id,
            usd_tx_id=self.usd_tx_id,
        )


class TradeRevertFields(BaseModel):
    """A request to take a trade back.

    Attributes:
        id: The trade's id: one request is all there can be.
        state: Where the request stands; pending also while its trade has not come yet.
        trade_known: Whether its trade has come: only then there is something to do.
        requested_at: When it was stored first, or became pending again.
        settled_at: When it was done.
        traceparent: The trace context in which it was made.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    state: RevertState = RevertState.PENDING
    trade_known: bool = False
    requested_at: Instant
    settled_at: Instant | None = None
    traceparent: str | None = None

    class Settings:
        """Where Beanie finds it."""

        name = TRADE_REVERTS
        keep_nulls = False
        indexes: tuple[IndexModel, ...] = (
            _index(
                "pending_known",
                "trade_known",
                "requested_at",
                "_id",
                only={"state": RevertState.PENDING.value},
            ),
        )


class QuarantineFields(BaseModel):
    """Something that was set aside because it can never be booked as it is.

    Attributes:
        id: Made of source, line and text: the same thing is set aside once.
        source: The file, by its absolute path, or the source it came from.
        line: Its line there, from 1.
        text: What stood there, cut if long; of a trade, the trade.
        reason: What is wrong with it.
        trade_id: The trade's id, where it can be told.
        traceparent: The trace context in which it was made.
        first_seen: When it was set aside.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    source: str
    line: int | None = None
    text: str
    reason: str
    trade_id: str | None = None
    traceparent: str | None = None
    first_seen: Instant

    class Settings:
        """Where Beanie finds it."""

        name = QUARANTINE
        keep_nulls = False


class SourcePositionFields(BaseModel):
    """How far a stream of a source was read: everything before is stored.

    Attributes:
        id: Source and stream.
        position: In the source's own words.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: dict[str, str] = Field(alias="_id")
    position: dict[str, Any]

    class Settings:
        """Where Beanie finds it."""

        name = SOURCE_POSITIONS


class UserTradeDocument(UserTradeFields, Document):
    """A row of ``stablesats_user_trades``."""

    id: str = Field(alias="_id")  # type: ignore[assignment]


class TradeRevertDocument(TradeRevertFields, Document):
    """A row of ``stablesats_trade_reverts``."""

    id: str = Field(alias="_id")  # type: ignore[assignment]


class QuarantineDocument(QuarantineFields, Document):
    """A row of ``stablesats_quarantine``."""

    id: str = Field(alias="_id")  # type: ignore[assignment]


class SourcePositionDocument(SourcePositionFields, Document):
    """A row of ``stablesats_trade_positions``."""

    id: dict[str, str] = Field(alias="_id")  # type: ignore[assignment]


def received_row(received: ReceivedTrade, at: datetime, *, live: bool = True) -> dict[str, Any]:
    """The fields of a trade's first row; unless it is *live*, its payments are free for others."""
    trade = received.trade
    return {
        **trade.to_document(),
        "timestamp": to_millisecond(trade.timestamp),
        "state": TradeState.RECEIVED,
        "live_reference": live_reference(trade) if live else None,
        "received_at": to_millisecond(at),
        "traceparent": received.traceparent,
    }


def live_reference(trade: UserTrade) -> dict[str, str] | None:
    """The payments of *trade* as they are stored while it is live; None if it names none."""
    btc_tx_id, usd_tx_id = trade.reference or (None, None)
    named = {"btc_tx_id": btc_tx_id, "usd_tx_id": usd_tx_id}
    return {name: tx_id for name, tx_id in named.items() if tx_id is not None} or None


def holders_of(live: Mapping[str, str]) -> dict[str, Any]:
    """A filter for the live trades that have one of the payments *live*."""
    return {"$or": [{f"live_reference.{name}": tx_id} for name, tx_id in live.items()]}


def trade_differences(stored: UserTrade, given: UserTrade) -> dict[str, tuple[object, object]]:
    """Each field of *given* that is not what *stored* has, as (stored, given); times to the millisecond."""
    old, new = stored.to_document(), given.to_document()
    for row in (old, new):
        row["timestamp"] = to_millisecond(row["timestamp"])
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}
