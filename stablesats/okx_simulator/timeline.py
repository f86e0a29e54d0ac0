"""What happens by itself, in the order of time: recorded prices, late orders, funding, transfers, blocks.

`Timeline.advance` catches up with the clock. Each thing happens at its own time and at the price of that
time, so nothing depends on when somebody happens to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from stablesats.okx_simulator.funding_schedule import next_settlement
from stablesats.okx_simulator.transfers import AccountCode

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from stablesats.okx_simulator.funding_account import FundingAccount
    from stablesats.okx_simulator.market_clock import MarketClock
    from stablesats.okx_simulator.prices import PriceFeed
    from stablesats.okx_simulator.replay import Quote
    from stablesats.okx_simulator.trading import TradingAccount

_Event: TypeAlias = tuple[float, Callable[[float], None]]
"""When, on the monotonic clock, and what; it is told when."""


class Timeline:
    """Lets the two accounts live.

    Args:
        clock: The exchange's own time.
        feed: The market.
        trading: The account that orders, prices and funding change.
        wallet: The account that transfers and blocks change.
        funding_rate: What each settlement charges.
    """

    def __init__(
        self,
        *,
        clock: MarketClock,
        feed: PriceFeed,
        trading: TradingAccount,
        wallet: FundingAccount,
        funding_rate: Decimal,
    ) -> None:
        self.funding_rate = funding_rate
        self.settled_funding_rate = funding_rate
        self.funding_at = next_settlement(clock.now())
        self.arriving_secs: dict[str, float] = {}
        self._caps: dict[str, Decimal | None] = {}
        self._clock = clock
        self._feed = feed
        self._trading = trading
        self._wallet = wallet
        self._seen: Quote = feed.quote()
        self._replayed_to: datetime | None = None
        self.look_at_prices()

    def __repr__(self) -> str:
        return f"<Timeline funding_at={self.funding_at.isoformat()} arriving={len(self.arriving_secs)}>"

    def advance(self) -> None:
        """Let everything happen that is due."""
        now_secs = self._clock.monotonic()
        while (event := self._next_event(now_secs)) is not None:
            secs, happen = event
            happen(secs)
        self._see(self._feed.quote(now_secs), now_secs)
        if self._feed.replay_clock is not None:
            self._replayed_to = self._feed.replay_clock.at(now_secs)

    def look_at_prices(self) -> None:
        """Take the price as it stands for one that was seen: after this, only another one is news."""
        self._seen = self._feed.quote()
        if self._feed.replay_clock is not None:
            self._replayed_to = self._feed.replay_clock.at()

    def expect(self, order_id: str, delay_secs: float, cap_contracts: Decimal | None) -> None:
        """Let an accepted order meet the book in *delay_secs*, where it gets *cap_contracts* at most."""
        self.arriving_secs[order_id] = self._clock.monotonic() + delay_secs
        self._caps[order_id] = cap_contracts

    def forget(self, order_id: str) -> None:
        """Do not wait for an order any more."""
        self.arriving_secs.pop(order_id, None)
        self._caps.pop(order_id, None)

    def check_margin(self) -> None:
        """Test the margin although no price has changed: after a trade, or when collateral was taken out."""
        self._trading.check_margin(self._feed.market(), self._clock.now())
        self._forget_ended()

    def resume(self, at: datetime) -> None:
        """Go on from *at*, before which every settlement was paid: the clock never stands earlier."""
        self._clock.skip_to(at)
        self.funding_at = next_settlement(self._clock.now())

    def settle_funding(self, rate: Decimal) -> None:
        """Settle funding now at *rate*, out of turn."""
        self.advance()
        self._settle_funding(rate, self._clock.monotonic(), self._clock.now())

    def _next_event(self, now_secs: float) -> _Event | None:
        events = [self._next_quote(), (self._clock.monotonic_of(self.funding_at), self._fund)]
        due_secs = self._wallet.next_due_secs
        if due_secs is not None:
            events.append((due_secs, self._move_money))
        if self.arriving_secs:
            events.append((min(self.arriving_secs.values()), self._arrive))
        due = [event for event in events if event is not None and event[0] <= now_secs]
        return min(due, key=lambda event: event[0], default=None)

    def _next_quote(self) -> _Event | None:
        """Return the next recorded price, if anything could happen at it."""
        clock = self._feed.replay_clock
        is_idle = self._trading.account.position is None and not self._trading.resting
        if clock is None or self._replayed_to is None or self._feed.by_hand is not None or is_idle:
            return None
        quote = clock.replay.first_after(self._replayed_to)
        secs = None if quote is None else clock.monotonic_of(quote.at)
        if quote is None or secs is None:
            return None

        def show(secs: float) -> None:
            self._replayed_to = quote.at
            self._see(quote, secs)

        return secs, show

    def _see(self, quote: Quote, secs: float) -> None:
        """Let a price that was not seen before fill waiting orders and test the margin."""
        if quote == self._seen:
            return
        self._seen = quote
        if self._trading.resting or self._trading.account.position is not None:
            market, at = self._feed.market_of(quote), self._clock.at(secs)
            self._trading.match_resting(market, at)
            self._trading.check_margin(market, at)
            self._forget_ended()

    def _arrive(self, secs: float) -> None:
        order_id = min(self.arriving_secs, key=lambda each: (self.arriving_secs[each], each))
        cap = self._caps.get(order_id)
        self.forget(order_id)
        market, at = self._feed.market(secs), self._clock.at(secs)
        if self._trading.arrive(order_id, market, at, cap_contracts=cap).filled_contracts:
            self._trading.check_margin(market, at)
            self._forget_ended()

    def _fund(self, secs: float) -> None:
        # Stamped with the settlement itself: what two clocks say of it may be a millisecond early.
        at, self.funding_at = self.funding_at, next_settlement(self.funding_at)
        self._settle_funding(self.funding_rate, secs, at)

    def _settle_funding(self, rate: Decimal, secs: float, at: datetime) -> None:
        self.settled_funding_rate = rate
        self._trading.settle_funding(rate, self._feed.market(secs), at)
        self._forget_ended()

    def _forget_ended(self) -> None:
        """Drop orders that were on their way when a liquidation ended them."""
        for order_id in [each for each in self.arriving_secs if self._trading.log[each].state.is_final]:
            self.forget(order_id)

    def _move_money(self, secs: float) -> None:
        money_id = self._wallet.due(secs)[0]
        if money_id not in self._wallet.transfers:
            self._wallet.confirm(money_id)
            return
        transfer, receiver = self._wallet.finish_transfer(money_id)
        if receiver is AccountCode.TRADING:
            self._trading.move(transfer.request.amount_btc, self._clock.at(secs))
