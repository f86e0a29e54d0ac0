"""The trading account at work: it accepts, fills and ends orders, pays funding and is liquidated.

Nothing here reads a clock or looks for a price: both come in with each call. Calls are synchronous and
run to their end, so each is atomic; one that raises has changed nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stablesats.okx_simulator import accounts, market
from stablesats.okx_simulator.amounts import ZERO, plain_text
from stablesats.okx_simulator.bills import Bill, BillSubType, BillType
from stablesats.okx_simulator.book import reachable_contracts, without
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.matching import Rest, capped, match_on_arrival
from stablesats.okx_simulator.order_log import OrderLog
from stablesats.okx_simulator.orders import (
    CancelSource,
    Order,
    OrderCategory,
    OrderState,
    OrderTicket,
    canceled,
    tradable_contracts,
    with_fill,
)
from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from decimal import Decimal

    from stablesats.okx_simulator.accounts import Account, Fill, Margin
    from stablesats.okx_simulator.book import Level
    from stablesats.okx_simulator.ids import Ids
    from stablesats.okx_simulator.instrument import Instrument
    from stablesats.okx_simulator.prices import Market, MarketPrice


class TradingAccount:
    """One account, its orders, fills and bills.

    Args:
        account: Where it begins.
        ids: Numbers for orders, trades and bills.
        instrument: What is traded.
        unique_client_ids: Refuse a client order id that any earlier order had, not only a pending one.
    """

    def __init__(
        self, account: Account, *, ids: Ids, instrument: Instrument, unique_client_ids: bool = False
    ) -> None:
        self.account = account
        self.log = OrderLog()
        self.margin_alerts = 0
        self._fills: list[Fill] = []
        self._bills: list[Bill] = []
        self._resting: dict[str, None] = {}
        self._ids = ids
        self._instrument = instrument
        self._unique_client_ids = unique_client_ids

    def __repr__(self) -> str:
        return f"<TradingAccount position={self.account.contracts} cash_btc={self.account.cash_btc}>"

    @property
    def fills(self) -> Sequence[Fill]:
        """Every fill, oldest first."""
        return self._fills

    @property
    def bills(self) -> Sequence[Bill]:
        """Every change of cash, oldest first."""
        return self._bills

    @property
    def resting(self) -> Sequence[Order]:
        """Orders that wait in the book for their price, oldest first."""
        return [self.log[order_id] for order_id in self._resting]

    @property
    def order_frozen_btc(self) -> Decimal:
        """Margin that pending orders hold back."""
        return sum((order.frozen_btc for order in self.log.pending), ZERO)

    def margin(self, price: MarketPrice) -> Margin:
        """Return the account valued at the mark."""
        return accounts.margin_at(
            self.account, price.mark_usd, self._instrument, order_frozen_btc=self.order_frozen_btc
        )

    def withdrawable_btc(self, price: MarketPrice) -> Decimal:
        """Return the cash that may leave: no gain that is only on paper, nothing that backs a position."""
        margin = self.margin(price)
        return market.withdrawable_btc(
            self.account.cash_btc, margin.equity_btc, margin.initial_btc, margin.order_frozen_btc
        )

    def restore(
        self, account: Account, orders: Iterable[Order], fills: Iterable[Fill], bills: Iterable[Bill]
    ) -> None:
        """Take over a saved state; orders that wait in the book wait there again."""
        self.account = account
        self.log = OrderLog()
        self.log.restore(list(orders))
        self._fills, self._bills = list(fills), list(bills)
        self._resting.clear()

    def rest(self, order_id: str) -> None:
        """Put a pending order into the book."""
        self._resting[order_id] = None

    def accept(self, ticket: OrderTicket, now: Market, at: datetime) -> Order:
        """Accept an order, which has not traded yet.

        Raises:
            RefusalError: As `check` says.
        """
        frozen_btc = self.check(ticket, now)
        order = Order(
            order_id=self._ids.order(),
            ticket=ticket,
            state=OrderState.LIVE,
            lever=self.account.lever,
            frozen_btc=frozen_btc,
            created_at=at,
            updated_at=at,
        )
        return self.log.put(order)

    def check(self, ticket: OrderTicket, now: Market) -> Decimal:
        """Return the margin that an order would hold back, if it can be accepted.

        Raises:
            RefusalError: 51006 for a limit outside the band; 51016 for a client order id in use; 51169 for
                a reduce-only order with nothing to reduce; 51109 for an order without a price if nothing
                is on offer; 51008 if the opening part is not covered.
        """
        limits = now.limits
        if ticket.price_usd is not None and not limits.allow(ticket.side, ticket.price_usd):
            raise RefusalError("51006", plain_text(limits.max_buy_usd), plain_text(limits.min_sell_usd))
        self.log.check_client_id(ticket.client_order_id, never_again=self._unique_client_ids)
        return self._needed_btc(ticket, now)

    def arrive(
        self, order_id: str, now: Market, at: datetime, *, cap_contracts: Decimal | None = None
    ) -> Order:
        """Let an accepted order meet the book; *cap_contracts* is all it may get, if given."""
        order = self.log[order_id]
        contracts = tradable_contracts(order, self.account)
        match = match_on_arrival(order.ticket, contracts, now.book, now.limits)
        if cap_contracts is not None:
            match = capped(match, cap_contracts)
        for level in match.taken:
            order = self._fill(order, level.contracts, level.price_usd, at, is_maker=False)
        if order.state.is_final:
            return order
        if match.rest is Rest.STAYS and tradable_contracts(order, self.account):
            self.rest(order_id)
            return order
        return self.end(order, match.cancel_source, at)

    def match_resting(self, now: Market, at: datetime) -> None:
        """Let waiting orders trade at their own price against what the market now offers at it or better.

        The best price goes first, then the oldest; what one takes is not there for the next.
        """
        for side in Side:
            levels = now.book.against(side)
            waiting = [order for order in self.resting if order.ticket.side is side]
            for order in sorted(waiting, key=lambda each: -side.sign * _limit_usd(each)):
                levels = self._fill_resting(order, levels, at)

    def check_margin(self, now: Market, at: datetime) -> None:
        """Count an alert at a margin ratio of 3 or below; liquidate at 1 or below, first the orders."""
        ratio = self.margin(now.price).ratio
        if ratio is None or ratio > market.MARGIN_ALERT_RATIO:
            return
        self.margin_alerts += 1
        if ratio > market.LIQUIDATION_RATIO:
            return
        for order in self.log.pending:
            self.end(order, CancelSource.LIQUIDATION, at)
        ratio = self.margin(now.price).ratio
        if ratio is not None and ratio <= market.LIQUIDATION_RATIO:
            self._liquidate(now, at)

    def settle_funding(self, rate: Decimal, now: Market, at: datetime) -> None:
        """Pay or receive funding on the position, if there is one, and check its margin."""
        if self.account.position is None:
            return
        payment_btc = market.funding_payment_btc(
            self.account.contracts, now.price.mark_usd, rate, self._instrument
        )
        self.account = accounts.fold_funding(self.account, payment_btc, at)
        self._bill(
            BillType.FUNDING_FEE,
            BillSubType.FUNDING_EXPENSE if payment_btc < 0 else BillSubType.FUNDING_INCOME,
            payment_btc,
            at,
            contracts=abs(self.account.contracts),
            price_usd=now.price.mark_usd,
            pnl_btc=payment_btc,
        )
        self.check_margin(now, at)

    def move(self, amount_btc: Decimal, at: datetime) -> None:
        """Book cash that comes in, or leaves if negative."""
        if not amount_btc:
            return
        self.account = accounts.deposit(self.account, amount_btc, at)
        sub_kind = BillSubType.TRANSFER_OUT if amount_btc < 0 else BillSubType.TRANSFER_IN
        self._bill(BillType.TRANSFER, sub_kind, amount_btc, at)

    def end(self, order: Order, source: CancelSource, at: datetime) -> Order:
        """Cancel a pending order."""
        self._resting.pop(order.order_id, None)
        return self.log.put(canceled(order, source, at))

    def reducing_orders(self) -> list[Order]:
        """Return the pending orders that would reduce the position."""
        return [order for order in self.log.pending if order.ticket.side.sign * self.account.contracts < 0]

    def _needed_btc(self, ticket: OrderTicket, now: Market) -> Decimal:
        closing = accounts.closing_contracts(self.account, ticket.side, ticket.contracts)
        if ticket.reduce_only and not closing:
            raise RefusalError("51169")
        match = match_on_arrival(
            ticket, closing if ticket.reduce_only else ticket.contracts, now.book, now.limits
        )
        if ticket.price_usd is None and not match.taken:
            raise RefusalError("51109")
        if ticket.reduce_only:
            return ZERO
        price_usd = _expected_usd(ticket, match.taken)
        affordable = accounts.can_afford(
            self.account,
            ticket.side,
            ticket.contracts,
            price_usd=price_usd,
            mark_usd=now.price.mark_usd,
            instrument=self._instrument,
            order_frozen_btc=self.order_frozen_btc,
        )
        if not affordable:
            raise RefusalError("51008", self._instrument.settle_currency, sub_code="1001")
        return accounts.opening_need_btc(
            self.account, ticket.side, ticket.contracts, price_usd, self._instrument
        )

    def _fill(
        self, order: Order, contracts: Decimal, price_usd: Decimal, at: datetime, *, is_maker: bool
    ) -> Order:
        fill = accounts.price_fill(
            self.account,
            trade_id=self._ids.trade(),
            bill_id=self._ids.bill(),
            order_id=order.order_id,
            side=order.ticket.side,
            contracts=contracts,
            price_usd=price_usd,
            at=at,
            instrument=self._instrument,
            is_maker=is_maker,
        )
        self._book(fill, BillType.TRADE, BillSubType.of_trade(fill.side))
        filled = with_fill(order, fill)
        if not filled.state.is_final and filled.frozen_btc:
            left_btc = market.opening_cost_btc(
                filled.remaining_contracts, price_usd, order.lever, self._instrument
            )
            filled = replace(filled, frozen_btc=min(filled.frozen_btc, left_btc))
        if filled.state.is_final:
            self._resting.pop(order.order_id, None)
        return self.log.put(filled, fill)

    def _fill_resting(self, order: Order, levels: tuple[Level, ...], at: datetime) -> tuple[Level, ...]:
        side, limit_usd = order.ticket.side, _limit_usd(order)
        tradable = tradable_contracts(order, self.account)
        contracts = min(tradable, reachable_contracts(levels, side, limit_usd))
        if contracts:
            order = self._fill(order, contracts, limit_usd, at, is_maker=True)
        if not order.state.is_final and not tradable_contracts(order, self.account):
            self.end(order, CancelSource.SYSTEM, at)
        return without(levels, contracts)

    def _liquidate(self, now: Market, at: datetime) -> None:
        fill = accounts.price_liquidation(
            self.account,
            trade_id=self._ids.trade(),
            bill_id=self._ids.bill(),
            order_id=self._ids.order(),
            mark_usd=now.price.mark_usd,
            at=at,
            instrument=self._instrument,
        )
        was_long = fill.side is Side.SELL
        self._book(
            fill,
            BillType.LIQUIDATION,
            BillSubType.LIQUIDATION_OF_LONG if was_long else BillSubType.LIQUIDATION_OF_SHORT,
        )
        ticket = OrderTicket(
            inst_id=self._instrument.inst_id,
            side=fill.side,
            contracts=fill.contracts,
            client_order_id="",
            tag="",
            reduce_only=True,
        )
        order = Order(
            order_id=fill.order_id,
            ticket=ticket,
            state=OrderState.LIVE,
            lever=self.account.lever,
            frozen_btc=ZERO,
            created_at=at,
            updated_at=at,
            category=OrderCategory.FULL_LIQUIDATION,
        )
        self.log.put(with_fill(order, fill), fill)
        shortfall_btc = -self.account.cash_btc
        if shortfall_btc > 0:
            self.account = accounts.insured(self.account)
            self._bill(BillType.LIQUIDATION, BillSubType.INSURANCE, shortfall_btc, at)

    def _book(self, fill: Fill, kind: BillType, sub_kind: BillSubType) -> None:
        self.account = accounts.fold(self.account, fill)
        self._fills.append(fill)
        self._bill(
            kind,
            sub_kind,
            fill.change_btc,
            fill.at,
            bill_id=fill.bill_id,
            contracts=fill.contracts,
            price_usd=fill.price_usd,
            pnl_btc=fill.pnl_btc,
            fee_btc=fill.fee_btc + fill.liquidation_penalty_btc,
            order_id=fill.order_id,
        )

    def _bill(
        self,
        kind: BillType,
        sub_kind: BillSubType,
        change_btc: Decimal,
        at: datetime,
        *,
        bill_id: str = "",
        contracts: Decimal = ZERO,
        price_usd: Decimal | None = None,
        pnl_btc: Decimal = ZERO,
        fee_btc: Decimal = ZERO,
        order_id: str = "",
    ) -> None:
        bill = Bill(
            bill_id=bill_id or self._ids.bill(),
            at=at,
            kind=kind,
            sub_kind=sub_kind,
            change_btc=change_btc,
            balance_btc=self.account.cash_btc,
            contracts=contracts,
            price_usd=price_usd,
            pnl_btc=pnl_btc,
            fee_btc=fee_btc,
            order_id=order_id,
        )
        self._bills.append(bill)


def _limit_usd(order: Order) -> Decimal:
    assert order.ticket.price_usd is not None
    return order.ticket.price_usd


def _expected_usd(ticket: OrderTicket, taken: tuple[Level, ...]) -> Decimal:
    """Return the price that an order's cost is reckoned at: the worst it may trade at, in BTC."""
    prices = [level.price_usd for level in taken]
    if ticket.price_usd is not None:
        prices.append(ticket.price_usd)
    return min(prices)
