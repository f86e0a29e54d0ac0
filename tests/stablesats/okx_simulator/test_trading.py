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
    """Its position was closed by another order: it ends at once, not when its price comes."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, 10))
    exchange.place(ticket(Side.BUY, 10, "49900", reduce_only=True, client_order_id="reducing"))
    exchange.place(ticket(Side.BUY, 10))
    reducing = exchange.order(order_id="", client_order_id="reducing")
    assert (reducing.state, reducing.filled_contracts) == (OrderState.CANCELED, 0)
    assert reducing.cancel_source is CancelSource.NOTHING_TO_REDUCE
    exchange.feed.set_by_hand(D(49_000), D(49_000))
    exchange.advance()
    assert exchange.account.contracts == 0


def test_reduce_only_orders_that_meet_their_price_together_close_once(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """10 to close, twice 8 waiting: 8 and 2, and the rest of the second ends with the position."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, 10))
    for client_order_id in ("first", "second"):
        exchange.place(ticket(Side.BUY, 8, "49900", reduce_only=True, client_order_id=client_order_id))
    exchange.feed.set_by_hand(D(49_000), D(49_000))
    exchange.advance()
    ended = [exchange.order(order_id="", client_order_id=each) for each in ("first", "second")]
    assert [(order.state, order.filled_contracts) for order in ended] == [("filled", 8), ("canceled", 2)]
    assert ended[1].cancel_source is CancelSource.NOTHING_TO_REDUCE
    assert exchange.account.contracts == 0


