"""The exchange without its protocol: acceptance, settlement, cancellation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator import AdminRequestError, PriceReplay, Quote, SimulatorConfig
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.market import Side
from stablesats.okx_simulator.orders import Order, OrderState, OrderTicket
from stablesats.okx_simulator.refusals import RefusalError

START = datetime(2017, 9, 4, tzinfo=UTC)


def ticket(
    side: Side, contracts: str, client_order_id: str = "", *, reduce_only: bool = False
) -> OrderTicket:
    return OrderTicket(
        inst_id="BTC-USD-SWAP",
        side=side,
        contracts=Decimal(contracts),
        client_order_id=client_order_id,
        tag="",
        reduce_only=reduce_only,
    )


def by_client_id(exchange: Exchange, client_order_id: str) -> Order:
    return exchange.order(order_id="", client_order_id=client_order_id)


def test_market_order_is_settled_before_it_is_answered(exchange_factory: Callable[..., Exchange]) -> None:
    """Without a fill delay the answer already shows it filled."""
    exchange = exchange_factory()
    order = exchange.place(ticket(Side.SELL, "100", "a"))
    assert (order.state, order.average_price_usd) == (OrderState.FILLED, 50_000)
    assert exchange.account.contracts == -100
    assert len(exchange.fills) == 1


def test_delayed_order_is_live_and_fills_at_the_price_of_its_moment(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """Due after 2 s it takes the quote of second 2, although nobody asks before second 9."""
    quotes = tuple(
        Quote(START + timedelta(seconds=second), Decimal(4000 + second), Decimal(4000 + second), Decimal(1))
        for second in range(20)
    )
    exchange = exchange_factory(replay=PriceReplay(quotes), fill_delay_ms=2000, price_usd=Decimal(1))
    exchange.feed.replay_clock.start()  # type: ignore[union-attr]
    placed_at = clock.now()
    order = exchange.place(ticket(Side.SELL, "1", "a"))
    assert order.state is OrderState.LIVE
    assert exchange.order_frozen_btc > 0
    clock.advance(1.9)
    assert by_client_id(exchange, "a").state is OrderState.LIVE
    clock.advance(7.1)
    filled = by_client_id(exchange, "a")
    assert (filled.state, filled.average_price_usd) == (OrderState.FILLED, 4002)
    assert filled.updated_at == placed_at + timedelta(seconds=2)
    assert exchange.order_frozen_btc == 0


def test_client_order_id_is_unique_among_pending_orders_only(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """A repeat is refused while the first is live, and accepted afterwards: it trades twice."""
    exchange = exchange_factory(fill_delay_ms=1000)
    first = exchange.place(ticket(Side.SELL, "1", "a"))
    with pytest.raises(RefusalError) as refused:
        exchange.place(ticket(Side.SELL, "1", "a"))
    clock.advance(1)
    second = exchange.place(ticket(Side.SELL, "1", "a"))
    clock.advance(1)
    assert refused.value.code == "51016"
    assert by_client_id(exchange, "a").order_id == second.order_id
    assert exchange.order(order_id=first.order_id, client_order_id="a").order_id == first.order_id
    assert exchange.account.contracts == -2


def test_strict_client_order_ids_refuse_every_reuse(exchange_factory: Callable[..., Exchange]) -> None:
    """A switch for tests of clients that must never reuse an id."""
    exchange = exchange_factory(unique_client_ids=True)
    exchange.place(ticket(Side.SELL, "1", "a"))
    with pytest.raises(RefusalError, match="51016"):
        exchange.place(ticket(Side.SELL, "1", "a"))


def test_uncovered_opening_is_refused_and_changes_nothing(exchange_factory: Callable[..., Exchange]) -> None:
    """10 BTC at leverage 5 carry 24,937.6 contracts (10 / 0.002 / 0.2005), not one lot more."""
    exchange = exchange_factory()
    assert exchange.largest_order_contracts(Side.SELL) == Decimal("24937.6")
    with pytest.raises(RefusalError) as refused:
        exchange.place(ticket(Side.SELL, "24937.7", "a"))
    assert (refused.value.code, refused.value.sub_code) == ("51008", "1001")
    assert refused.value.message == "Order failed. Insufficient BTC margin in account"
    assert (exchange.order_count, exchange.account.cash_btc) == (0, 10)
    assert exchange.place(ticket(Side.SELL, "24937.6", "a")).state is OrderState.FILLED


def test_pending_orders_hold_back_their_margin(exchange_factory: Callable[..., Exchange]) -> None:
    """Two orders that only fit alone: the second is refused while the first is live."""
    exchange = exchange_factory(fill_delay_ms=1000)
    exchange.place(ticket(Side.SELL, "20000"))
    with pytest.raises(RefusalError, match="51008"):
        exchange.place(ticket(Side.SELL, "20000"))


def test_reduce_only_order_is_capped_at_the_position(exchange_factory: Callable[..., Exchange]) -> None:
    """Of 15 asked against a short of 10, 10 fill and the rest is cancelled by the system."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, "10"))
    order = exchange.place(ticket(Side.BUY, "15", reduce_only=True))
    assert (order.state, order.filled_contracts, order.cancel_source) == (OrderState.CANCELED, 10, "0")
    assert exchange.account.contracts == 0


