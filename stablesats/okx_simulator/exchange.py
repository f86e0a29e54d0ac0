"""The exchange behind the protocol: two accounts of one owner, and the market they trade on.

Everything is synchronous and single-threaded: a method runs to its end before the next one starts, so
each is atomic without a lock. What happens by itself is caught up with by `Exchange.advance`, which every
entry point calls first.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from stablesats.okx_simulator import accounts
from stablesats.okx_simulator.accounts import Account
from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.book_tape import BookTape
from stablesats.okx_simulator.config import is_btc_amount
from stablesats.okx_simulator.custody import custody_of
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.funding_account import FundingAccount, Pace
from stablesats.okx_simulator.ids import Ids
from stablesats.okx_simulator.market import Side, floor_to_lot
from stablesats.okx_simulator.market_clock import MarketClock
from stablesats.okx_simulator.order_log import is_forgotten
from stablesats.okx_simulator.order_margin import largest_order_contracts
from stablesats.okx_simulator.orders import CancelSource, Order, OrderTicket
from stablesats.okx_simulator.prices import PriceFeed
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.timeline import Timeline
from stablesats.okx_simulator.trading import TradingAccount
from stablesats.okx_simulator.transfers import AccountCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from stablesats.okx_simulator.accounts import Fill, Margin
    from stablesats.okx_simulator.chain_payments import Withdrawal, WithdrawalRequest
    from stablesats.okx_simulator.config import SimulatorConfig
    from stablesats.okx_simulator.custody import Custody
    from stablesats.okx_simulator.prices import MarketPrice
    from stablesats.okx_simulator.transfers import Transfer, TransferRequest


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
        self.clock = MarketClock(now=now, monotonic=monotonic)
        self.feed = PriceFeed(
            config.price_usd,
            config.replay,
            monotonic=self.clock.monotonic,
            basis_ratio=config.basis_ratio,
            shape=config.book,
            instrument=config.instrument,
            seed=config.seed,
        )
        self.book_tape = BookTape(self.feed.book)
        self.ids = Ids.seeded(config.seed)
        self.trading = TradingAccount(
            Account(deposited_btc=config.trading_btc, lever=config.lever, updated_at=now()),
            ids=self.ids,
            instrument=config.instrument,
            unique_client_ids=config.unique_client_ids,
        )
        pace = Pace(
            transfer_secs=config.transfer_ms / 1000,
            block_secs=None if config.block_ms is None else config.block_ms / 1000,
        )
        self.wallet = FundingAccount(config.funding_btc, ids=self.ids, pace=pace, seed=config.seed)
        self.timeline = Timeline(
            clock=self.clock,
            feed=self.feed,
            trading=self.trading,
            wallet=self.wallet,
            funding_rate=config.funding_rate,
        )
        self.adjustments_btc = config.trading_btc + config.funding_btc
        self._fill_delay_secs = config.fill_delay_ms / 1000
        self._hidden_until_secs: dict[str, float] = {}
        self._fill_ratio: Decimal | None = None

    def __repr__(self) -> str:
        return (
            f"<Exchange position={self.account.contracts} cash_btc={self.account.cash_btc}"
            f" orders={self.order_count} fills={len(self.fills)}>"
        )

    @property
    def account(self) -> Account:
        """The trading account as it stands."""
        return self.trading.account

    @property
    def funding_btc(self) -> Decimal:
        """Balance of the funding account."""
        return self.wallet.balance_btc

    @property
    def price(self) -> MarketPrice:
        """The market as it stands."""
        return self.feed.price()

    @property
    def orders(self) -> Sequence[Order]:
        """Every order ever accepted, oldest first."""
        return self.trading.log.orders

    @property
    def order_count(self) -> int:
        """How many orders were ever accepted."""
        return len(self.trading.log)

    @property
    def fills(self) -> Sequence[Fill]:
        """Every fill, oldest first."""
        return self.trading.fills

    @property
    def last_fill(self) -> Fill | None:
        """The newest fill."""
        return self.fills[-1] if self.fills else None

    @property
    def pending_orders(self) -> Sequence[Order]:
        """Orders that may still trade, oldest first."""
        return self.trading.log.pending

    @property
    def order_frozen_btc(self) -> Decimal:
        """Margin that pending orders hold back."""
        return self.margin.order_frozen_btc

    @property
    def margin(self) -> Margin:
        """The trading account valued at the mark."""
        return self.trading.margin(self.price)

    @property
    def custody(self) -> Custody:
        """Who holds the bitcoin that was paid in."""
        return custody_of(self.account, self.wallet, adjustments_btc=self.adjustments_btc)

    def advance(self) -> None:
        """Let everything happen that is due, in the order of time."""
        self.timeline.advance()

    def place(self, ticket: OrderTicket) -> Order:
        """Accept an order and, without a fill delay, let it meet the book.

        Raises:
            RefusalError: As `TradingAccount.accept` says.
        """
        self.advance()
        at, market = self.clock.now(), self.feed.market()
        order = self.trading.accept(ticket, market, at)
        cap = self._cap(ticket)
        if self._fill_delay_secs:
            self.timeline.expect(order.order_id, self._fill_delay_secs, cap)
            return order
        if self.trading.arrive(order.order_id, market, at, cap_contracts=cap).filled_contracts:
            self.timeline.check_margin()
        return self.trading.log[order.order_id]

    def close_position(self, *, client_order_id: str, tag: str, cancel_pending: bool) -> Order:
        """Close the whole position with a reduce-only market order.

        Raises:
            RefusalError: 51023 if there is no position; 51115 if reducing orders are pending and
                *cancel_pending* is not set; 51016 for a client order id in use; 51109 if nothing is on offer.
        """
        self.advance()
        if not self.account.contracts:
            raise RefusalError("51023")
        side = Side.SELL if self.account.contracts > 0 else Side.BUY
        reducing = self.trading.reducing_orders()
        if reducing and not cancel_pending:
            raise RefusalError("51115")
        ticket = OrderTicket(
            inst_id=self.instrument.inst_id,
            side=side,
            contracts=abs(self.account.contracts),
            client_order_id=client_order_id,
            tag=tag,
            reduce_only=True,
        )
        self.trading.check(ticket, self.feed.market())
        for order in reducing:
            self._end(order, CancelSource.POSITION_CLOSED)
        return self.place(ticket)

    def cancel(self, *, order_id: str, client_order_id: str) -> Order:
        """Cancel a pending order.

        Raises:
            RefusalError: 51003 without any id, 51400 if no such order is pending.
        """
        self.advance()
        order = self.trading.log.find(order_id, client_order_id)
        if order is None or order.state.is_final:
            raise RefusalError("51400")
        return self._end(order, CancelSource.USER)

    def order(self, *, order_id: str, client_order_id: str) -> Order:
        """Return an order; *order_id* wins if both are given, and of several with one client id the newest.

        Raises:
            RefusalError: 51003 without any id; 51603 if there is none, it is hidden by a fault, or it was
                cancelled unfilled more than two hours ago.
        """
        self.advance()
        order = self.trading.log.find(order_id, client_order_id)
        if order is None or self._is_hidden(order) or is_forgotten(order, self.clock.now()):
            raise RefusalError("51603")
        return order

    def order_of(self, fill: Fill) -> Order:
        """Return the order that *fill* belongs to."""
        return self.trading.log[fill.order_id]

    def order_history(self) -> list[Order]:
        """Return the final orders that the exchange still remembers, newest first."""
        self.advance()
        now = self.clock.now()
        kept = [order for order in self.orders if order.state.is_final and not is_forgotten(order, now)]
        return kept[::-1]

    def hide_orders_since(self, earlier_count: int, milliseconds: int) -> None:
        """Let `order` deny, for *milliseconds*, every order accepted after the first *earlier_count*."""
        until_secs = self.clock.monotonic() + milliseconds / 1000
        for order in self.orders[earlier_count:]:
            self._hidden_until_secs[order.order_id] = until_secs

    @contextmanager
    def filling_only(self, ratio: Decimal) -> Iterator[None]:
        """Let orders placed inside find only *ratio* of their size, rounded down to the lot, on offer."""
        self._fill_ratio = ratio
        try:
            yield
        finally:
            self._fill_ratio = None

    def set_lever(self, lever: Decimal) -> None:
        """Change the leverage of the account.

        Raises:
            RefusalError: 59102 or 59105 outside the instrument's range; 59109 if the equity would not
                cover the initial margin of the position and what the pending orders hold back then.
        """
        self.advance()
        if lever > self.instrument.max_lever:
            raise RefusalError("59102")
        if lever < self.instrument.min_lever:
            raise RefusalError("59105", str(self.instrument.min_lever))
        margin = self.trading.margin(self.price, lever=lever)
        if margin.initial_btc + margin.order_frozen_btc > margin.equity_btc:
            raise RefusalError("59109")
        self.trading.account = accounts.with_lever(self.account, lever, self.clock.now())

    def largest_order_contracts(self, side: Side) -> Decimal:
        """Return the largest market order on *side* that the margin allows now."""
        price = self.price
        return largest_order_contracts(
            self.account,
            side,
            price_usd=price.taker_usd(side),
            mark_usd=price.mark_usd,
            instrument=self.instrument,
            others=self.trading.claims(price.mark_usd),
        )

    @property
    def withdrawable_btc(self) -> Decimal:
        """What may leave the trading account now."""
        return self.trading.withdrawable_btc(self.price)

    def transfer(self, request: TransferRequest) -> Transfer:
        """Accept a transfer; it leaves its source at once and arrives when it is a success.

        Raises:
            RefusalError: 58116 for more than may leave the trading account; else as
                `FundingAccount.check_transfer` says.
        """
        self.advance()
        self.wallet.check_transfer(request)
        if request.source is AccountCode.TRADING:
            if request.amount_btc > self.withdrawable_btc:
                raise RefusalError("58116")
            self.trading.move(-request.amount_btc, self.clock.now())
        transfer = self.wallet.accept_transfer(request, self.clock.now(), self.clock.monotonic())
        self.advance()
        return self.wallet.transfers[transfer.transfer_id]

    def withdraw(self, request: WithdrawalRequest) -> Withdrawal:
        """Accept a withdrawal from the funding account.

        Raises:
            RefusalError: As `FundingAccount.withdraw` says.
        """
        self.advance()
        withdrawal = self.wallet.withdraw(request, self.clock.now(), self.clock.monotonic())
        self.advance()
        return self.wallet.withdrawals[withdrawal.withdrawal_id]

    def deposit(self, *, trading_btc: Decimal = ZERO, funding_btc: Decimal = ZERO) -> None:
        """Put BTC into the accounts from nowhere, or take it out if negative.

        Collateral may be taken from under a position, which is then liquidated if its margin is too low.

        Raises:
            AdminRequestError: If an amount has more than 8 places or a balance would fall below zero.
        """
        self.advance()
        for name, amount_btc, held_btc in (
            ("trading_btc", trading_btc, self.account.cash_btc),
            ("funding_btc", funding_btc, self.wallet.available_btc),
        ):
            if not is_btc_amount(abs(amount_btc)):
                raise AdminRequestError(f"{name} is {amount_btc}, and must have at most 8 decimal places")
            if held_btc + amount_btc < 0 and amount_btc < 0:
                raise AdminRequestError(f"{name} is {amount_btc}, but the account holds {held_btc} BTC")
        self.trading.move(trading_btc, self.clock.now())
        self.wallet.adjust(funding_btc)
        self.adjustments_btc += trading_btc + funding_btc
        if trading_btc < 0:
            self.timeline.check_margin()

    def _end(self, order: Order, source: CancelSource) -> Order:
        self.timeline.forget(order.order_id)
        return self.trading.end(order, source, self.clock.now())

    def _cap(self, ticket: OrderTicket) -> Decimal | None:
        ratio = self._fill_ratio
        return None if ratio is None else floor_to_lot(ticket.contracts * ratio, self.instrument)

    def _is_hidden(self, order: Order) -> bool:
        return self._hidden_until_secs.get(order.order_id, 0.0) > self.clock.monotonic()
