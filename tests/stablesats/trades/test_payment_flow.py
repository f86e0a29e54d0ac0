"""A recorded flow of payments becomes the trades of users who hold dollars."""

import gzip
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.data import PAYMENT_FLOW
from stablesats.trades import Unit
from stablesats.trades.payment_flow import DealerQuote, Payment, read_payments, schedule, trade_for

START = datetime(2017, 9, 4, tzinfo=UTC)
QUOTE = DealerQuote(bid_usd=Decimal("4626.04"), ask_usd=Decimal("4626.05"))


class TestTradeFor:
    def test_receipt_buys_dollars_at_the_bid(self) -> None:
        """1,569,000 sats at 4,626.04 are 7,258.25676 cents; less 0.1 % and rounded down 7,250."""
        trade = trade_for(Payment(7, 1_569_000), at=START, quote=QUOTE, users_cents=0)
        assert trade is not None
        assert (trade.id, trade.timestamp) == ("payment-7", START)
        assert (trade.buy_unit, trade.cents, trade.sats) == (Unit.USD_CENT, 7_250, 1_569_000)

    def test_payment_out_sells_dollars_at_the_ask(self) -> None:
        """1,569,000 sats at 4,626.05 are 7,258.27245 cents; plus 0.1 % and rounded up 7,266."""
        trade = trade_for(Payment(8, -1_569_000), at=START, quote=QUOTE, users_cents=7_266)
        assert trade is not None
        assert (trade.sell_unit, trade.cents, trade.sats) == (Unit.USD_CENT, 7_266, 1_569_000)

    @pytest.mark.parametrize(("users_cents", "makes_a_trade"), [(7_265, False), (7_266, True), (7_267, True)])
    def test_users_cannot_spend_more_than_they_hold(self, users_cents: int, makes_a_trade: bool) -> None:
        """A cent too few, exactly enough, a cent more."""
        trade = trade_for(Payment(8, -1_569_000), at=START, quote=QUOTE, users_cents=users_cents)
        assert (trade is not None) is makes_a_trade

    @pytest.mark.parametrize(
        ("sats", "cents"),
        [(0, None), (216, None), (217, 1)],  # 217 x 4,626.04 / 10^6 x 0.999 = 1.0028 cents
    )
    def test_receipt_below_a_cent_is_no_trade(self, sats: int, cents: int | None) -> None:
        """Nothing is booked for nothing."""
        trade = trade_for(Payment(1, sats), at=START, quote=QUOTE, users_cents=0)
        assert (trade and trade.cents) == cents

    def test_smallest_payment_out_costs_a_whole_cent(self) -> None:
        """The dealer rounds in its own favour."""
        trade = trade_for(Payment(1, -1), at=START, quote=QUOTE, users_cents=1)
        assert trade is not None
        assert trade.cents == 1

    @given(
        st.integers(-(10**12), 10**12).filter(bool),
        st.decimals("0.01", "200000", places=2),
        st.decimals("0", "0.05", places=4),
    )
    def test_dealer_never_loses_on_the_rounding(self, sats: int, price: Decimal, fee: Decimal) -> None:
        """What it owes is at most, and what it takes at least, the exact value with the fee."""
        quote = DealerQuote(bid_usd=price, ask_usd=price)
        trade = trade_for(Payment(1, sats), at=START, quote=quote, users_cents=10**18, fee_rate=fee)
        exact = Decimal(abs(sats)) * price / 1_000_000
        if sats > 0:
            owed = (exact * (1 - fee)).to_integral_value(ROUND_FLOOR)
            assert (trade.cents if trade else 0) == owed
        else:
            taken = (exact * (1 + fee)).to_integral_value(ROUND_CEILING)
            assert (trade.cents if trade else 0) == taken


class TestSchedule:
    def test_payments_are_spread_evenly_from_the_start_and_before_the_end(self) -> None:
        """Four over a day: at 0, 6, 12 and 18 hours."""
        payments = [Payment(n, 1) for n in range(4)]
        planned = list(schedule(payments, START, START + timedelta(days=1)))
        assert [each.at - START for each in planned] == [timedelta(hours=6 * n) for n in range(4)]
        assert [each.payment for each in planned] == payments

    def test_no_payments_have_no_schedule(self) -> None:
        """Nothing to divide."""
        assert list(schedule([], START, START + timedelta(days=1))) == []


class TestRecord:
    def test_file_is_read_in_order(self, tmp_path: Path) -> None:
        """Sequence and signed amount; other columns are not ours."""
        path = tmp_path / "flow.csv.gz"
        with gzip.open(path, "wt") as file:
            file.write("seq,direction,amount_sat,feerate_sat_per_vb\n1,in,500,\n2,out,-300,12\n")
        assert read_payments(path) == [Payment(1, 500), Payment(2, -300)]

    def test_shipped_record_has_receipts_and_payments_in_sequence(self) -> None:
        """A real hot wallet: both directions, each number once."""
        payments = read_payments(PAYMENT_FLOW)
        numbers = [payment.sequence for payment in payments]
        assert len(payments) > 1_000
        assert numbers == sorted(set(numbers))
        assert any(payment.amount_sats > 0 for payment in payments)
        assert any(payment.amount_sats < 0 for payment in payments)
