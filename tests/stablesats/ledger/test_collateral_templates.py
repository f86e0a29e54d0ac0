"""What each movement of the collateral posts: balanced, whole and positive, the sign choosing the sides."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medici_py import Side, TransactionTemplate
from medici_py.templates import legs_of
from stablesats.ledger import AmountError, CollateralAccount, CollateralTemplateCode, Layer
from stablesats.ledger.collateral_templates import (
    COLLATERAL_TEMPLATES,
    DEPOSIT_CREDITED,
    DEPOSIT_RETURNED,
    DEPOSIT_SENT,
    FUNDING_PAYMENT,
    REALISED_PROFIT,
    TRADING_FEE,
    TRANSFERRED,
    WITHDRAWAL_ARRIVED,
    WITHDRAWAL_REQUESTED,
    WITHDRAWAL_RETURNED,
    ArrivedCollateral,
    SentCollateral,
    TradingChange,
    arrived_collateral,
    sent_collateral,
    trading_change,
)

amounts = st.integers(1, 2**60)
signed_amounts = st.integers(-(2**60), 2**60).filter(bool)
params_of: dict[type, st.SearchStrategy[Any]] = {
    SentCollateral: st.builds(SentCollateral, sats=amounts, fee_sats=st.just(0) | amounts),
    ArrivedCollateral: st.builds(ArrivedCollateral, sats=amounts),
    TradingChange: st.builds(TradingChange, change_sats=signed_amounts),
}

SENT = SentCollateral(sats=1_000_000, fee_sats=500)
ARRIVED = ArrivedCollateral(sats=1_000_000)
GAINED, LOST = TradingChange(change_sats=200), TradingChange(change_sats=-200)


def signed(template: TransactionTemplate[Any], params: Any) -> dict[str, int]:
    """What each account's balance (credit minus debit) changes by."""
    return {
        leg.account: int(leg.amount) * (1 if leg.side is Side.CREDIT else -1)
        for leg in legs_of(template, params)
    }


def test_each_code_is_a_template_with_an_id_of_its_own() -> None:
    """No template is left out of what is registered."""
    assert [template.code for template in COLLATERAL_TEMPLATES] == [
        code.value for code in CollateralTemplateCode
    ]
    assert [str(template.id) for template in COLLATERAL_TEMPLATES] == [
        f"c2000000-0000-0000-0000-{number:012x}" for number in range(1, 11)
    ]


@pytest.mark.parametrize(
    ("template", "params", "changes"),
    [
        (
            DEPOSIT_SENT,
            SENT,
            {"HOT_WALLET_COLLATERAL": 1_000_500, "IN_TRANSIT_TO_OKEX": -1_000_000, "ONCHAIN_FEES": -500},
        ),
        (
            DEPOSIT_RETURNED,
            SENT,
            {"HOT_WALLET_COLLATERAL": -1_000_500, "IN_TRANSIT_TO_OKEX": 1_000_000, "ONCHAIN_FEES": 500},
        ),
        (DEPOSIT_CREDITED, ARRIVED, {"IN_TRANSIT_TO_OKEX": 1_000_000, "OKEX_FUNDING": -1_000_000}),
        (
            WITHDRAWAL_REQUESTED,
            SENT,
            {"OKEX_FUNDING": 1_000_500, "IN_TRANSIT_FROM_OKEX": -1_000_000, "ONCHAIN_FEES": -500},
        ),
        (
            WITHDRAWAL_RETURNED,
            SENT,
            {"OKEX_FUNDING": -1_000_500, "IN_TRANSIT_FROM_OKEX": 1_000_000, "ONCHAIN_FEES": 500},
        ),
        (
            WITHDRAWAL_ARRIVED,
            ARRIVED,
            {"IN_TRANSIT_FROM_OKEX": 1_000_000, "HOT_WALLET_COLLATERAL": -1_000_000},
        ),
        (TRANSFERRED, GAINED, {"OKEX_TRADING": -200, "OKEX_FUNDING": 200}),
        (TRANSFERRED, LOST, {"OKEX_TRADING": 200, "OKEX_FUNDING": -200}),
        (TRADING_FEE, LOST, {"OKEX_TRADING": 200, "TRADING_FEES": -200}),  # a fee
        (TRADING_FEE, GAINED, {"OKEX_TRADING": -200, "TRADING_FEES": 200}),  # a rebate
        (FUNDING_PAYMENT, GAINED, {"OKEX_TRADING": -200, "FUNDING_PAYMENTS": 200}),  # received
        (FUNDING_PAYMENT, LOST, {"OKEX_TRADING": 200, "FUNDING_PAYMENTS": -200}),  # paid
        (REALISED_PROFIT, GAINED, {"OKEX_TRADING": -200, "REALISED_PROFIT": 200}),
        (REALISED_PROFIT, LOST, {"OKEX_TRADING": 200, "REALISED_PROFIT": -200}),  # a loss
    ],
)
def test_balances_change_by(template: TransactionTemplate[Any], params: Any, changes: dict[str, int]) -> None:
    """Credit minus debit: assets and expenses fall when there is more of them."""
    assert signed(template, params) == changes


