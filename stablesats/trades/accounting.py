"""Trades into the ledger, each exactly once.

A trade's row and its journal are written in one MongoDB transaction, and the row's ``_id`` is the trade's
own id. So a trade is either booked completely or not at all, and a repeat, also from another process or
after a crash, finds the row and posts nothing. It looks inside the transaction as well: what it finds is
held by a majority once the transaction has committed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from medici_py import Journal, mongo_transaction
from stablesats.errors import StablesatsError
from stablesats.ledger.facade import Ledger
from stablesats.trades.user_trade import UserTrade

USER_TRADES: Final = "stablesats_user_trades"


class TradeConflictError(StablesatsError):
    """The id of a trade has been booked with other content; nothing was written."""

    def __init__(self, trade_id: str, differences: dict[str, tuple[object, object]]) -> None:
        """Name the trade and every field that differs, as (booked, given)."""
        self.trade_id = trade_id
        self.differences = differences
        named = ", ".join(
            f"{name}: booked {old!r}, given {new!r}" for name, (old, new) in differences.items()
        )
        super().__init__(f"trade {trade_id!r} is booked already with other content ({named})")


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """Where a trade stands in the ledger.

    Attributes:
        trade: The trade.
        journal_id: Its journal in the Stablesats book.
        replayed: True when it had been booked before and this call wrote nothing.
    """

    trade: UserTrade
    journal_id: ObjectId
    replayed: bool


class Trades:
    """The trades that have been booked, and the way to book more. Safe for any number of tasks."""

    def __init__(self, ledger: Ledger, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Store trades in the database of *ledger*; *now* says when a trade was booked."""
        self._ledger = ledger
        self._now = now
        self._rows: Any = ledger.database[USER_TRADES]

    async def prepare(self) -> None:
        """Create the collection, so that the first trades do not race to make it. Idempotent."""
        await self._ledger.prepare()
        await self._rows.create_index("ledger_journal_id", unique=True)

    async def book(self, trade: UserTrade) -> BookedTrade:
        """Book *trade* unless it is booked already.

        Atomic, and safe to repeat after any error, from any number of tasks and processes at once.

        Raises:
            TradeConflictError: If its id was booked with other content. Nothing is written.
            MediciError: If the ledger could not be written; `UnknownOutcomeError` if it may have been.
        """

        async def look_or_book(session: Any) -> BookedTrade:
            row = await self._rows.find_one({"_id": trade.id}, session=session)
            if row is not None:
                return _booked_before(trade, row)
            journal = await self._post(trade, session)
            row = {**trade.to_document(), "ledger_journal_id": journal.id, "booked_at": self._now()}
            await self._rows.insert_one(row, session=session)
            return BookedTrade(trade, journal.id, replayed=False)

        while True:
            try:
                return await mongo_transaction(self._ledger.database.client, look_or_book)
            except DuplicateKeyError as error:
                # Booked elsewhere between our look and our row: the next look sees it. Any other
                # duplicate is not ours to explain.
                if (error.details or {}).get("keyPattern") != {"_id": 1}:
                    raise

    async def count(self) -> int:
        """How many trades are booked."""
        count: int = await self._rows.count_documents({})
        return count

    async def _post(self, trade: UserTrade, session: Any) -> Journal:
        post = self._ledger.user_buys_usd if trade.user_buys_usd else self._ledger.user_sells_usd
        reference = {
            name: value
            for name, value in (
                ("trade_id", trade.id),
                ("btc_tx_id", trade.btc_tx_id),
                ("usd_tx_id", trade.usd_tx_id),
            )
            if value is not None
        }
        return await post(
            sats=trade.sats, cents=trade.cents, at=trade.timestamp, reference=reference, session=session
        )


def _booked_before(trade: UserTrade, row: Mapping[str, Any]) -> BookedTrade:
    differences = {
        name: (row.get(name), value)
        for name, value in trade.to_document().items()
        if not _same_stored(row.get(name), value)
    }
    if differences:
        raise TradeConflictError(trade.id, differences)
    return BookedTrade(trade, row["ledger_journal_id"], replayed=True)


def _same_stored(stored: object, given: object) -> bool:
    """Whether *given* would be stored as *stored*: MongoDB keeps milliseconds and, by default, no zone."""
    if isinstance(stored, datetime) and isinstance(given, datetime):
        aware = stored if stored.tzinfo is not None else stored.replace(tzinfo=UTC)
        cut = given.astimezone(UTC)
        return aware == cut.replace(microsecond=cut.microsecond // 1000 * 1000)
    return stored == given
