"""The trading account at work: resting orders, depth, funding, liquidation, bills."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stablesats.okx_simulator import Book, BookShape, Level, PriceReplay, Quote
from stablesats.okx_simulator.bills import BillSubType, BillType
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import CancelSource, OrderCategory, OrderKind, OrderState, OrderTicket
from stablesats.okx_simulator.refusals import RefusalError

D = Decimal
WORKED = {"trading_btc": D("0.2"), "lever": D(2)}  # the running example of the reference


def ticket(
    side: Side, contracts: int, price: str | None = None, *, kind: OrderKind | None = None, **more: Any
) -> OrderTicket:
    fields: dict[str, Any] = {"client_order_id": "", "tag": "", "reduce_only": False, **more}
    return OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=side,
        contracts=D(contracts),
        kind=kind or (OrderKind.LIMIT if price else OrderKind.MARKET),
        price_usd=D(price) if price else None,
        **fields,
    )


def book(asks: list[tuple[int, int]], bids: list[tuple[int, int]]) -> Book:
    return Book(
        tuple(Level(D(price), D(size)) for price, size in asks),
        tuple(Level(D(price), D(size)) for price, size in bids),
    )


def hold(exchange: Exchange, held: Book) -> None:
    exchange.feed.set_by_hand(held.bids[0].price_usd, held.asks[0].price_usd, book=held)
    exchange.advance()


def test_market_order_slips_through_the_levels(exchange_factory: Callable[..., Exchange]) -> None:
    """15 from 10 at 50,000 and 10 at 49,950: two fills, and the harmonic mean 49,983.3278."""
    exchange = exchange_factory()
    hold(exchange, book([(50_010, 10)], [(50_000, 10), (49_950, 10)]))
    order = exchange.place(ticket(Side.SELL, 15))
    assert order.state is OrderState.FILLED
    assert [(fill.contracts, fill.price_usd) for fill in exchange.fills] == [(10, 50_000), (5, 49_950)]
    assert order.average_price_usd is not None
    assert order.average_price_usd.quantize(D("0.0001")) == D("49983.3222")
    assert exchange.account.position is not None
    assert exchange.account.position.entry_price_usd == order.average_price_usd


def test_market_order_in_a_thin_book_leaves_a_remainder(exchange_factory: Callable[..., Exchange]) -> None:
    """Cancelled after a partial fill; what was filled stays."""
    exchange = exchange_factory()
    hold(exchange, book([(50_010, 10)], [(50_000, 4)]))
    order = exchange.place(ticket(Side.SELL, 10))
    assert (order.state, order.filled_contracts, order.cancel_source) == ("canceled", 4, CancelSource.SYSTEM)


def test_market_order_without_any_offer_is_refused(exchange_factory: Callable[..., Exchange]) -> None:
    """51109, and no order."""
    exchange = exchange_factory(book=BookShape(levels=0))
    with pytest.raises(RefusalError, match="51109"):
        exchange.place(ticket(Side.SELL, 10))
    assert exchange.order_count == 0


@pytest.mark.parametrize(("price", "accepted"), [("50250", True), ("50250.1", False)])
def test_limit_beyond_the_band_is_refused(
    exchange_factory: Callable[..., Exchange], price: str, accepted: bool
) -> None:
    """Half a percent above the mark is the most that a buy may name."""
    exchange = exchange_factory()
    if accepted:
        assert exchange.place(ticket(Side.BUY, 1, price)).state is OrderState.FILLED
    else:
        with pytest.raises(RefusalError, match=r"51006.*max buy price: 50250 , min sell price: 49750"):
            exchange.place(ticket(Side.BUY, 1, price))


def test_resting_order_freezes_its_margin_and_fills_at_its_own_price_as_a_maker(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Sell 100 at 50,100: 10,000 / 50,100 x (1/2 + 0.0005) frozen; then filled for 0.0002 when the bid is there."""
    exchange = exchange_factory(**WORKED)
    order = exchange.place(ticket(Side.SELL, 100, "50100"))
    assert order.state is OrderState.LIVE
    assert exchange.order_frozen_btc.quantize(D("1e-8")) == D("0.09990020")
    exchange.feed.set_by_hand(D(50_099), D(50_101))
    exchange.advance()
    assert exchange.pending_orders
    exchange.feed.set_by_hand(D(50_150), D(50_151))
    exchange.advance()
    [fill] = exchange.fills
    assert (fill.price_usd, fill.is_maker) == (50_100, True)
    assert fill.fee_btc.quantize(D("1e-10")) == D("-0.0000399202")
    assert exchange.order_frozen_btc == 0


