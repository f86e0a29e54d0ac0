"""The trading account: what fills and deposits do to it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.accounts import (
    Account,
    Fill,
    closing_contracts,
    fold,
    margin_at,
    price_fill,
    with_lever,
)
from stablesats.okx_simulator.instrument import BTC_USD_SWAP as SWAP
from stablesats.okx_simulator.market import Side

D = Decimal
AT = datetime(2026, 9, 1, tzinfo=UTC)
EMPTY = Account(deposited_btc=D("0.2"), lever=D(2), updated_at=AT)

trades = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.decimals(min_value="0.1", max_value=1000, places=1),
        st.decimals(min_value=1000, max_value=100_000, places=1),
    ),
    max_size=12,
)


def fill_of(account: Account, side: Side, contracts: Decimal, price_usd: Decimal) -> Fill:
    return price_fill(
        account,
        trade_id="7",
        bill_id="8",
        order_id="9",
        side=side,
        contracts=contracts,
        price_usd=price_usd,
        at=AT,
        instrument=SWAP,
    )


def after(account: Account, *legs: tuple[Side, str, int]) -> Account:
    for side, contracts, price_usd in legs:
        account = fold(account, fill_of(account, side, D(contracts), D(price_usd)))
    return account


def test_opening_a_short_charges_the_fee_and_holds_the_price() -> None:
    """Sell 100 at 50,000 from 0.2 BTC: fee 0.0001, cash 0.1999."""
    account = after(EMPTY, (Side.SELL, "100", 50_000))
    assert account.position is not None
    assert (account.contracts, account.position.entry_price_usd) == (-100, 50_000)
    assert account.cash_btc == D("0.1999")
    assert margin_at(account, D(50_000), SWAP).available_btc == D("0.0999")


def test_adding_moves_the_entry_to_the_harmonic_mean() -> None:
    """50 at 50,000 and 50 at 40,000 stand at 44,444.44."""
    account = after(EMPTY, (Side.SELL, "50", 50_000), (Side.SELL, "50", 40_000))
    assert account.position is not None
    assert account.position.entry_price_usd.quantize(D("0.01")) == D("44444.44")


def test_reducing_realises_profit_and_leaves_the_entry() -> None:
    """Buying back 40 of 100 at 45,000 books 0.0088888888888889 BTC; the rest stays at 50,000."""
    account = after(EMPTY, (Side.SELL, "100", 50_000), (Side.BUY, "40", 45_000))
    assert account.position is not None
    assert (account.contracts, account.position.entry_price_usd) == (-60, 50_000)
    assert account.realized_pnl_btc == account.position.pnl_btc == D("0.0088888888888889")


def test_closing_leaves_a_flat_account_that_remembers_it_held_one() -> None:
    """The remembered position is what OKX shows as a row with pos 0."""
    account = after(EMPTY, (Side.SELL, "100", 50_000), (Side.BUY, "100", 50_000))
    assert account.position is None
    assert account.last_position is not None
    assert account.cash_btc == D("0.1998")


def test_a_flip_closes_then_opens_at_the_new_price() -> None:
    """Short 100, buy 150: long 50 at the new price, with its own share of the fee and no old profit."""
    account = after(EMPTY, (Side.SELL, "100", 50_000), (Side.BUY, "150", 40_000))
    position = account.position
    assert position is not None
    assert (position.contracts, position.entry_price_usd) == (50, 40_000)
    assert position.fee_btc == D("-0.0000625")  # 50 x 100 / 40,000 x 0.0005
    assert position.pnl_btc == 0
    assert account.realized_pnl_btc == D("0.05")


@given(trades)
def test_cash_is_the_sum_of_what_moved_it(legs: list[tuple[Side, Decimal, Decimal]]) -> None:
    """Folding any history: cash = deposit + every fee + every profit, exactly; contracts add up."""
    account, fills = EMPTY, []
    for side, contracts, price_usd in legs:
        fill = fill_of(account, side, contracts, price_usd)
        account, fills = fold(account, fill), [*fills, fill]
    assert account.cash_btc == D("0.2") + sum((fill.fee_btc + fill.pnl_btc for fill in fills), D(0))
    assert account.contracts == sum((fill.signed_contracts for fill in fills), D(0))


@given(trades, st.decimals(min_value=1000, max_value=100_000, places=1))
def test_equity_equals_the_value_of_every_trade_at_the_mark(
    legs: list[tuple[Side, Decimal, Decimal]], mark_usd: Decimal
) -> None:
    """Whatever the path, equity = deposit + fees + the sum over trades of q V (1/P - 1/M), within 16 places each."""
    account = EMPTY
    value = D("0.2")
    for side, contracts, price_usd in legs:
        account = fold(account, fill_of(account, side, contracts, price_usd))
        value += side.sign * contracts * 100 * (1 / price_usd - 1 / mark_usd)
    assert abs(margin_at(account, mark_usd, SWAP).equity_btc - value - account.fees_btc) < D("1e-14")


@pytest.mark.parametrize(
    ("held", "side", "contracts", "closing"),
    [
        ("0", Side.BUY, "5", "0"),
        ("-10", Side.SELL, "5", "0"),
        ("-10", Side.BUY, "5", "5"),
        ("-10", Side.BUY, "10", "10"),
        ("-10", Side.BUY, "15", "10"),
        ("10", Side.SELL, "15", "10"),
    ],
)
def test_only_the_part_against_the_position_closes(
    held: str, side: Side, contracts: str, closing: str
) -> None:
    """The rest of an order opens."""
    account = EMPTY
    if D(held):
        opening = Side.BUY if D(held) > 0 else Side.SELL
        account = fold(account, fill_of(account, opening, abs(D(held)), D(50_000)))
    assert closing_contracts(account, side, D(contracts)) == D(closing)


def test_leverage_changes_only_what_is_blocked() -> None:
    """Equity is the same at leverage 2 and 4, the initial margin half."""
    account = after(EMPTY, (Side.SELL, "100", 50_000))
    twice = with_lever(account, D(4), AT)
    before, now = margin_at(account, D(50_000), SWAP), margin_at(twice, D(50_000), SWAP)
    assert now.equity_btc == before.equity_btc
    assert (before.initial_btc, now.initial_btc) == (D("0.1"), D("0.05"))
