"""The order slot: at most one open hedge order an account, written down before it is sent.

The slot is a unique partial index on (account) over the open states, so it holds across processes and
crashes. Every step from one state to the next is a compare-and-set on the state that it starts from: of
two processes that take the same step one does, and the other learns that it did not.

The orders of an account are numbered: only the holder of the slot gets the next number, so "the last order"
means the same to every process, whatever its clock says. Reads and writes are those of a majority on the
primary, also when the connection string prefers secondaries.
"""

import secrets
import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from bson import Decimal128
from pymongo import ASCENDING, DESCENDING, ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from stablesats.errors import StablesatsError
from stablesats.hedging.order_lifecycle import HedgeOrder, OrderIntent, SlotState
from stablesats.okx import Order, OrderSide

HEDGE_ORDERS: Final = "stablesats_hedge_orders"
_CLIENT_ID_ALPHABET: Final = string.ascii_letters + string.digits
_CLIENT_ID_LENGTH: Final = 32


class SlotTakenError(StablesatsError):
    """Another open order holds the slot of this account."""


class SlotLostError(StablesatsError):
    """The order is no longer in the state that this step starts from: another process settled it."""


def new_client_order_id() -> str:
    """A random id that OKX accepts (letters and digits, 32 of them) and that never repeats."""
    return "".join(secrets.choice(_CLIENT_ID_ALPHABET) for _ in range(_CLIENT_ID_LENGTH))


