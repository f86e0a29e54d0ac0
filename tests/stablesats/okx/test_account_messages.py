"""What OKX answers about fees, bounds and bills."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from stablesats.okx import Bill, MaxOrderSize, MaxWithdrawal, TradeFees

BILL = {
    "billId": "7",
    "ccy": "BTC",
    "type": "8",
    "subType": "174",
    "balChg": "0.00002",
    "bal": "0.19992",
    "sz": "",
    "pnl": "0.00002",
    "fee": "",
    "instId": "BTC-USD-SWAP",
    "ordId": "",
    "from": "",
    "to": "",
    "ts": "1767268800000",
}


def test_fees_are_negative_when_charged() -> None:
    """OKX's sign, kept."""
    fees = TradeFees.model_validate({"maker": "-0.0002", "taker": "-0.0005", "makerU": "", "level": "Lv1"})
    assert (fees.maker_rate, fees.taker_rate) == (Decimal("-0.0002"), Decimal("-0.0005"))


def test_bounds() -> None:
    """Contracts, and bitcoin."""
    size = MaxOrderSize.model_validate({"instId": "BTC-USD-SWAP", "maxBuy": "99.9", "maxSell": "0"})
    assert (size.buy_contracts, size.sell_contracts) == (Decimal("99.9"), 0)
    assert MaxWithdrawal.model_validate({"ccy": "BTC", "maxWd": "0.0749"}).amount == Decimal("0.0749")


def test_a_bill_says_by_how_much_the_cash_changed() -> None:
    """What does not apply is None, never zero."""
    bill = Bill.model_validate(BILL)
    assert (bill.balance_change, bill.balance, bill.fee, bill.size) == (
        Decimal("0.00002"),
        Decimal("0.19992"),
        None,
        None,
    )


@pytest.mark.parametrize("field", ["balChg", "bal", "billId", "ts", "type"])
def test_a_bill_without_its_figures_is_an_error(field: str) -> None:
    """Books are kept from them."""
    with pytest.raises(ValidationError, match=field):
        Bill.model_validate({**BILL, field: ""})
