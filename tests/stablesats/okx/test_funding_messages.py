"""What OKX answers about the funding account."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stablesats.okx import (
    Bill,
    CurrencyChain,
    Deposit,
    DepositAddress,
    DepositState,
    Fill,
    FundingBalance,
    FundingRate,
    Maintenance,
    MarkPrice,
    MaxOrderSize,
    MaxWithdrawal,
    TradeFees,
    TransferState,
    TransferStatus,
    Withdrawal,
    WithdrawalState,
)
from stablesats.okx.fields import Message

DEPOSIT = {
    "depId": "1",
    "ccy": "BTC",
    "chain": "BTC-Bitcoin",
    "amt": "0.33333340",
    "from": "",
    "to": "bc1qexample",
    "txId": "ab",
    "ts": "1767268800000",
    "state": "1",
    "fromWdId": "",
    "actualDepBlkConfirm": "1",
}


def test_a_deposit_compares_as_a_number() -> None:
    """0.3333334 and 0.33333340 are the same amount."""
    deposit = Deposit.model_validate(DEPOSIT)
    assert deposit.amount == Decimal("0.3333334")
    assert deposit.state is DepositState.CREDITED


@pytest.mark.parametrize(("field", "value"), [("amt", ""), ("amt", "0"), ("depId", ""), ("ts", "")])
def test_a_deposit_without_its_figures_is_an_error(field: str, value: str) -> None:
    """Nothing is credited on a guess."""
    with pytest.raises(ValidationError, match=field):
        Deposit.model_validate({**DEPOSIT, field: value})


def test_a_withdrawal_that_is_not_broadcast_has_no_transaction() -> None:
    """Nor a fee, perhaps."""
    row = {
        "wdId": "9",
        "clientId": "w1",
        "ccy": "BTC",
        "chain": "BTC-Bitcoin",
        "amt": "0.1",
        "fee": "",
        "to": "bc1qexample",
        "txId": None,
        "state": "0",
        "ts": "1767268800000",
        "nonTradableAsset": False,
    }
    withdrawal = Withdrawal.model_validate(row)
    assert (withdrawal.transaction_id, withdrawal.fee, withdrawal.state) == (
        "",
        None,
        WithdrawalState.WAITING,
    )


def test_a_transfer_without_client_id() -> None:
    """One that was made by hand."""
    row = {
        "transId": "5",
        "clientId": "",
        "ccy": "BTC",
        "amt": "1",
        "from": "6",
        "to": "18",
        "state": "success",
    }
    status = TransferStatus.model_validate(row)
    assert (status.client_transfer_id, status.state) == ("", TransferState.SUCCEEDED)


@pytest.mark.parametrize("field", ["bal", "availBal", "frozenBal"])
@pytest.mark.parametrize("value", ["", None, "-1"])
def test_a_balance_with_a_missing_number_is_an_error(field: str, value: object) -> None:
    """Unknown is not zero."""
    row = {"ccy": "BTC", "bal": "1", "availBal": "1", "frozenBal": "0"}
    assert FundingBalance.model_validate(row).available == 1
    with pytest.raises(ValidationError, match=field):
        FundingBalance.model_validate({**row, field: value})


def test_terms_of_a_chain() -> None:
    """What OKX does not state is None: no bound is not a bound of zero."""
    chain = CurrencyChain.model_validate(
        {
            "ccy": "BTC",
            "chain": "BTC-Bitcoin",
            "canDep": True,
            "canWd": "false",
            "fee": "0.00005",
            "minWd": "",
        }
    )
    assert (chain.can_deposit, chain.can_withdraw) == (True, False)
    assert (chain.withdrawal_fee, chain.min_withdrawal, chain.max_withdrawal) == (
        Decimal("0.00005"),
        None,
        None,
    )


def test_an_address_credits_one_of_our_accounts() -> None:
    """Another code is an error: coins would go where we do not look."""
    row = {"ccy": "BTC", "chain": "BTC-Bitcoin", "addr": "bc1qexample", "to": "6", "selected": True}
    assert DepositAddress.model_validate(row).is_selected
    with pytest.raises(ValidationError, match="to"):
        DepositAddress.model_validate({**row, "to": "7"})


MODELS = [
    *(Deposit, Withdrawal, TransferStatus, FundingBalance, CurrencyChain, DepositAddress),
    *(Bill, Fill, TradeFees, MaxOrderSize, MaxWithdrawal, MarkPrice, FundingRate, Maintenance),
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.sampled_from(["", "0", "-1", "0.1", "1E+9", "NaN", "1767268800000", "BTC", "6", "success"]),
    st.lists(st.integers(), max_size=2),
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_row_is_read_or_refused_and_nothing_else(model: type[Message], data: st.DataObject) -> None:
    """Whatever the fields hold; no other error escapes, and no amount is a float or not finite."""
    names = [field.validation_alias or name for name, field in model.model_fields.items()]
    row = data.draw(st.fixed_dictionaries({}, optional={str(name): VALUES for name in names}))
    try:
        value = model.model_validate(row)
    except ValidationError:
        return
    for held in value.model_dump().values():
        assert not isinstance(held, float)
        assert not isinstance(held, Decimal) or held.is_finite()