@pytest.mark.parametrize("side", list(Side))
def test_reduce_only_order_with_nothing_to_reduce_is_refused(
    exchange_factory: Callable[..., Exchange], side: Side
) -> None:
    """Flat, or in the direction of the position."""
    exchange = exchange_factory()
    if side is Side.SELL:
        exchange.place(ticket(Side.SELL, "10"))
    with pytest.raises(RefusalError, match="51169"):
        exchange.place(ticket(side, "1", reduce_only=True))


def test_closing_twice_closes_once(exchange_factory: Callable[..., Exchange]) -> None:
    """The second call finds no position: safe to repeat."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, "10"))
    closing = exchange.close_position(client_order_id="c", tag="", cancel_pending=False)
    assert (closing.ticket.side, closing.filled_contracts) == (Side.BUY, 10)
    with pytest.raises(RefusalError, match="51023"):
        exchange.close_position(client_order_id="c", tag="", cancel_pending=False)
    assert exchange.order_count == 2


def test_pending_close_blocks_another_unless_cancelled(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """51115 without autoCxl; with it the pending one ends and the position closes once."""
    exchange = exchange_factory(fill_delay_ms=1000)
    exchange.place(ticket(Side.SELL, "10"))
    clock.advance(1)
    exchange.close_position(client_order_id="c1", tag="", cancel_pending=False)
    with pytest.raises(RefusalError, match="51115"):
        exchange.close_position(client_order_id="c2", tag="", cancel_pending=False)
    exchange.close_position(client_order_id="c2", tag="", cancel_pending=True)
    clock.advance(1)
    ended = by_client_id(exchange, "c1")
    assert (ended.state, ended.cancel_source) == (OrderState.CANCELED, "17")
    assert by_client_id(exchange, "c2").state is OrderState.FILLED
    assert exchange.account.contracts == 0


def test_live_order_can_be_cancelled_and_a_final_one_cannot(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """Cancelled by the user, it never trades."""
    exchange = exchange_factory(fill_delay_ms=1000)
    exchange.place(ticket(Side.SELL, "10", "a"))
    ended = exchange.cancel(order_id="", client_order_id="a")
    clock.advance(5)
    exchange.advance()
    assert (ended.state, ended.cancel_source) == (OrderState.CANCELED, "1")
    assert exchange.account.contracts == 0
    with pytest.raises(RefusalError, match="51400"):
        exchange.cancel(order_id="", client_order_id="a")


@pytest.mark.parametrize(("hours", "known"), [(1.99, True), (2.01, False)])
def test_order_cancelled_unfilled_is_forgotten_after_two_hours(
    exchange_factory: Callable[..., Exchange], clock: Any, hours: float, known: bool
) -> None:
    """Then GET order says 51603 and the history leaves it out."""
    exchange = exchange_factory(fill_delay_ms=1000)
    exchange.place(ticket(Side.SELL, "10", "a"))
    exchange.cancel(order_id="", client_order_id="a")
    clock.advance(hours * 3600)
    assert bool(exchange.order_history()) is known
    if not known:
        with pytest.raises(RefusalError, match="51603"):
            by_client_id(exchange, "a")


def test_order_hidden_by_a_fault_appears_later(exchange_factory: Callable[..., Exchange], clock: Any) -> None:
    """The exchange says for a while that the order does not exist, though it has traded."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, "1", "old"))
    exchange.place(ticket(Side.SELL, "1", "new"))
    exchange.hide_orders_since(1, 500)
    with pytest.raises(RefusalError, match="51603"):
        by_client_id(exchange, "new")
    assert by_client_id(exchange, "old").state is OrderState.FILLED
    clock.advance(0.5)
    assert by_client_id(exchange, "new").state is OrderState.FILLED


