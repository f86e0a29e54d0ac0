"""A state machine over the exchange: whatever a client and the market do, no satoshi is made or lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stablesats.okx_simulator import BookShape, SimulatorConfig
from stablesats.okx_simulator.accounts import Account, closing_contracts, fold, margin_at, price_fill
from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.bills import BillType
from stablesats.okx_simulator.chain_payments import WithdrawalRequest
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.instrument import BTC_USD_SWAP as SWAP
from stablesats.okx_simulator.market import LIQUIDATION_RATIO, Side, floor_to_lot, opening_cost_btc
from stablesats.okx_simulator.orders import OrderKind, OrderState, OrderTicket
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.transfers import AccountCode, TransferRequest

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
SATOSHIS = st.integers(1, 300_000_000).map(lambda sats: Decimal(sats).scaleb(-8))
NEAR_OR_FAR = st.one_of(st.integers(-4, 4), st.integers(-2_600, 2_600))


class ExchangeMachine(RuleBasedStateMachine):
    """One client, one market, both accounts, and everything that may go wrong with them."""

    @initialize(
        lever=st.sampled_from([1, 3, 20, 100]),
        delay_ms=st.sampled_from([0, 700]),
        block_ms=st.sampled_from([None, 0, 900]),
        transfer_ms=st.sampled_from([0, 500]),
        best=st.sampled_from([None, Decimal(30)]),
    )
    def open(
        self, lever: int, delay_ms: int, block_ms: int | None, transfer_ms: int, best: Decimal | None
    ) -> None:
        self.secs = 0.0
        self.paid_in = Decimal(3)
        self.mid = Decimal(50_000)
        config = SimulatorConfig(
            trading_btc=Decimal(2),
            funding_btc=Decimal(1),
            lever=Decimal(lever),
            fill_delay_ms=delay_ms,
            block_ms=block_ms,
            transfer_ms=transfer_ms,
            book=BookShape(best_contracts=best, levels=4, deeper_contracts=Decimal(200)),
        )
        self.exchange = Exchange(
            config, now=lambda: START + timedelta(seconds=self.secs), monotonic=lambda: self.secs
        )

    def _sums(self) -> tuple[object, ...]:
        exchange = self.exchange
        return (exchange.account, exchange.orders, len(exchange.fills), exchange.funding_btc,
                exchange.wallet.frozen_btc, len(exchange.wallet.transfers), len(exchange.wallet.withdrawals),
                len(exchange.trading.bills))  # fmt: skip

    @contextmanager
    def _staying_covered(self, ticket: OrderTicket) -> Iterator[None]:
        """Check that what was let in and filled inside did not take more margin than there is.

        Trading off the mark costs at once: the difference, and as much more margin. An order that only
        closes is let in whatever it leaves to the others.
        """
        self.exchange.advance()
        before, held, fills = self._shortfall_btc(), self.exchange.account, len(self.exchange.fills)
        yield
        price = self.exchange.price
        closing = closing_contracts(held, ticket.side, ticket.contracts)
        only_closes = ticket.reduce_only or closing == ticket.contracts
        trades = [(fill.contracts, fill.price_usd) for fill in self.exchange.fills[fills:]]
        trades += [
            (order.remaining_contracts, price.taker_usd(order.ticket.side))
            for order in self.exchange.pending_orders
            if order.ticket.price_usd is None
        ]
        off_the_mark = sum(
            (abs(size * 100 / usd - size * 100 / price.mark_usd) for size, usd in trades), ZERO
        )
        assert only_closes or self._shortfall_btc() <= before + 2 * off_the_mark

    def _shortfall_btc(self) -> Decimal:
        margin = self.exchange.margin
        return max(ZERO, margin.initial_btc + margin.order_frozen_btc - margin.equity_btc)

    @contextmanager
    def _opening_only_what_is_covered(self) -> Iterator[None]:
        """Check each order that the market comes to inside: at its own price the margin carries what it opens."""
        account, fills = self.exchange.account, len(self.exchange.fills)
        yield
        mark = self.exchange.price.mark_usd
        for fill in self.exchange.fills[fills:]:
            if fill.liquidation_penalty_btc:
                break
            closing = closing_contracts(account, fill.side, fill.contracts)
            closed = fold(account, replace(fill, contracts=closing, fee_btc=ZERO)) if closing else account
            cost = opening_cost_btc(fill.contracts - closing, fill.price_usd, account.lever, SWAP)
            assert cost <= margin_at(closed, mark, SWAP).available_btc
            account = fold(account, fill)

    def _refusing(self) -> _Unchanged:
        self.exchange.advance()
        return _Unchanged(self)

    @rule(
        side=st.sampled_from(Side),
        percent=st.integers(0, 105),
        kind=st.sampled_from(OrderKind),
        ticks=NEAR_OR_FAR,
        reduce_only=st.booleans(),
        client_id=st.sampled_from(["", "a", "b", "c"]),
    )
    def place(  # noqa: PLR0917
        self, side: Side, percent: int, kind: OrderKind, ticks: int, reduce_only: bool, client_id: str
    ) -> None:
        limit = self.mid + ticks * SWAP.tick_usd
        largest = self.exchange.largest_order_contracts(side)
        contracts = max(floor_to_lot(largest * percent / 100, SWAP), SWAP.lot_contracts)
        ticket = OrderTicket(
            inst_id=SWAP.inst_id,
            side=side,
            contracts=contracts,
            client_order_id=client_id,
            tag="",
            reduce_only=reduce_only,
            kind=kind,
            price_usd=limit if kind.names_a_price else None,
        )
        with self._refusing(), self._staying_covered(ticket):
            self.exchange.place(ticket)

    @rule(side=st.sampled_from(Side), percent=st.integers(20, 100))
    def trade(self, side: Side, percent: int) -> None:
        self.place(side, percent, OrderKind.MARKET, ticks=0, reduce_only=False, client_id="")

    @rule(side=st.sampled_from(Side), percent=st.integers(5, 60), ticks=st.integers(0, 30))
    def quote(self, side: Side, percent: int, ticks: int) -> None:
        self.place(side, percent, OrderKind.LIMIT, -ticks * side.sign, reduce_only=False, client_id="")

    @rule(per_mille=st.integers(1, 400))
    def go_against_the_position(self, per_mille: int) -> None:
        self.move_price(-per_mille if self.exchange.account.contracts > 0 else per_mille, spread_ticks=1)

    @rule(ticks=st.integers(-40, 40))
    def tick(self, ticks: int) -> None:
        self.mid += ticks * SWAP.tick_usd
        self.move_price(0, spread_ticks=0)

    @rule(client_id=st.sampled_from(["a", "b", "c"]))
    def cancel(self, client_id: str) -> None:
        with self._refusing():
            self.exchange.cancel(order_id="", client_order_id=client_id)

    @rule(cancel_pending=st.booleans())
    def close(self, cancel_pending: bool) -> None:
        with self._refusing():
            self.exchange.close_position(client_order_id="", tag="", cancel_pending=cancel_pending)

    @rule(per_mille=st.integers(-300, 400), spread_ticks=st.integers(0, 20))
    def move_price(self, per_mille: int, spread_ticks: int) -> None:
        moved = (self.mid * (1000 + per_mille) / 1000).quantize(SWAP.tick_usd)
        self.mid = min(max(moved, Decimal(5_000)), Decimal(500_000))
        seen = self.exchange.feed.quote()
        self.exchange.advance()
        self.exchange.feed.set_by_hand(self.mid, self.mid + spread_ticks * SWAP.tick_usd)
        with self._opening_only_what_is_covered():
            self.exchange.advance()
        ratio = self.exchange.margin.ratio
        assert seen == self.exchange.feed.quote() or ratio is None or ratio > LIQUIDATION_RATIO

    @rule(seconds=st.sampled_from([0.3, 1.0, 30.0, 8 * 3600.0]))
    def pass_time(self, seconds: float) -> None:
        self.secs += seconds
        self.exchange.advance()

    @rule(rate=st.integers(-500, 500).map(lambda n: Decimal(n).scaleb(-5)))
    def settle_funding(self, rate: Decimal) -> None:
        self.exchange.timeline.settle_funding(rate)

    @rule(lever=st.sampled_from([1, 2, 5, 50, 100]))
    def set_lever(self, lever: int) -> None:
        with self._refusing():
            self.exchange.set_lever(Decimal(lever))

    @rule(amount=SATOSHIS, inwards=st.booleans(), client_id=st.sampled_from(["", "t"]))
    def transfer(self, amount: Decimal, inwards: bool, client_id: str) -> None:
        codes = (AccountCode.FUNDING, AccountCode.TRADING)
        source, target = codes if inwards else codes[::-1]
        with self._refusing():
            self.exchange.transfer(
                TransferRequest(amount_btc=amount, source=source, target=target, client_id=client_id)
            )

    @rule()
    def fail_a_transfer(self) -> None:
        self.exchange.wallet.failing_transfers += 1

    @rule(amount=SATOSHIS, is_internal=st.booleans())
    def withdraw(self, amount: Decimal, is_internal: bool) -> None:
        address = deposit_address(9, 9)
        with self._refusing():
            self.exchange.withdraw(
                WithdrawalRequest(amount_btc=amount, address=address, client_id="", is_internal=is_internal)
            )

    @rule(amount=SATOSHIS)
    def receive(self, amount: Decimal) -> None:
        with suppress(AdminRequestError):
            self.exchange.wallet.receive(
                amount, at=self.exchange.clock.now(), now_secs=self.exchange.clock.monotonic()
            )
        self.exchange.advance()

    @rule()
    def mine(self) -> None:
        self.exchange.wallet.mine()

    @precondition(lambda self: self.exchange.wallet.withdrawals)
    @rule(state=st.sampled_from(["-2", "-1", "0", "1", "2", "7", "99"]), which=st.integers(0, 50))
    def settle_withdrawal(self, state: str, which: int) -> None:
        ids = list(self.exchange.wallet.withdrawals)
        with suppress(AdminRequestError):
            self.exchange.wallet.set_withdrawal_state(ids[which % len(ids)], state)

    @precondition(lambda self: self.exchange.wallet.deposits)
    @rule(state=st.sampled_from(["0", "1", "2", "8", "99"]), which=st.integers(0, 50))
    def settle_deposit(self, state: str, which: int) -> None:
        ids = list(self.exchange.wallet.deposits)
        with suppress(AdminRequestError):
            self.exchange.wallet.set_deposit_state(ids[which % len(ids)], state)

    @rule(amount=SATOSHIS, sign=st.sampled_from([1, -1]))
    def adjust(self, amount: Decimal, sign: int) -> None:
        with suppress(AdminRequestError):
            self.exchange.deposit(trading_btc=sign * amount, funding_btc=sign * amount)
            self.paid_in += 2 * sign * amount
            ratio = self.exchange.margin.ratio
            assert ratio is None or ratio > LIQUIDATION_RATIO

    @invariant()
    def bitcoin_is_conserved(self) -> None:
        """Users, exchange and counterparties hold together what came from outside."""
        assert self.exchange.custody.discrepancy_btc == 0
        wallet = self.exchange.wallet
        credited = sum((each.amount_btc for each in wallet.deposits.values() if each.is_credited), ZERO)
        paid = sum((each.request.amount_btc for each in wallet.withdrawals.values() if each.is_paid), ZERO)
        assert self.exchange.custody.paid_in_btc == self.paid_in + credited - paid

    @invariant()
    def counterparties_have_the_other_side(self) -> None:
        """Those who took the other side of every fill hold the opposite position and won what the user lost."""
        mirror = Account(deposited_btc=ZERO, lever=Decimal(1), updated_at=START)
        for fill in self.exchange.fills:
            taken = price_fill(
                mirror,
                trade_id=fill.trade_id,
                bill_id=fill.bill_id,
                order_id=fill.order_id,
                side=fill.side.opposite,
                contracts=fill.contracts,
                price_usd=fill.price_usd,
                at=fill.at,
                instrument=SWAP,
            )
            mirror = fold(mirror, taken)
        account = self.exchange.account
        assert mirror.contracts == -account.contracts
        funding = account.funding_fees_btc
        assert mirror.realized_pnl_btc - funding == self.exchange.custody.counterparties_btc

    @invariant()
    def bills_add_up(self) -> None:
        """The cash is what the first bill started from plus every change, and each line's balance holds."""
        balance = Decimal(2)
        for bill in self.exchange.trading.bills:
            balance += bill.change_btc
            assert bill.balance_btc == balance
            if bill.kind is BillType.TRADE:
                assert bill.change_btc == bill.pnl_btc + bill.fee_btc
        assert balance == self.exchange.account.cash_btc

    @invariant()
    def orders_agree_with_fills(self) -> None:
        """Each order has filled what its fills say, and rests only while pending."""
        filled: dict[str, Decimal] = {}
        for fill in self.exchange.fills:
            filled[fill.order_id] = filled.get(fill.order_id, ZERO) + fill.contracts
        for order in self.exchange.orders:
            assert order.filled_contracts == filled.get(order.order_id, ZERO) <= order.ticket.contracts
            assert (order.state is OrderState.FILLED) == (order.filled_contracts == order.ticket.contracts)
            if order.ticket.price_usd is not None and order.average_price_usd is not None:
                worse = (order.average_price_usd - order.ticket.price_usd) * order.ticket.side.sign
                assert worse <= Decimal("1e-20")
        pending = {order.order_id for order in self.exchange.pending_orders}
        waiting = {order.order_id for order in self.exchange.trading.resting} | set(
            self.exchange.timeline.arriving_secs
        )
        assert waiting == pending

    @invariant()
    def frozen_is_what_pending_orders_need(self) -> None:
        """For the side that needs more: its fees, and the margin of all but the best contracts, which close."""
        account, mark = self.exchange.account, self.exchange.price.mark_usd
        needs = [ZERO]
        for side in Side:
            values = sorted(
                ((order.ticket.price_usd or mark), order.remaining_contracts)
                for order in self.exchange.pending_orders
                if order.ticket.side is side and not order.ticket.reduce_only
            )
            against = max(ZERO, -side.sign * account.contracts)
            total = sum((contracts * 100 / price for price, contracts in values), ZERO)
            closing, left = ZERO, against
            for price, contracts in values if side is Side.SELL else values[::-1]:
                closing += min(left, contracts) * 100 / price
                left -= min(left, contracts)
            freed = against * 100 / mark / account.lever
            needs.append(total * SWAP.taker_rate + (total - closing) / account.lever - freed)
        assert abs(self.exchange.order_frozen_btc - max(needs)) < Decimal("1e-15")
        assert self.exchange.order_frozen_btc >= 0

    @invariant()
    def balances_are_not_negative(self) -> None:
        """Neither the funding account nor what is frozen in it, nor the cash of a flat trading account."""
        wallet = self.exchange.wallet
        assert 0 <= wallet.frozen_btc <= wallet.balance_btc
        assert wallet.in_transit_btc >= 0
        if self.exchange.account.position is None:
            assert self.exchange.account.cash_btc >= 0


class _Unchanged:
    """Swallows a refusal and checks that it changed nothing."""

    def __init__(self, machine: ExchangeMachine) -> None:
        self._machine = machine
        self._before = machine._sums()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, RefusalError):
            assert self._machine._sums() == self._before
            return True
        return False


CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much]

TestShortCampaign = ExchangeMachine.TestCase
TestShortCampaign.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=CALM
)


class _LongMachine(ExchangeMachine):
    """The same, for longer."""


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestLongCampaign(_LongMachine.TestCase):  # type: ignore[name-defined, misc]
    """Hundreds of histories of a hundred steps."""

    settings = settings(
        max_examples=300,
        stateful_step_count=100,
        deadline=None,
        suppress_health_check=CALM,
    )
