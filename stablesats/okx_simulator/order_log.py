"""Every order that was ever accepted, by each of its ids, and each change of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.orders import Order, OrderState
from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from stablesats.okx_simulator.accounts import Fill

# An order cancelled without any fill can be queried for two hours.
_UNFILLED_KEPT: Final = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class OrderChange:
    """An order as it was after one change; *fill* is the execution that changed it, if one did."""

    order: Order
    fill: Fill | None


class OrderLog:
    """Orders by order id and by client order id, oldest first."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._pending: dict[str, None] = {}
        self._newest_by_client_id: dict[str, str] = {}
        self._changes: list[OrderChange] = []

    def __repr__(self) -> str:
        return f"<OrderLog orders={len(self._orders)} pending={len(self._pending)}>"

    def __len__(self) -> int:
        return len(self._orders)

    @property
    def orders(self) -> Sequence[Order]:
        """Every order, oldest first."""
        return tuple(self._orders.values())

    @property
    def pending(self) -> Sequence[Order]:
        """Orders that may still trade, oldest first."""
        return tuple(self._orders[order_id] for order_id in self._pending)

    @property
    def change_count(self) -> int:
        """How many changes there have been since the log was made."""
        return len(self._changes)

    def changes_since(self, count: int) -> Sequence[OrderChange]:
        """Return the changes after the first *count*."""
        return self._changes[count:]

    def put(self, order: Order, fill: Fill | None = None) -> Order:
        """Keep a new order, or the newer form of one, and return it."""
        if order.order_id not in self._orders and order.ticket.client_order_id:
            self._newest_by_client_id[order.ticket.client_order_id] = order.order_id
        self._orders[order.order_id] = order
        if order.state.is_final:
            self._pending.pop(order.order_id, None)
        else:
            self._pending[order.order_id] = None
        self._changes.append(OrderChange(order, fill))
        return order

    def restore(self, orders: Sequence[Order]) -> None:
        """Take over the orders of a saved state, oldest first; they are no changes."""
        for order in orders:
            self.put(order)
        self._changes.clear()

    def __getitem__(self, order_id: str) -> Order:
        return self._orders[order_id]

    def check_client_id(self, client_order_id: str, *, never_again: bool) -> None:
        """Refuse a client order id of a pending order, or with *never_again* of any order (51016)."""
        newest = self._newest_by_client_id.get(client_order_id)
        if newest is not None and (never_again or not self._orders[newest].state.is_final):
            raise RefusalError("51016")

    def find(self, order_id: str, client_order_id: str) -> Order | None:
        """Return an order; *order_id* wins, and of several with one client id the newest.

        Raises:
            RefusalError: 51003 without any id.
        """
        if not (order_id or client_order_id):
            raise RefusalError("51003")
        return self._orders.get(order_id or self._newest_by_client_id.get(client_order_id, ""))


def is_forgotten(order: Order, now: datetime) -> bool:
    """Tell whether *order* was cancelled unfilled so long ago that the exchange denies it."""
    unfilled = order.state is OrderState.CANCELED and not order.filled_contracts
    return unfilled and now - order.updated_at > _UNFILLED_KEPT