def test_entry_types_name_template_currency_and_side() -> None:
    """And tell the fee from what it was paid for."""
    assert [leg.entry_type for leg in DEPOSIT_SENT.legs(SENT)] == [
        "COLLATERAL_DEPOSIT_SENT_BTC_CR",
        "COLLATERAL_DEPOSIT_SENT_BTC_DR",
        "COLLATERAL_DEPOSIT_SENT_FEE_BTC_DR",
    ]
    assert [leg.entry_type for leg in TRADING_FEE.legs(LOST)] == [
        "COLLATERAL_TRADING_FEE_BTC_CR",
        "COLLATERAL_TRADING_FEE_BTC_DR",
    ]


@pytest.mark.parametrize("template", COLLATERAL_TEMPLATES, ids=lambda template: template.code)
@given(data=st.data())
def test_legs_are_positive_balanced_settled_bitcoin(
    template: TransactionTemplate[Any], data: st.DataObject
) -> None:
    """Whatever the params; a leg of zero is left out."""
    params = data.draw(params_of[template.params])
    legs = legs_of(template, params)
    assert sum(signed(template, params).values()) == 0
    assert {(leg.currency, leg.layer) for leg in legs} == {("BTC", Layer.SETTLED)}
    assert all(leg.amount > 0 and leg.account in CollateralAccount.__members__ for leg in legs)


@pytest.mark.parametrize(
    ("template", "reversal"),
    [(DEPOSIT_SENT, DEPOSIT_RETURNED), (WITHDRAWAL_REQUESTED, WITHDRAWAL_RETURNED)],
    ids=lambda template: template.code,
)
@given(params=params_of[SentCollateral])
def test_what_comes_back_swaps_every_side(
    template: TransactionTemplate[Any], reversal: TransactionTemplate[Any], params: SentCollateral
) -> None:
    """The same accounts and amounts, so that every balance is what it was."""
    assert signed(reversal, params) == {
        account: -change for account, change in signed(template, params).items()
    }


def test_samples_take_every_branch() -> None:
    """With a fee and without, and both signs: the fingerprint covers them."""
    for template in COLLATERAL_TEMPLATES:
        if template.params is SentCollateral:
            assert {sample.fee_sats > 0 for sample in template.samples} == {True, False}
        if template.params is TradingChange:
            assert {sample.change_sats > 0 for sample in template.samples} == {True, False}


@pytest.mark.parametrize("amount", [0, -1])
def test_amount_that_is_not_above_zero_is_refused(amount: int) -> None:
    """What moves is moved by a template of its direction, never by a sign."""
    refused = f"sats must be a whole number of satoshi above zero, got {amount}"
    with pytest.raises(AmountError, match=refused):
        sent_collateral(sats=amount)
    with pytest.raises(AmountError, match=refused):
        arrived_collateral(sats=amount)


def test_fee_below_zero_and_change_of_zero_are_refused() -> None:
    """Nobody pays the payer, and nothing is nothing to post."""
    with pytest.raises(AmountError, match="fee_sats must be a whole number of satoshi from zero, got -1"):
        sent_collateral(sats=1, fee_sats=-1)
    with pytest.raises(AmountError, match="nothing has changed, so post nothing"):
        trading_change(change_sats=0)


@pytest.mark.parametrize("amount", [True, 1.0, "1", None])
def test_amount_that_is_not_whole_is_refused(amount: Any) -> None:
    """Not even one that could be read as a whole number, by the checks or by the params."""
    for make in (
        lambda: sent_collateral(sats=amount),
        lambda: sent_collateral(sats=1, fee_sats=amount),
        lambda: arrived_collateral(sats=amount),
        lambda: trading_change(change_sats=amount),
    ):
        with pytest.raises(AmountError, match="must be a whole number of satoshi, got"):
            make()
    for params in params_of:
        with pytest.raises(ValidationError):
            params.model_validate(dict.fromkeys(params.model_fields, amount))  # type: ignore[attr-defined]


def test_amounts_that_are_accepted_are_the_params() -> None:
    """Nothing is changed about them."""
    assert sent_collateral(sats=3) == SentCollateral(sats=3, fee_sats=0)
    assert sent_collateral(sats=3, fee_sats=7) == SentCollateral(sats=3, fee_sats=7)
    assert arrived_collateral(sats=3) == ArrivedCollateral(sats=3)
    assert trading_change(change_sats=-3) == TradingChange(change_sats=-3)