def test_resting_orders_against_a_position_close_it_only_once(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Short 150 over 0.2 BTC at leverage 2: 0.15 is blocked, and buys beyond 2 x 150 need more than is left.

    The second buy of 150 opens with what the first one frees; a third would take 0.15 BTC of the 0.0497
    that are free.
    """
    exchange = exchange_factory(**WORKED)
    exchange.place(ticket(Side.SELL, 150))
    for _ in range(2):
        exchange.place(ticket(Side.BUY, 150, "49990"))
    for _ in range(4):
        with pytest.raises(RefusalError, match="51008"):
            exchange.place(ticket(Side.BUY, 150, "49990"))
    exchange.feed.set_by_hand(D(49_980), D(49_990))
    exchange.advance()
    assert exchange.account.contracts == 150
    margin = exchange.margin
    assert margin.initial_btc + margin.order_frozen_btc <= margin.equity_btc


def test_frozen_margin_follows_the_position_and_the_leverage(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Buys that would have closed a short open a long once it is gone; at leverage 4 that takes half."""
    exchange = exchange_factory(trading_btc=D(1), lever=D(2))
    exchange.place(ticket(Side.SELL, 100))
    exchange.place(ticket(Side.BUY, 100, "49900", client_order_id="a"))
    assert exchange.order_frozen_btc == 0
    exchange.place(ticket(Side.BUY, 100))
    whole = 10_000 / D(49_900) * (D("0.5") + D("0.0005"))
    assert exchange.order_frozen_btc.quantize(D("1e-12")) == whole.quantize(D("1e-12"))
    exchange.set_lever(D(4))
    half = 10_000 / D(49_900) * (D("0.25") + D("0.0005"))
    assert exchange.order_frozen_btc.quantize(D("1e-12")) == half.quantize(D("1e-12"))
    exchange.cancel(order_id="", client_order_id="a")
    assert exchange.order_frozen_btc == 0


@pytest.mark.parametrize(("lever", "accepted"), [("1.01", True), ("0.99", False)])
def test_leverage_is_bounded_by_what_pending_orders_would_hold_back(
    exchange_factory: Callable[..., Exchange], lever: str, accepted: bool
) -> None:
    """Flat with 0.2 BTC, a buy of 99 at 50,000 blocks 0.198 / L and a fee of 0.0001."""
    exchange = exchange_factory(**WORKED)
    hold(exchange, book([(50_010, 10)], [(49_990, 10)]))
    exchange.place(ticket(Side.BUY, 99, "50000"))
    if accepted:
        exchange.set_lever(D(lever))
    else:
        with pytest.raises(RefusalError, match="59109"):
            exchange.set_lever(D(lever))
    assert exchange.account.lever == (D(lever) if accepted else 2)


def test_order_that_would_have_closed_is_cancelled_if_it_can_only_open_without_margin(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Short 100 and a buy of 150 below; the short is closed at a loss, and 0.0666 BTC are left of 0.1501 needed."""
    exchange = exchange_factory(trading_btc=D("0.1001"), lever=D(2))
    exchange.place(ticket(Side.SELL, 100))
    waiting = exchange.place(ticket(Side.BUY, 150, "49900"))
    exchange.feed.set_by_hand(D(60_000), D(60_000))
    exchange.place(ticket(Side.BUY, 100))
    exchange.feed.set_by_hand(D(49_890), D(49_890))
    exchange.advance()
    ended = exchange.order(order_id=waiting.order_id, client_order_id="")
    assert (ended.state, ended.filled_contracts) == (OrderState.CANCELED, 0)
    assert ended.cancel_source is CancelSource.SYSTEM
    assert (exchange.account.contracts, exchange.order_frozen_btc) == (0, 0)


def test_order_without_margin_for_what_it_opens_still_closes(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Short 100 and a buy of 150 below; with 0.06 BTC taken out, 100 close and the other 50 are cancelled."""
    exchange = exchange_factory(trading_btc=D("0.1001"), lever=D(2))
    exchange.place(ticket(Side.SELL, 100))
    waiting = exchange.place(ticket(Side.BUY, 150, "49900"))
    exchange.deposit(trading_btc=D("-0.06"))
    exchange.feed.set_by_hand(D(49_890), D(49_890))
    exchange.advance()
    ended = exchange.order(order_id=waiting.order_id, client_order_id="")
    assert (ended.state, ended.filled_contracts) == (OrderState.CANCELED, 100)
    assert exchange.account.contracts == 0


@pytest.mark.parametrize(
    ("kind", "filled"), [(OrderKind.MARKET, 100), (OrderKind.LIMIT, 100), (OrderKind.FILL_OR_KILL, 0)]
)
def test_late_order_whose_margin_is_gone_on_arrival_opens_nothing(
    exchange_factory: Callable[..., Exchange], clock: Any, kind: OrderKind, filled: int
) -> None:
    """On its way to turn a short of 100 into a long of 50, while 0.19 of 0.2 BTC are taken out."""
    exchange = exchange_factory(**WORKED, fill_delay_ms=1000)
    exchange.place(ticket(Side.SELL, 100))
    clock.advance(1)
    price = None if kind is OrderKind.MARKET else "50000"
    exchange.place(ticket(Side.BUY, 150, price, kind=kind, client_order_id="late"))
    exchange.deposit(trading_btc=D("-0.19"))
    clock.advance(1)
    late = exchange.order(order_id="", client_order_id="late")
    assert (late.state, late.filled_contracts) == (OrderState.CANCELED, filled)
    assert exchange.account.contracts == filled - 100


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
    exchange.place(ticket(Side.BUY, 4_747, "49750", client_order_id="greedy"))
    exchange.feed.set_by_hand(D(50_400), D(50_400))
    exchange.advance()
    greedy = exchange.order(order_id="", client_order_id="greedy")
    assert (greedy.state, greedy.cancel_source) == (OrderState.CANCELED, CancelSource.LIQUIDATION)
    assert exchange.account.contracts == -10


@pytest.mark.parametrize(("left", "liquidated"), [("0.00091", False), ("0.0009", True)])
def test_position_whose_collateral_is_taken_out_is_liquidated(
    exchange_factory: Callable[..., Exchange], left: str, liquidated: bool
) -> None:
    """Short 100 at 50,000 needs 0.0009 BTC to stand; the mark need not move."""
    exchange = exchange_factory(**WORKED)
    exchange.place(ticket(Side.SELL, 100))
    exchange.place(ticket(Side.BUY, 100, "49900"))
    exchange.deposit(trading_btc=D(left) - D("0.1999"))
    assert (exchange.account.contracts == 0) is liquidated
    assert bool(exchange.pending_orders) is not liquidated


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


def test_loss_of_an_own_close_beyond_the_collateral_is_the_insurances(
    exchange_factory: Callable[..., Exchange],
) -> None:
    """Long at leverage 100, the mark just above liquidation, and the best bid half a percent below it."""
    exchange = exchange_factory(trading_btc=D("0.011"), lever=D(100))
    exchange.place(ticket(Side.BUY, 500))
    thin = book([(49_940, 1)], [(49_470, 10_000)])
    exchange.feed.set_by_hand(D(49_470), D(49_940), book=thin, index_usd=D(49_705))
    exchange.advance()
    assert exchange.account.contracts == 500
    exchange.close_position(client_order_id="", tag="", cancel_pending=False)
    assert (exchange.account.contracts, exchange.account.cash_btc) == (0, 0)
    assert exchange.trading.bills[-1].sub_kind is BillSubType.INSURANCE
    assert exchange.account.insured_btc == exchange.trading.bills[-1].change_btc > 0
    assert exchange.custody.discrepancy_btc == 0


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
