"""The economics of the inverse perpetual, against the worked examples of the reference."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator import market
from stablesats.okx_simulator.instrument import BTC_USD_SWAP as SWAP

D = Decimal
SHORT = D(-100)  # contracts: 10,000 USD face
ENTRY = D(50_000)

prices = st.decimals(min_value=100, max_value=1_000_000, places=1)
sizes = st.decimals(min_value="0.1", max_value=49_000, places=1)


def near(value: Decimal | None, expected: str) -> bool:
    """Equal to the number of places in which the reference prints its example."""
    assert value is not None
    return value.quantize(D(expected)) == D(expected)


def test_fee_of_a_fill_is_negative() -> None:
    """0.0005 x 10,000 USD / 50,000 USD = 0.0001 BTC charged."""
    assert market.fee_btc(D(100), ENTRY, SWAP.taker_rate, SWAP) == D("-0.0001")


def test_entry_price_after_adding_is_the_harmonic_mean() -> None:
    """50 at 50,000 and 50 at 40,000 are 100 / (50/50,000 + 50/40,000) = 44,444.44, not 45,000."""
    assert near(market.entry_price_usd(D(50), ENTRY, D(50), D(40_000)), "44444.44")


@given(first=sizes, first_usd=prices, second=sizes, second_usd=prices, mark=prices)
def test_profit_on_the_harmonic_entry_is_the_sum_of_both_parts(
    first: Decimal, first_usd: Decimal, second: Decimal, second_usd: Decimal, mark: Decimal
) -> None:
    """The reason for the harmonic mean: no profit appears or vanishes by adding to a position."""
    entry = market.entry_price_usd(first, first_usd, second, second_usd)
    whole = market.unrealized_pnl_btc(first + second, entry, mark, SWAP)
    parts = market.unrealized_pnl_btc(first, first_usd, mark, SWAP) + market.unrealized_pnl_btc(
        second, second_usd, mark, SWAP
    )
    assert abs(whole - parts) < D("1e-20")


@pytest.mark.parametrize(
    ("mark", "upl", "equity", "initial", "available", "required", "ratio", "equity_usd"),
    [
        (40_000, "0.05", "0.2499", "0.125", "0.1249", "0.001125", "222.13", "9996"),
        (50_000, "0", "0.1999", "0.1", "0.0999", "0.0009", "222.11", "9995"),
        (60_000, "-0.03333333", "0.16656667", "0.08333333", "0.08323333", "0.00075", "222.09", "9994"),
    ],
)
def test_margins_of_a_short_of_10_000_usd_at_leverage_2(
    *,
    mark: int,
    upl: str,
    equity: str,
    initial: str,
    available: str,
    required: str,
    ratio: str,
    equity_usd: str,
) -> None:
    """The reference's table: cash 0.1999 BTC after the fee, sold at 50,000."""
    mark_usd, cash_btc = D(mark), D("0.1999")
    pnl = market.unrealized_pnl_btc(SHORT, ENTRY, mark_usd, SWAP)
    margin = market.initial_margin_btc(SHORT, mark_usd, D(2), SWAP)
    maintenance = market.maintenance_margin_btc(SHORT, mark_usd, SWAP)
    liquidation_fee = market.liquidation_fee_btc(SHORT, mark_usd, SWAP)

    assert near(pnl, upl)
    assert near(cash_btc + pnl, equity)
    assert near(margin, initial)
    assert near(market.available_equity_btc(cash_btc + pnl, margin, D(0)), available)
    assert near(maintenance + liquidation_fee, required)
    assert near(market.margin_ratio(cash_btc + pnl, D(0), SHORT, mark_usd, SWAP), ratio)
    assert near((cash_btc + pnl) * mark_usd, equity_usd)


def test_notional_is_unsigned_and_follows_index_over_mark() -> None:
    """10,000 USD x 49,990 / 50,000 = 9,998 USD."""
    assert market.notional_usd(SHORT, D(50_000), D(49_990), SWAP) == 9_998


def test_buying_back_a_part_realises_its_share() -> None:
    """-40 x 100 x (1/50,000 - 1/45,000) = +0.00888889 BTC, booked with sixteen places."""
    pnl = market.realized_pnl_btc(SHORT, D(40), ENTRY, D(45_000), SWAP)
    assert pnl == D("0.0088888888888889")


def test_positive_funding_rate_pays_the_short() -> None:
    """10,000 / 50,000 x 0.0001 = +0.00002 BTC to the short, the same from the long."""
    assert market.funding_payment_btc(SHORT, D(50_000), D("0.0001"), SWAP) == D("0.00002")
    assert market.funding_payment_btc(-SHORT, D(50_000), D("0.0001"), SWAP) == D("-0.00002")


@pytest.mark.parametrize(
    ("contracts", "cash_btc", "price"),
    [
        (D(-100), D("0.1"), "99550"),  # 10,000 x 0.9955 / (0.2 - 0.1)
        (D(100), D("0.1"), "33483.33"),  # 10,000 x 1.0045 / (0.1 + 0.2)
    ],
)
def test_liquidation_price(contracts: Decimal, cash_btc: Decimal, price: str) -> None:
    """The mark at which the margin ratio is exactly 1."""
    liquidation = market.liquidation_price_usd(contracts, ENTRY, cash_btc, SWAP)
    assert near(liquidation, price)
    assert liquidation is not None
    equity = cash_btc + market.unrealized_pnl_btc(contracts, ENTRY, liquidation, SWAP)
    assert near(market.margin_ratio(equity, D(0), contracts, liquidation, SWAP), "1.000000000000")


@pytest.mark.parametrize("cash_btc", [D("0.2"), D("0.3")])
def test_short_covered_by_its_collateral_cannot_be_liquidated(cash_btc: Decimal) -> None:
    """With F/A = 0.2 BTC or more behind it no price is high enough."""
    assert market.liquidation_price_usd(SHORT, ENTRY, cash_btc, SWAP) is None


def test_flat_account_has_neither_liquidation_price_nor_margin_ratio() -> None:
    """Not applicable is None, not zero."""
    assert market.liquidation_price_usd(D(0), ENTRY, D(1), SWAP) is None
    assert market.margin_ratio(D(1), D(0), D(0), ENTRY, SWAP) is None


def test_largest_opening_order_is_rounded_down_to_the_lot() -> None:
    """0.1 BTC / (100/50,000 x (1/2 + 0.0005)) = 99.90 contracts."""
    assert market.largest_opening_contracts(D("0.1"), ENTRY, D(2), SWAP) == D("99.9")


@given(available=st.decimals(min_value=0, max_value=1000, places=8), price=prices)
def test_largest_opening_order_is_affordable_and_one_lot_more_is_not(
    available: Decimal, price: Decimal
) -> None:
    """The bound is tight on both sides."""
    largest = market.largest_opening_contracts(available, price, D(5), SWAP)
    assert market.opening_cost_btc(largest, price, D(5), SWAP) <= available
    assert market.opening_cost_btc(largest + SWAP.lot_contracts, price, D(5), SWAP) > available


def test_gains_on_paper_cannot_be_withdrawn() -> None:
    """At 40,000 equity is 0.2499, yet min(0.1999, 0.2499) - 0.125 = 0.0749 BTC may leave."""
    assert market.withdrawable_btc(D("0.1999"), D("0.2499"), D("0.125"), D(0)) == D("0.0749")
