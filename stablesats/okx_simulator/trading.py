"""The trading account at work: it accepts, fills and ends orders, pays funding and is liquidated.

Nothing here reads a clock or looks for a price: both come in with each call. Calls are synchronous and
run to their end, so each is atomic; one that raises has changed nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stablesats.okx_simulator import accounts, market
from stablesats.okx_simulator.amounts import ZERO, plain_text
from stablesats.okx_simulator.bills import Bill, BillSubType, BillType, bill_of_fill
from stablesats.okx_simulator.book import reachable_contracts, without
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.matching import Match, Rest, capped, match_on_arrival
from stablesats.okx_simulator.order_log import OrderLog
from stablesats.okx_simulator.order_margin import Claim, claims_of, frozen_btc, is_covered
from stablesats.okx_simulator.orders import (
    CancelSource,
    Order,
    OrderKind,
    OrderState,
    OrderTicket,
    canceled,
    liquidation_order,
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

    def claims(self, mark_usd: Decimal) -> tuple[Claim, ...]:
        """Return what the pending orders may still trade, oldest first."""
        return claims_of(self.log.pending, mark_usd)

    def margin(self, price: MarketPrice, *, lever: Decimal | None = None) -> Margin:
        """Return the account valued at the mark, at its own leverage or as it would be at *lever*."""
        account = self.account if lever is None else replace(self.account, lever=lever)
        frozen = frozen_btc(account, self.claims(price.mark_usd), price.mark_usd, self._instrument)
        return accounts.margin_at(account, price.mark_usd, self._instrument, order_frozen_btc=frozen)

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
        self.check(ticket, now)
        order = Order(
            order_id=self._ids.order(),
            ticket=ticket,
            state=OrderState.LIVE,
            lever=self.account.lever,
            created_at=at,
            updated_at=at,
        )
        return self.log.put(order)

    def check(self, ticket: OrderTicket, now: Market) -> None:
        """Refuse an order that cannot be accepted.

        Raises:
            RefusalError: 51006 for a limit outside the band; 51016 for a client order id in use; 51169 for
                a reduce-only order with nothing to reduce; 51109 for an order without a price if nothing
                is on offer; 51008 if the opening part is not covered.
        """
        limits = now.limits
        if ticket.price_usd is not None and not limits.allow(ticket.side, ticket.price_usd):
            raise RefusalError("51006", plain_text(limits.max_buy_usd), plain_text(limits.min_sell_usd))
        self.log.check_client_id(ticket.client_order_id, never_again=self._unique_client_ids)
        closing = accounts.closing_contracts(self.account, ticket.side, ticket.contracts)
        if ticket.reduce_only and not closing:
            raise RefusalError("51169")
        contracts = closing if ticket.reduce_only else ticket.contracts
        match = match_on_arrival(ticket, contracts, now.book, now.limits)
        if ticket.price_usd is None and not match.taken:
            raise RefusalError("51109")
        if not (ticket.reduce_only or self._is_carried(ticket, match, now)):
            raise RefusalError("51008", self._instrument.settle_currency)

    def arrive(
        self, order_id: str, now: Market, at: datetime, *, cap_contracts: Decimal | None = None
    ) -> Order:
        """Let an accepted order meet the book; *cap_contracts* is all it may get, if given.

        If the margin does not carry any more what it would open, it only closes, and the rest is cancelled;
        of a fill-or-kill order everything is.
        """
        order = self.log[order_id]
        contracts = tradable_contracts(order, self.account)
        match = match_on_arrival(order.ticket, contracts, now.book, now.limits)
        if match.taken:
            taken = Claim(order.ticket.side, match.contracts, _costliest_usd(order.ticket, match.taken))
            covered = self._covered_contracts(taken, now)
            if covered < taken.contracts:
                is_all_or_none = order.ticket.kind is OrderKind.FILL_OR_KILL
                match = capped(match, ZERO if is_all_or_none else covered)
        if cap_contracts is not None:
            match = capped(match, cap_contracts)
        for level in match.taken:
            order = self._fill(order, level.contracts, level.price_usd, at, is_maker=False)
        if order.state.is_final:
            return order
        if match.rest is Rest.IS_CANCELED:
            return self.end(order, match.cancel_source, at)
        if not tradable_contracts(order, self.account):
            return self.end(order, CancelSource.NOTHING_TO_REDUCE, at)
        self.rest(order_id)
        return order

    def match_resting(self, now: Market, at: datetime) -> None:
        """Let waiting orders trade at their own price against what the market now offers at it or better.

        The best price goes first, then the oldest; what one takes is not there for the next. An order that
        would open what the margin does not carry any more only closes, and its rest is cancelled.
        """
        for side in Side:
            levels = now.book.against(side)
            waiting = [order for order in self.resting if order.ticket.side is side]
            for order in sorted(waiting, key=lambda each: -side.sign * _limit_usd(each)):
                levels = self._fill_resting(order.order_id, levels, now, at)

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

    def _is_carried(self, ticket: OrderTicket, match: Match, now: Market) -> bool:
        """Tell whether the margin carries a new order beside those that wait."""
        mark_usd = now.price.mark_usd
        return is_covered(
            self.account,
            Claim(ticket.side, ticket.contracts, _costliest_usd(ticket, match.taken)),
            at_once_contracts=match.contracts if match.rest is Rest.STAYS else ticket.contracts,
            mark_usd=mark_usd,
            instrument=self._instrument,
            others=self.claims(mark_usd),
        )

    def _covered_contracts(self, trade: Claim, now: Market) -> Decimal:
        """Return how much of a trade may happen: all of it, or what closes if the rest is not covered.

        What other orders hold back does not stand in the way: it is free for whichever trades first.
        """
        covered = is_covered(
            self.account,
            trade,
            at_once_contracts=trade.contracts,
            mark_usd=now.price.mark_usd,
            instrument=self._instrument,
        )
        if covered:
            return trade.contracts
        return accounts.closing_contracts(self.account, trade.side, trade.contracts)

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
        self._book(fill)
        filled = with_fill(order, fill)
        if filled.state.is_final:
            self._resting.pop(order.order_id, None)
        self.log.put(filled, fill)
        self._insure(at)
        self._end_idle_reducers(at)
        return self.log[order.order_id]

    def _fill_resting(
        self, order_id: str, levels: tuple[Level, ...], now: Market, at: datetime
    ) -> tuple[Level, ...]:
        order = self.log[order_id]
        if order.state.is_final:
            return levels
        side, limit_usd = order.ticket.side, _limit_usd(order)
        wanted = min(tradable_contracts(order, self.account), reachable_contracts(levels, side, limit_usd))
        contracts = self._covered_contracts(Claim(side, wanted, limit_usd), now)
        if contracts:
            order = self._fill(order, contracts, limit_usd, at, is_maker=True)
        if contracts < wanted and not order.state.is_final:
            self.end(order, CancelSource.SYSTEM, at)
        return without(levels, contracts)

    def _end_idle_reducers(self, at: datetime) -> None:
        """Cancel the resting reduce-only orders that a change of the position has left nothing to do."""
        for order in self.resting:
            if not tradable_contracts(order, self.account):
                self.end(order, CancelSource.NOTHING_TO_REDUCE, at)

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
        self._book(fill, is_liquidation=True)
        self.log.put(liquidation_order(fill, self.account.lever, self._instrument), fill)
        self._insure(at)

    def _insure(self, at: datetime) -> None:
        """Lift the balance to zero if the position that was closed has lost more than there was."""
        shortfall_btc = -self.account.cash_btc
        if self.account.position is None and shortfall_btc > 0:
            self.account = accounts.insured(self.account)
            self._bill(BillType.LIQUIDATION, BillSubType.INSURANCE, shortfall_btc, at)

    def _book(self, fill: Fill, *, is_liquidation: bool = False) -> None:
        self.account = accounts.fold(self.account, fill)
        self._fills.append(fill)
        self._bills.append(
            bill_of_fill(fill, balance_btc=self.account.cash_btc, is_liquidation=is_liquidation)
        )

    def _bill(
        self,
        kind: BillType,
        sub_kind: BillSubType,
        change_btc: Decimal,
        at: datetime,
        *,
        contracts: Decimal = ZERO,
        price_usd: Decimal | None = None,
        pnl_btc: Decimal = ZERO,
    ) -> None:
        bill = Bill(
            bill_id=self._ids.bill(),
            at=at,
            kind=kind,
            sub_kind=sub_kind,
            change_btc=change_btc,
            balance_btc=self.account.cash_btc,
            contracts=contracts,
            price_usd=price_usd,
            pnl_btc=pnl_btc,
        )
        self._bills.append(bill)


def _limit_usd(order: Order) -> Decimal:
    assert order.ticket.price_usd is not None
    return order.ticket.price_usd


def _costliest_usd(ticket: OrderTicket, taken: tuple[Level, ...]) -> Decimal:
    """Return the lowest price that an order may trade at, at which its contracts cost the most BTC."""
    prices = [level.price_usd for level in taken]
    if ticket.price_usd is not None:
        prices.append(ticket.price_usd)
    return min(prices)
