"""The calls about orders and their fills."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from stablesats.okx import answers, calls
from stablesats.okx.answers import BatchOutcome
from stablesats.okx.errors import OrderNotFoundError, PositionNotFoundError
from stablesats.okx.messages import Fill, Order, OrderAck, OrderSide
from stablesats.okx.new_order import NewOrder
from stablesats.okx.order_alarms import alarm_unknown_states
from stablesats.okx.page import NEWEST, Page
from stablesats.okx.sender import RequestSender

SETTLING_GRACE: Final = timedelta(seconds=10)
"""Right after accepting an order OKX may say for a moment that it does not exist."""


class Trading(RequestSender):
    """Orders in cross margin and net mode, each known by our client order id."""

    async def place_market_order(
        self,
        inst_id: str,
        side: OrderSide,
        size_contracts: Decimal | int,
        client_order_id: str,
        *,
        expires_at: datetime,
        reduce_only: bool = False,
    ) -> OrderAck:
        """Send a market order, once, and return that OKX accepted it; ask `order` what was filled.

        Args:
            inst_id: Such as ``BTC-USD-SWAP``.
            side: Buy or sell.
            size_contracts: Contracts, above zero, a multiple of the instrument's lot.
            client_order_id: Our id, 1 to 32 letters and digits, new for every order.
            expires_at: Instant on **OKX's** clock (`exchange_now`, `server_time`) after which OKX drops the
                order. It is sent as it is: once `server_time` is past it, the order can no longer arrive.
            reduce_only: Whether the order may only make the position smaller.

        Raises:
            OkxInvalidRequestError: An argument breaks a rule above; not sent.
            OrderExpiredError: The expiry has passed, here or at OKX; not executed. OKX's clock has been
                measured again by then.
            OkxRefusedError: Refused, with a leaf for what a caller may act on; not executed.
            OkxUnreachableError: No connection, or no telling OKX's time; not sent.
            OkxOutcomeUnknownError: Perhaps executed: settle it by `order`.
        """
        call = calls.market_order(
            inst_id, side, size_contracts, client_order_id, expires_at=expires_at, reduce_only=reduce_only
        )
        return answers.order_ack_of(await self._write(call), call)

    async def place_order(self, inst_id: str, order: NewOrder, *, expires_at: datetime) -> OrderAck:
        """Send an order of any type, once, and return that OKX accepted it.

        Raises:
            OkxError: As for `place_market_order`.
        """
        call = calls.new_order(inst_id, order, expires_at=expires_at)
        return answers.order_ack_of(await self._write(call), call)

    async def place_orders(
        self, inst_id: str, orders: Sequence[NewOrder], *, expires_at: datetime
    ) -> dict[str, BatchOutcome]:
        """Send 1 to 20 orders at once; each stands or falls by itself.

        Returns:
            What became of each, by client order id: an `OrderAck`, the `OkxRefusedError` or the
            `OkxOutcomeUnknownError`. They are values here, since some may be accepted and others not.

        Raises:
            OkxRefusedError: All of them were refused as a whole; none executed.
            OkxOutcomeUnknownError: Nothing is known of any of them: settle each by `order`.
            OkxError: As for `place_market_order`.
        """
        call = calls.batch_orders(inst_id, orders, expires_at=expires_at)
        return answers.batch_outcomes_of(await self._write(call), call)

    async def cancel_order(self, inst_id: str, client_order_id: str) -> OrderAck:
        """Ask OKX, once, to cancel a pending order; accepted is not yet cancelled, so ask `order`.

        Raises:
            OrderNotPendingError: It is filled, cancelled already or unknown.
            OkxError: As for `place_market_order`.
        """
        call = calls.cancel_order(inst_id, client_order_id)
        return answers.order_ack_of(await self._write(call), call)

    async def order(self, inst_id: str, client_order_id: str) -> Order:
        """Return the newest order under *client_order_id*.

        Raises:
            OrderNotFoundError: OKX has none. That proves that it never arrived only once `server_time` is
                past its expiry; OKX also forgets an order that was cancelled unfilled, after two hours.
        """
        call = calls.order_details(inst_id, client_order_id)
        rows = await self._read(call)
        order = answers.order_of(rows, call)
        alarm_unknown_states([order], rows)
        return order

    async def order_by_id(self, inst_id: str, order_id: str) -> Order:
        """Return the order under OKX's id, such as one made by hand or by a liquidation.

        Raises:
            OrderNotFoundError: OKX has none, or has forgotten it.
        """
        call = calls.order_by_id(inst_id, order_id)
        rows = await self._read(call)
        order = answers.order_by_id_of(rows, call, order_id)
        alarm_unknown_states([order], rows)
        return order

    async def settle_order(
        self,
        inst_id: str,
        client_order_id: str,
        *,
        expires_at: datetime,
        grace: timedelta = SETTLING_GRACE,
        poll_secs: float = 1.0,
    ) -> Order | None:
        """Find out what became of an order whose outcome is unknown, by asking until that is certain.

        Args:
            inst_id: As it was sent.
            client_order_id: As it was sent.
            expires_at: As it was sent: OKX drops the order once its clock is past it.
            grace: How much longer OKX may deny an order that it has accepted.
            poll_secs: Pause between two questions.

        Returns:
            The order, which need not be final yet; or None if it certainly never was: OKX did not know it,
            and its clock was past the expiry, and the grace, before it was asked.

        Raises:
            OkxError: As for `order`, except that it is not found. Nothing is certain then: call it again.
        """
        given_up_after = expires_at + grace
        while True:
            # The clock first, then the question: only a "no" after that time proves anything. Before it by
            # our own reckoning there is no need to ask for the clock.
            is_too_late = self.exchange_now() > given_up_after and await self.server_time() > given_up_after
            try:
                return await self.order(inst_id, client_order_id)
            except OrderNotFoundError:
                if is_too_late:
                    return None
            await asyncio.sleep(poll_secs)

    async def close_position(self, inst_id: str, client_order_id: str) -> bool:
        """Close the whole position at the market, sent once; ask `order` for the fill, under the same id.

        Closing twice is harmless, the second finds nothing. But OKX offers no expiry here: a close that is
        held up closes whatever position there is by then. Where that matters, send a reduce-only order.

        Returns:
            True if OKX accepted it, False if there was no position.

        Raises:
            OkxError: As for `place_market_order`.
        """
        call = calls.close_position(inst_id, client_order_id)
        try:
            answers.close_accepted(await self._write(call), call)
        except PositionNotFoundError:
            return False
        return True

    async def pending_orders(self, inst_id: str, page: Page = NEWEST) -> list[Order]:
        """Return the orders that are not final, newest first; pages are keyed by order id."""
        call = calls.pending_orders(inst_id, page)
        rows = await self._read(call)
        orders = answers.every_row(Order, rows, call)
        alarm_unknown_states(orders, rows)
        return orders

    async def order_history(self, inst_id: str, page: Page = NEWEST, *, archive: bool = False) -> list[Order]:
        """Return final orders of 7 days (3 months from the *archive*), newest first, keyed by order id.

        Orders that were cancelled unfilled are gone from it after two hours.
        """
        call = calls.order_history(inst_id, page, archive=archive)
        rows = await self._read(call)
        orders = answers.every_row(Order, rows, call)
        alarm_unknown_states(orders, rows)
        return orders

    async def fills(
        self, inst_id: str, page: Page = NEWEST, *, order_id: str = "", archive: bool = False
    ) -> list[Fill]:
        """Return trades of 3 days (3 months from the *archive*), newest first, keyed by bill id.

        Args:
            inst_id: Such as ``BTC-USD-SWAP``.
            page: Which part of the list.
            order_id: OKX's id of the one order to list; ``""`` for all.
            archive: Whether to ask for 3 months instead of 3 days.
        """
        call = calls.fills(inst_id, page, order_id=order_id, archive=archive)
        return answers.every_row(Fill, await self._read(call), call)