class OrderSlots:
    """The hedge orders of one exchange account and instrument. Safe for any number of processes."""

    def __init__(
        self,
        database: Any,
        *,
        account: str,
        instrument: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = new_client_order_id,
    ) -> None:
        """Keep the orders of *account* on *instrument* in *database*.

        Args:
            database: A PyMongo Async or Motor database.
            account: Names the exchange account; orders of different accounts do not block each other.
            instrument: The instrument, for example ``BTC-USD-SWAP``.
            now: The clock for the times that are written down.
            new_id: Where client order ids come from.
        """
        self._orders: Any = database[HEDGE_ORDERS].with_options(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )
        self._account = account
        self._instrument = instrument
        self._now = now
        self._new_id = new_id

    async def prepare(self) -> None:
        """Create the indexes that make the slot exclusive and the numbers unique. Idempotent."""
        await self._orders.create_index(
            [("account", ASCENDING)],
            name="one_open_order_per_account",
            unique=True,
            partialFilterExpression={"open": True},
        )
        await self._orders.create_index(
            [("account", ASCENDING), ("sequence", DESCENDING)], name="numbered_per_account", unique=True
        )

    async def reserve(self) -> HedgeOrder:
        """Take the slot under a fresh client order id and the next number.

        Raises:
            SlotTakenError: If an open order holds the slot, or somebody took it in this moment. Nothing is
                written.
        """
        newest = await self._newest({"account": self._account})
        order = HedgeOrder(
            client_order_id=self._new_id(),
            account=self._account,
            sequence=1 if newest is None else newest.sequence + 1,
            instrument=self._instrument,
            state=SlotState.RESERVED,
            reserved_at=self._now(),
        )
        row = {
            "_id": order.client_order_id,
            "account": order.account,
            "sequence": order.sequence,
            "instrument": order.instrument,
            "open": True,
            "state": order.state.value,
            "reserved_at": order.reserved_at,
        }
        try:
            await self._orders.insert_one(row)
        except DuplicateKeyError as error:
            msg = f"{self._account} has an open order already"
            raise SlotTakenError(msg) from error
        return order

    async def release(self, order: HedgeOrder) -> HedgeOrder:
        """Give a slot back that was reserved and not used.

        Raises:
            SlotLostError: If it is not reserved any more.
        """
        return await self._step(order, SlotState.ABANDONED, {})

    async def mark_sent(self, order: HedgeOrder, intent: OrderIntent, *, expires_at: datetime) -> HedgeOrder:
        """Write down what is about to leave, and until when (on its own clock) the exchange may accept it.

        Must succeed before the first byte is sent.

        Raises:
            SlotLostError: If it is not reserved any more; then it must not be sent.
        """
        facts = {**_intent_document(intent), "sent_at": self._now(), "expires_at": expires_at}
        return await self._step(order, SlotState.SENT, facts)

    async def mark_accepted(self, order: HedgeOrder, exchange_order_id: str) -> HedgeOrder:
        """Write down that the exchange has acknowledged *order*."""
        return await self._step(order, SlotState.ACCEPTED, {"exchange_order_id": exchange_order_id})

    async def mark_refused(self, order: HedgeOrder, *, code: str, message: str) -> HedgeOrder:
        """Write down that the exchange refused *order*, and free the slot."""
        return await self._step(order, SlotState.REFUSED, {"refusal": {"code": code, "message": message}})

    async def mark_missing(self, order: HedgeOrder, state: SlotState) -> HedgeOrder:
        """Write down what an order is that the exchange does not know (`state_of_missing`)."""
        return await self._step(order, state, {})

    async def mark_seen(self, order: HedgeOrder, seen: Order, state: SlotState) -> HedgeOrder:
        """Write down what the exchange says about *order*; a final *state* frees the slot."""
        facts = {
            "exchange_order_id": seen.order_id,
            "filled_contracts": Decimal128(seen.filled_contracts),
            "average_price_usd": _decimal128(seen.average_price_usd),
            "fee_btc": _decimal128(seen.fee_btc),
        }
        return await self._step(order, state, facts)

    async def open_order(self) -> HedgeOrder | None:
        """The order that holds the slot, if any."""
        return await self._newest({"account": self._account, "open": True})

    async def last_executed(self) -> HedgeOrder | None:
        """The newest order of which something was executed, if any."""
        return await self._newest({"account": self._account, "filled_contracts": {"$gt": 0}})

    async def _newest(self, matching: Mapping[str, object]) -> HedgeOrder | None:
        found = await self._orders.find_one(matching, sort=[("sequence", DESCENDING)])
        return None if found is None else _from_document(found)

    async def _step(self, order: HedgeOrder, state: SlotState, facts: Mapping[str, object]) -> HedgeOrder:
        changes: dict[str, object] = {**facts, "state": state.value, "updated_at": self._now()}
        update: dict[str, object] = {"$set": changes}
        if not state.is_open:
            changes["settled_at"] = self._now()
            update["$unset"] = {"open": ""}
        found = await self._orders.find_one_and_update(
            {"_id": order.client_order_id, "state": order.state.value},
            update,
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            msg = f"order {order.client_order_id} is no longer {order.state}; another process has moved it on"
            raise SlotLostError(msg)
        return _from_document(found)


def _intent_document(intent: OrderIntent) -> dict[str, object]:
    return {
        "side": intent.side.value,
        "size_contracts": Decimal128(intent.size_contracts),
        "reduce_only": intent.reduce_only,
        "action": intent.action,
        "target_cents": intent.target_cents,
        "exposure_before_cents": intent.exposure_before_cents,
        "position_before_contracts": Decimal128(intent.position_before_contracts),
    }


def _intent(row: Mapping[str, Any]) -> OrderIntent | None:
    if "size_contracts" not in row:
        return None
    return OrderIntent(
        side=OrderSide(row["side"]),
        size_contracts=row["size_contracts"].to_decimal(),
        reduce_only=row["reduce_only"],
        action=row["action"],
        target_cents=row["target_cents"],
        exposure_before_cents=row["exposure_before_cents"],
        position_before_contracts=row["position_before_contracts"].to_decimal(),
    )


def _from_document(row: Mapping[str, Any]) -> HedgeOrder:
    filled = row.get("filled_contracts")
    return HedgeOrder(
        client_order_id=row["_id"],
        account=row["account"],
        sequence=row["sequence"],
        instrument=row["instrument"],
        state=SlotState(row["state"]),
        reserved_at=_aware(row["reserved_at"]),
        intent=_intent(row),
        expires_at=_aware(row["expires_at"]) if "expires_at" in row else None,
        filled_contracts=Decimal(0) if filled is None else filled.to_decimal(),
        settled_at=_aware(row["settled_at"]) if "settled_at" in row else None,
    )


def _aware(stored: datetime) -> datetime:
    """Times in MongoDB are UTC; a client without ``tz_aware`` hands them out naive."""
    return stored if stored.tzinfo is not None else stored.replace(tzinfo=UTC)


def _decimal128(value: Decimal | None) -> Decimal128 | None:
    return None if value is None else Decimal128(value)