@pytest.mark.parametrize(
    ("lever", "code"), [("100.01", "59102"), ("0.009", "59105"), ("0.01", "59109"), ("100", None)]
)
def test_leverage_is_bounded_by_the_instrument_and_the_equity(
    exchange_factory: Callable[..., Exchange], lever: str, code: str | None
) -> None:
    """At 0.01 a position of 0.2 BTC would need 20 BTC."""
    exchange = exchange_factory()
    exchange.place(ticket(Side.SELL, "100"))
    if code is None:
        exchange.set_lever(Decimal(lever))
        assert exchange.account.lever == Decimal(lever)
    else:
        with pytest.raises(RefusalError, match=code):
            exchange.set_lever(Decimal(lever))
        assert exchange.account.lever == 5


@pytest.mark.parametrize("amount", ["-10.00000001", "0.000000001", "NaN"])
def test_impossible_deposit_changes_nothing(exchange_factory: Callable[..., Exchange], amount: str) -> None:
    """No balance below zero, no fraction of a satoshi."""
    exchange = exchange_factory()
    with pytest.raises(AdminRequestError, match="trading_btc"):
        exchange.deposit(trading_btc=Decimal(amount), funding_btc=Decimal(1))
    assert (exchange.account.cash_btc, exchange.funding_btc) == (10, 0)


def test_equal_seeds_give_equal_ids(exchange_factory: Callable[..., Exchange]) -> None:
    """Two runs of one seed cannot be told apart; ids have nineteen digits."""
    ids = [exchange_factory(seed=seed).place(ticket(Side.SELL, "1")).order_id for seed in (7, 7, 8)]
    assert ids[0] == ids[1] != ids[2]
    assert {len(order_id) for order_id in ids} == {19}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.decimals(min_value="0.1", max_value=3000, places=1),
            st.decimals(min_value=20_000, max_value=80_000, places=1),
            st.booleans(),
        ),
        max_size=10,
    )
)
def test_state_is_always_the_sum_of_the_fills(legs: list[tuple[Side, Decimal, Decimal, bool]]) -> None:
    """Whatever is accepted or refused: position, cash and orders follow from the list of fills."""
    exchange = Exchange(SimulatorConfig(), now=lambda: START, monotonic=lambda: 0.0)
    for side, contracts, price_usd, reduce_only in legs:
        exchange.feed.set_by_hand(price_usd, price_usd)
        with suppress(RefusalError):
            exchange.place(ticket(side, str(contracts), reduce_only=reduce_only))
    fills = exchange.fills
    assert exchange.account.contracts == sum((fill.signed_contracts for fill in fills), Decimal(0))
    assert exchange.account.cash_btc == 10 + exchange.account.insured_btc + sum(
        (fill.change_btc for fill in fills), Decimal(0)
    )
    assert sum((order.filled_contracts for order in exchange.orders), Decimal(0)) == sum(
        (fill.contracts for fill in fills), Decimal(0)
    )
    assert all(order.state.is_final for order in exchange.orders)


def test_settlement_is_booked_at_its_own_time(clock: Any) -> None:
    """However long it takes to read one clock after the other: bills since that instant include it."""

    def late_monotonic() -> float:
        clock.wall += timedelta(milliseconds=1)
        return float(clock.seconds)

    exchange = Exchange(SimulatorConfig(), now=clock.now, monotonic=late_monotonic)
    exchange.place(ticket(Side.SELL, "100", "a"))
    clock.advance(86_400)
    exchange.advance()
    settled = [bill.at for bill in exchange.trading.bills[1:]]
    assert settled == [datetime(2026, 9, 1, 16, tzinfo=UTC) + timedelta(hours=8 * n) for n in range(3)]
