"""The exchange behind the protocol: one account, its orders and fills, and the market they trade on.

Everything is synchronous and single-threaded: a method runs to its end before the next one starts, so
each is atomic without a lock. Orders that fill later are settled by `Exchange.advance`, which every
entry point calls first; each fills at the price of the moment it was due, so nothing depends on when a
client happens to ask.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from stablesats.okx_simulator import accounts
from stablesats.okx_simulator.accounts import Account
from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.config import is_btc_amount
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.market import Side, initial_margin_btc
from stablesats.okx_simulator.orders import (
    CancelSource,
    Order,
    OrderState,
    OrderTicket,
    canceled,
    tradable_contracts,
    with_fill,
)
from stablesats.okx_simulator.prices import PriceFeed
from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from decimal import Decimal

    from stablesats.okx_simulator.accounts import Fill, Margin
    from stablesats.okx_simulator.config import SimulatorConfig
    from stablesats.okx_simulator.prices import MarketPrice

# Nineteen digits, as today's ids of the venue have: above 2^53, so a client must keep them as text.
_FIRST_ORDER_ID = 1_400_000_000_000_000_000
_FIRST_BILL_ID = 2_400_000_000_000_000_000
_FIRST_TRADE_ID = 300_000_000
_SEED_STRIDE = 10**12
# An order cancelled without any fill can be queried for two hours.
_UNFILLED_KEPT = timedelta(hours=2)


class Exchange:
    """State and rules of the simulated exchange, without any protocol.

    Args:
        config: Starting balances, prices and terms.
        now: Wall clock, aware UTC.
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(
        self, config: SimulatorConfig, *, now: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self.instrument = config.instrument
        self.feed = PriceFeed(config.price_usd, config.replay, monotonic=monotonic)
        self.funding_btc = config.funding_btc
        self._now = now
        self._monotonic = monotonic
        self._fill_delay_secs = config.fill_delay_ms / 1000
        self._unique_client_ids = config.unique_client_ids
        self._account = Account(deposited_btc=config.trading_btc, lever=config.lever, updated_at=now())
        self._orders: dict[str, Order] = {}
        self._newest_by_client_id: dict[str, str] = {}
        self._due_secs: dict[str, float] = {}
        self._hidden_until_secs: dict[str, float] = {}
        self._fills: list[Fill] = []
        offset = Random(config.seed).randrange(1000) * _SEED_STRIDE  # noqa: S311
        self._order_ids = count(_FIRST_ORDER_ID + offset)
        self._bill_ids = count(_FIRST_BILL_ID + offset)
        self._trade_ids = count(_FIRST_TRADE_ID)

    def __repr__(self) -> str:
        return (
            f"<Exchange position={self._account.contracts} cash_btc={self._account.cash_btc}"
            f" orders={len(self._orders)} fills={len(self._fills)}>"
        )

    @property
    def account(self) -> Account:
        """The trading account as it stands."""
        return self._account

    @property
    def price(self) -> MarketPrice:
        """The market as it stands."""
        return self.feed.price()

    @property
    def orders(self) -> Sequence[Order]:
        """Every order ever accepted, oldest first."""
        return tuple(self._orders.values())

    @property
    def order_count(self) -> int:
        """How many orders were ever accepted."""
        return len(self._orders)

    @property
    def fills(self) -> Sequence[Fill]:
        """Every fill, oldest first."""
        return tuple(self._fills)

    @property
    def last_fill(self) -> Fill | None:
        """The newest fill."""
        return self._fills[-1] if self._fills else None

    @property
    def pending_orders(self) -> Sequence[Order]:
        """Orders that may still trade, oldest first."""
        return tuple(self._orders[order_id] for order_id in self._due_secs)

    @property
    def order_frozen_btc(self) -> Decimal:
        """Margin that pending orders hold back."""
        return sum((order.frozen_btc for order in self.pending_orders), ZERO)

    @property
    def margin(self) -> Margin:
        """The account valued at the mark."""
        return accounts.margin_at(
            self._account, self.price.mark_usd, self.instrument, order_frozen_btc=self.order_frozen_btc
        )

    def advance(self) -> None:
        """Settle every order that has become due, in the order in which they did."""
        now_secs = self._monotonic()
        due = sorted(
            (due_secs, order_id) for order_id, due_secs in self._due_secs.items() if due_secs <= now_secs
        )
        for due_secs, order_id in due:
            late_by = timedelta(seconds=now_secs - due_secs)
            self._settle(order_id, self.feed.price(due_secs), self._now() - late_by)

    def place(self, ticket: OrderTicket) -> Order:
        """Accept a market order and, without a fill delay, settle it.

        Raises:
            RefusalError: 51016 for a client order id in use, 51169 for a reduce-only order with nothing
                to reduce, 51008 if the opening part is not covered.
        """
        self.advance()
        price = self.price
        self._check_client_id(ticket.client_order_id)
        frozen_btc = self._required_margin_btc(ticket, price)
        at = self._now()
        order = Order(
            order_id=str(next(self._order_ids)),
            ticket=ticket,
            state=OrderState.LIVE,
            lever=self._account.lever,
            frozen_btc=frozen_btc,
            created_at=at,
            updated_at=at,
        )
        self._orders[order.order_id] = order
        if ticket.client_order_id:
            self._newest_by_client_id[ticket.client_order_id] = order.order_id
        self._due_secs[order.order_id] = self._monotonic() + self._fill_delay_secs
        if not self._fill_delay_secs:
            self._settle(order.order_id, price, at)
        return self._orders[order.order_id]

    def close_position(self, *, client_order_id: str, tag: str, cancel_pending: bool) -> Order:
        """Close the whole position with a reduce-only market order.

        Raises:
            RefusalError: 51023 if there is no position; 51115 if reducing orders are pending and
                *cancel_pending* is not set; 51016 for a client order id in use.
        """
        self.advance()
        if not self._account.contracts:
            raise RefusalError("51023")
        side = Side.SELL if self._account.contracts > 0 else Side.BUY
        self._check_client_id(client_order_id)
        reducing = [order for order in self.pending_orders if order.ticket.side is side]
        if reducing and not cancel_pending:
            raise RefusalError("51115")
        for order in reducing:
            self._end(order, CancelSource.SYSTEM, self._now())
        return self.place(
            OrderTicket(
                inst_id=self.instrument.inst_id,
                side=side,
                contracts=abs(self._account.contracts),
                client_order_id=client_order_id,
                tag=tag,
                reduce_only=True,
            )
        )

    def cancel(self, *, order_id: str, client_order_id: str) -> Order:
        """Cancel a pending order.

        Raises:
            RefusalError: 51003 without any id, 51400 if no such order is pending.
        """
        self.advance()
        order = self._find(order_id, client_order_id)
        if order is None or order.state.is_final:
            raise RefusalError("51400")
        return self._end(order, CancelSource.USER, self._now())

    def order(self, *, order_id: str, client_order_id: str) -> Order:
        """Return an order; *order_id* wins if both are given, and of several with one client id the newest.

        Raises:
            RefusalError: 51003 without any id; 51603 if there is none, it is hidden by a fault, or it was
                cancelled unfilled more than two hours ago.
        """
        self.advance()
        order = self._find(order_id, client_order_id)
        if order is None or self._is_hidden(order) or self._is_forgotten(order):
            raise RefusalError("51603")
        return order

    def order_of(self, fill: Fill) -> Order:
        """Return the order that *fill* belongs to."""
        return self._orders[fill.order_id]

    def order_history(self) -> list[Order]:
        """Return the final orders that the exchange still remembers, newest first."""
        self.advance()
        kept = [order for order in self.orders if order.state.is_final and not self._is_forgotten(order)]
        return kept[::-1]

    def hide_orders_since(self, earlier_count: int, milliseconds: int) -> None:
        """Let `order` deny, for *milliseconds*, every order accepted after the first *earlier_count*."""
        until_secs = self._monotonic() + milliseconds / 1000
        for order in self.orders[earlier_count:]:
            self._hidden_until_secs[order.order_id] = until_secs

    def set_lever(self, lever: Decimal) -> None:
        """Change the leverage of the account.

        Raises:
            RefusalError: 59102 or 59105 outside the instrument's range; 59109 if the equity would not
                cover the initial margin of the position.
        """
        self.advance()
        if lever > self.instrument.max_lever:
            raise RefusalError("59102")
        if lever < self.instrument.min_lever:
            raise RefusalError("59105", str(self.instrument.min_lever))
        margin = self.margin
        needed_btc = initial_margin_btc(self._account.contracts, self.price.mark_usd, lever, self.instrument)
        if needed_btc > margin.equity_btc - margin.order_frozen_btc:
            raise RefusalError("59109")
        self._account = accounts.with_lever(self._account, lever, self._now())

    def largest_order_contracts(self, side: Side) -> Decimal:
        """Return the largest market order on *side* that the margin allows now."""
        price = self.price
        return accounts.largest_order_contracts(
            self._account,
            side,
            price_usd=price.taker_usd(side),
            mark_usd=price.mark_usd,
            instrument=self.instrument,
            order_frozen_btc=self.order_frozen_btc,
        )

    def deposit(self, *, trading_btc: Decimal = ZERO, funding_btc: Decimal = ZERO) -> None:
        """Put BTC into the accounts from nowhere, or take it out if negative.

        Raises:
            AdminRequestError: If an amount has more than 8 places or a balance would fall below zero.
        """
        self.advance()
        for name, amount_btc, held_btc in (
            ("trading_btc", trading_btc, self._account.cash_btc),
            ("funding_btc", funding_btc, self.funding_btc),
        ):
            if not is_btc_amount(abs(amount_btc)):
                raise AdminRequestError(f"{name} is {amount_btc}, and must have at most 8 decimal places")
            if held_btc + amount_btc < 0 and amount_btc < 0:
                raise AdminRequestError(f"{name} is {amount_btc}, but the account holds {held_btc} BTC")
        self._account = accounts.deposit(self._account, trading_btc, self._now())
        self.funding_btc += funding_btc

    def _check_client_id(self, client_order_id: str) -> None:
        newest = self._newest_by_client_id.get(client_order_id)
        if newest is not None and (self._unique_client_ids or not self._orders[newest].state.is_final):
            raise RefusalError("51016")

    def _required_margin_btc(self, ticket: OrderTicket, price: MarketPrice) -> Decimal:
        if ticket.reduce_only:
            if not accounts.closing_contracts(self._account, ticket.side, ticket.contracts):
                raise RefusalError("51169")
            return ZERO
        taker_usd = price.taker_usd(ticket.side)
        affordable = accounts.can_afford(
            self._account,
            ticket.side,
            ticket.contracts,
            price_usd=taker_usd,
            mark_usd=price.mark_usd,
            instrument=self.instrument,
            order_frozen_btc=self.order_frozen_btc,
        )
        if not affordable:
            raise RefusalError("51008", self.instrument.settle_currency, sub_code="1001")
        return accounts.opening_need_btc(
            self._account, ticket.side, ticket.contracts, taker_usd, self.instrument
        )

    def _settle(self, order_id: str, price: MarketPrice, at: datetime) -> None:
        order = self._orders[order_id]
        contracts = tradable_contracts(order, self._account)
        if contracts:
            fill = accounts.price_fill(
                self._account,
                trade_id=str(next(self._trade_ids)),
                bill_id=str(next(self._bill_ids)),
                order_id=order_id,
                side=order.ticket.side,
                contracts=contracts,
                price_usd=price.taker_usd(order.ticket.side),
                at=at,
                instrument=self.instrument,
            )
            self._fills.append(fill)
            self._account = accounts.fold(self._account, fill)
            order = with_fill(order, fill)
            self._orders[order_id] = order
        if order.state.is_final:
            del self._due_secs[order_id]
        else:
            self._end(order, CancelSource.SYSTEM, at)

    def _end(self, order: Order, source: CancelSource, at: datetime) -> Order:
        ended = canceled(order, source, at)
        self._orders[order.order_id] = ended
        del self._due_secs[order.order_id]
        return ended

    def _find(self, order_id: str, client_order_id: str) -> Order | None:
        if not (order_id or client_order_id):
            raise RefusalError("51003")
        return self._orders.get(order_id or self._newest_by_client_id.get(client_order_id, ""))

    def _is_hidden(self, order: Order) -> bool:
        return self._hidden_until_secs.get(order.order_id, 0.0) > self._monotonic()

    def _is_forgotten(self, order: Order) -> bool:
        unfilled = order.state is OrderState.CANCELED and not order.filled_contracts
        return unfilled and self._now() - order.updated_at > _UNFILLED_KEPT