def test_resting_orders_share_what_is_offered_best_price_then_oldest_first(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """12 offered against 10 at the better price and 10 at the worse: 10 and 2."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.BUY, 10, "49900", client_order_id="worse"))
    exchange.place(ticket(Side.BUY, 10, "49950", client_order_id="better"))
    hold(exchange, book([(49_890, 12)], [(49_880, 1)]))
    filled = {order.ticket.client_order_id: order.filled_contracts for order in exchange.orders}
    assert filled == {"better": 10, "worse": 2}
    states = {order.ticket.client_order_id: order.state for order in exchange.orders}
    assert states == {"better": OrderState.FILLED, "worse": OrderState.PARTIALLY_FILLED}
    assert 0 < exchange.order_frozen_btc < D("0.0041")  # 8 contracts are left: 800 / 49,900 x 0.2005


def test_one_price_fills_a_resting_order_once(exchange_factory: Callable[..., Exchange]) -> None:
    """Asking again does not make the same offer a new one."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.BUY, 10, "49900"))
    hold(exchange, book([(49_890, 3)], [(49_880, 1)]))
    for _ in range(3):
        exchange.advance()
    assert exchange.account.contracts == 3


def test_resting_order_in_a_replay_meets_every_price_in_between(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """A dip that lasted one second is not missed, although nobody asked meanwhile, and is stamped with it."""
    start = datetime(2017, 9, 4, tzinfo=UTC)
    prices = [4000, 4000, 3985, 4000, 4000]
    quotes = tuple(Quote(start + timedelta(seconds=at), *[D(price)] * 3) for at, price in enumerate(prices))
    exchange = exchange_factory(replay=PriceReplay(quotes))
    assert exchange.feed.replay_clock is not None
    exchange.feed.replay_clock.start()
    placed_at = clock.now()
    order = exchange.place(ticket(Side.BUY, 10, "3990"))
    clock.advance(4)
    exchange.advance()
    filled = exchange.order(order_id=order.order_id, client_order_id="")
    assert (filled.state, filled.average_price_usd) == (OrderState.FILLED, 3990)
    assert filled.updated_at == placed_at + timedelta(seconds=2)


def test_reduce_only_order_that_has_nothing_left_to_reduce_ends(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Its position was closed by another order."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, 10))
    exchange.place(ticket(Side.BUY, 10, "49900", reduce_only=True, client_order_id="reducing"))
    exchange.place(ticket(Side.BUY, 10))
    exchange.feed.set_by_hand(D(49_000), D(49_000))
    exchange.advance()
    reducing = exchange.order(order_id="", client_order_id="reducing")
    assert (reducing.state, reducing.filled_contracts) == (OrderState.CANCELED, 0)
    assert exchange.account.contracts == 0


def test_funding_is_paid_by_the_long_and_received_by_the_short(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """Rate 0.0001 on 10,000 USD at 50,000: 0.00002 BTC every eight hours, to the position open at the instant."""
    exchange = exchange_factory(**WORKED)
    exchange.place(ticket(Side.SELL, 100))
    clock.advance(4 * 3600 - 0.001)  # 15:59:59.999
    exchange.advance()
    assert exchange.account.funding_fees_btc == 0
    clock.advance(0.001)
    exchange.advance()
    assert exchange.account.funding_fees_btc == D("0.00002")
    assert exchange.account.cash_btc == D("0.19992")
    assert exchange.account.position is not None
    assert exchange.account.position.funding_fee_btc == D("0.00002")
    clock.advance(16 * 3600)
    exchange.advance()
    assert exchange.account.funding_fees_btc == D("0.00006")
    bill = exchange.trading.bills[-1]
    assert (bill.kind, bill.sub_kind, bill.change_btc) == (
        BillType.FUNDING_FEE,
        BillSubType.FUNDING_INCOME,
        D("0.00002"),
    )


def test_nobody_without_a_position_pays_funding(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """No bill, no change."""
    exchange = exchange_factory()
    clock.advance(24 * 3600)
    exchange.advance()
    assert (exchange.account.cash_btc, list(exchange.trading.bills)) == (10, [])


def test_short_is_liquidated_at_its_liquidation_price(exchange_factory: Callable[..., Exchange]) -> None:
    """`C` = 0.1 BTC after the fee: 9,955 / 0.1 = 99,550 USD; a tick below nothing happens, one above all is closed."""
    exchange = exchange_factory(trading_btc=D("0.1001"), lever=D(3))
    exchange.place(ticket(Side.SELL, 100))
    exchange.feed.set_by_hand(D("99549.9"), D("99549.9"))
    exchange.advance()
    assert (exchange.account.contracts, exchange.trading.margin_alerts) == (-100, 1)
    exchange.feed.set_by_hand(D("99550.1"), D("99550.1"))
    exchange.advance()
    order = exchange.orders[-1]
    assert exchange.account.contracts == 0
    assert (order.category, order.state, order.filled_contracts) == (
        OrderCategory.FULL_LIQUIDATION, OrderState.FILLED, 100,
    )  # fmt: skip
    penalty = exchange.account.liquidation_penalties_btc
    assert penalty.quantize(D("1e-10")) == D("-0.0000502260")  # 0.0005 x 10,000 / 99,550
    assert exchange.account.cash_btc.quantize(D("1e-8")) == D("0.00040171")  # k F / M, less a tick
    assert exchange.account.insured_btc == 0


def test_liquidation_cancels_orders_first_and_may_stop_there(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """An order that holds back nearly everything brings the ratio below 1; without it the position stands."""
    exchange = exchange_factory(trading_btc=D("0.1"), lever=D(100))
    exchange.place(ticket(Side.SELL, 10))
    exchange.place(ticket(Side.BUY, 4_740, "49750", client_order_id="greedy"))
    exchange.feed.set_by_hand(D(50_300), D(50_300))
    exchange.advance()
    greedy = exchange.order(order_id="", client_order_id="greedy")
    assert (greedy.state, greedy.cancel_source) == (OrderState.CANCELED, CancelSource.LIQUIDATION)
    assert exchange.account.contracts == -10


def test_loss_beyond_the_collateral_is_the_insurances(exchange_factory: Callable[..., Exchange]) -> None:
    """The price jumps over the liquidation price: the balance is lifted to zero, and the bill says so."""
    exchange = exchange_factory(trading_btc=D("0.1001"), lever=D(3))
    exchange.place(ticket(Side.BUY, 100))
    exchange.feed.set_by_hand(D(20_000), D(20_000))
    exchange.advance()
    assert exchange.account.cash_btc == 0
    # Lost: 10,000 x (1/20,000 - 1/50,000) = 0.3, and 0.00025 of penalty, against 0.1 BTC.
    assert exchange.account.insured_btc == D("0.20025")
    assert exchange.trading.bills[-1].sub_kind is BillSubType.INSURANCE
    assert exchange.custody.discrepancy_btc == 0
    assert exchange.custody.exchange_btc == D("0.0001") + D("0.00025") - D("0.20025")


def test_mark_stands_off_the_index_by_the_basis(exchange_factory: Callable[..., Exchange]) -> None:
    """A basis of a tenth of a percent: the index is 50,000, margins count at 50,050."""
    exchange = exchange_factory(basis_ratio=D("0.001"))
    assert (exchange.price.index_usd, exchange.price.mark_usd) == (50_000, 50_050)


def test_partial_fill_on_request_cancels_the_rest(exchange_factory: Callable[..., Exchange]) -> None:
    """A third of 10 contracts is 3.3, rounded down to the lot; a delayed order keeps the ratio it came with."""
    exchange = exchange_factory()
    with exchange.filling_only(D("0.333333")):
        order = exchange.place(ticket(Side.SELL, 10))
    assert (order.state, order.filled_contracts) == (OrderState.CANCELED, D("3.3"))
    assert exchange.place(ticket(Side.SELL, 10)).state is OrderState.FILLED


def test_close_that_nobody_would_take_keeps_the_orders_it_was_to_cancel(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Refused is refused: with an empty book nothing has changed."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, 10))
    exchange.place(ticket(Side.BUY, 5, "49900", client_order_id="reducing"))
    exchange.feed.set_by_hand(D(50_000), D(50_000), book=Book((), (Level(D(50_000), D(1)),)))
    with pytest.raises(RefusalError, match="51109"):
        exchange.close_position(client_order_id="", tag="", cancel_pending=True)
    assert [order.ticket.client_order_id for order in exchange.pending_orders] == ["reducing"]
