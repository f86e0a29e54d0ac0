"""What each event posts: the legs of stablesats-rs, balanced, whole and positive."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medici_py import Side, TemplateLeg, TransactionTemplate
from stablesats.ledger import Account, AmountError, Layer, TemplateCode
from stablesats.ledger.templates import (
    ADJUST_EXCHANGE_ALLOCATION,
    BUY_USD_QUOTE_ACCEPTED,
    DECREASE_EXCHANGE_POSITION,
    INCREASE_EXCHANGE_POSITION,
    REVERT_USER_BUYS_USD,
    REVERT_USER_SELLS_USD,
    SELL_USD_QUOTE_ACCEPTED,
    TEMPLATES,
    USER_BUYS_USD,
    USER_SELLS_USD,
    AllocationChange,
    PositionChange,
    TradeAmounts,
    allocation_change,
    position_change,
    trade_amounts,
)

SWAPPED = {Side.CREDIT: Side.DEBIT, Side.DEBIT: Side.CREDIT}

amounts = st.integers(min_value=1, max_value=2**63 - 1)
signed_amounts = st.integers(min_value=-(2**62), max_value=2**62)
trades = st.builds(TradeAmounts, sats=amounts, cents=amounts)
positions = st.builds(PositionChange, cents=amounts)
allocations = st.builds(AllocationChange, okex_cents=signed_amounts, bitfinex_cents=signed_amounts).filter(
    lambda change: change.okex_cents != 0 or change.bitfinex_cents != 0
)
params_of: dict[type, st.SearchStrategy[Any]] = {
    TradeAmounts: trades,
    PositionChange: positions,
    AllocationChange: allocations,
}


def posted(template: TransactionTemplate[Any], params: Any) -> list[tuple[str, str, int, str, str]]:
    return [
        (leg.account, leg.side.value, int(leg.amount), leg.currency, leg.entry_type)
        for leg in template.legs(params)
    ]


def sides(legs: Sequence[TemplateLeg]) -> list[tuple[str, Side, int]]:
    return [(leg.account, leg.side, int(leg.amount)) for leg in legs]


def swapped(legs: Sequence[TemplateLeg]) -> list[tuple[str, Side, int]]:
    return [(leg.account, SWAPPED[leg.side], int(leg.amount)) for leg in legs]


@pytest.mark.parametrize(
    ("template", "id_"),
    [
        (USER_BUYS_USD, "00000000-0000-0000-0000-000000000001"),
        (USER_SELLS_USD, "00000000-0000-0000-0000-000000000002"),
        (REVERT_USER_BUYS_USD, "00000000-0000-0000-0000-100000000001"),
        (REVERT_USER_SELLS_USD, "00000000-0000-0000-0000-100000000002"),
        (INCREASE_EXCHANGE_POSITION, "00000000-0000-0000-0000-000000000003"),
        (DECREASE_EXCHANGE_POSITION, "00000000-0000-0000-0000-000000000004"),
        (BUY_USD_QUOTE_ACCEPTED, "00000000-0000-0000-0000-000000000005"),
        (SELL_USD_QUOTE_ACCEPTED, "00000000-0000-0000-0000-000000000006"),
        (ADJUST_EXCHANGE_ALLOCATION, "00000000-0000-0000-0000-000000000007"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_template_has_the_id_of_stablesats_rs(template: TransactionTemplate[Any], id_: str) -> None:
    """Other systems know it by that."""
    assert str(template.id) == id_


def test_there_are_nine_templates_and_each_code_is_one_of_them() -> None:
    """No template is left out of what is registered."""
    assert [template.code for template in TEMPLATES] == [code.value for code in TemplateCode]
    assert len({template.id for template in TEMPLATES}) == len(TEMPLATES) == 9


def test_user_buys_usd() -> None:
    """1,000,000 sats for 500 cents."""
    assert posted(USER_BUYS_USD, TradeAmounts(sats=1_000_000, cents=500)) == [
        ("STABLESATS_BTC_WALLET", "credit", 1_000_000, "BTC", "USER_BUYS_USD_BTC_CR"),
        ("EXTERNAL_OMNIBUS", "debit", 1_000_000, "BTC", "USER_BUYS_USD_BTC_DR"),
        ("STABLESATS_LIABILITY", "credit", 500, "USD", "USER_BUYS_USD_USD_CR"),
        ("STABLESATS_OMNIBUS", "debit", 500, "USD", "USER_BUYS_USD_USD_DR"),
    ]


def test_user_sells_usd() -> None:
    """The same with the sides swapped."""
    assert posted(USER_SELLS_USD, TradeAmounts(sats=1_000_000, cents=500)) == [
        ("STABLESATS_BTC_WALLET", "debit", 1_000_000, "BTC", "USER_SELLS_USD_BTC_DR"),
        ("EXTERNAL_OMNIBUS", "credit", 1_000_000, "BTC", "USER_SELLS_USD_BTC_CR"),
        ("STABLESATS_LIABILITY", "debit", 500, "USD", "USER_SELLS_USD_USD_DR"),
        ("STABLESATS_OMNIBUS", "credit", 500, "USD", "USER_SELLS_USD_USD_CR"),
    ]


def test_revert_user_buys_usd() -> None:
    """Positive amounts on swapped sides, where stablesats-rs turned the signs."""
    assert posted(REVERT_USER_BUYS_USD, TradeAmounts(sats=1_000_000, cents=500)) == [
        ("STABLESATS_BTC_WALLET", "debit", 1_000_000, "BTC", "REVERT_USER_BUYS_USD_BTC_DR"),
        ("EXTERNAL_OMNIBUS", "credit", 1_000_000, "BTC", "REVERT_USER_BUYS_USD_BTC_CR"),
        ("STABLESATS_LIABILITY", "debit", 500, "USD", "REVERT_USER_BUYS_USD_USD_DR"),
        ("STABLESATS_OMNIBUS", "credit", 500, "USD", "REVERT_USER_BUYS_USD_USD_CR"),
    ]


def test_revert_user_sells_usd() -> None:
    """The sides of a purchase, under a name of its own."""
    assert posted(REVERT_USER_SELLS_USD, TradeAmounts(sats=1_000_000, cents=500)) == [
        ("STABLESATS_BTC_WALLET", "credit", 1_000_000, "BTC", "REVERT_USER_SELLS_USD_BTC_CR"),
        ("EXTERNAL_OMNIBUS", "debit", 1_000_000, "BTC", "REVERT_USER_SELLS_USD_BTC_DR"),
        ("STABLESATS_LIABILITY", "credit", 500, "USD", "REVERT_USER_SELLS_USD_USD_CR"),
        ("STABLESATS_OMNIBUS", "debit", 500, "USD", "REVERT_USER_SELLS_USD_USD_DR"),
    ]


def test_position_templates() -> None:
    """More short is a debit of the mirror, less short a credit."""
    assert posted(DECREASE_EXCHANGE_POSITION, PositionChange(cents=10_000)) == [
        ("OKEX_POSITION", "debit", 10_000, "USD", "DECREASE_EXCHANGE_POSITION_USD_DR"),
        ("EXCHANGE_POSITION_OMNIBUS", "credit", 10_000, "USD", "DECREASE_EXCHANGE_POSITION_USD_CR"),
    ]
    assert posted(INCREASE_EXCHANGE_POSITION, PositionChange(cents=10_000)) == [
        ("OKEX_POSITION", "credit", 10_000, "USD", "INCREASE_EXCHANGE_POSITION_USD_CR"),
        ("EXCHANGE_POSITION_OMNIBUS", "debit", 10_000, "USD", "INCREASE_EXCHANGE_POSITION_USD_DR"),
    ]


def test_buy_usd_quote_accepted() -> None:
    """Entry types end in the side of their leg; in stablesats-rs the two bitcoin ones were mixed up."""
    assert posted(BUY_USD_QUOTE_ACCEPTED, TradeAmounts(sats=1_000_000, cents=500)) == [
        ("QUOTES_ASSETS", "debit", 1_000_000, "BTC", "BUY_USD_QUOTE_ACCEPTED_BTC_DR"),
        ("QUOTES_OMNIBUS", "credit", 1_000_000, "BTC", "BUY_USD_QUOTE_ACCEPTED_BTC_CR"),
        ("QUOTES_LIABILITIES", "credit", 500, "USD", "BUY_USD_QUOTE_ACCEPTED_USD_CR"),
        ("QUOTES_OMNIBUS", "debit", 500, "USD", "BUY_USD_QUOTE_ACCEPTED_USD_DR"),
    ]


def test_sell_usd_quote_accepted() -> None:
    """The same with the sides swapped."""
    assert posted(SELL_USD_QUOTE_ACCEPTED, TradeAmounts(sats=1_000_000, cents=500)) == [
        ("QUOTES_ASSETS", "credit", 1_000_000, "BTC", "SELL_USD_QUOTE_ACCEPTED_BTC_CR"),
        ("QUOTES_OMNIBUS", "debit", 1_000_000, "BTC", "SELL_USD_QUOTE_ACCEPTED_BTC_DR"),
        ("QUOTES_LIABILITIES", "debit", 500, "USD", "SELL_USD_QUOTE_ACCEPTED_USD_DR"),
        ("QUOTES_OMNIBUS", "credit", 500, "USD", "SELL_USD_QUOTE_ACCEPTED_USD_CR"),
    ]


@pytest.mark.parametrize(
    ("okex", "bitfinex", "legs"),
    [
        (500, 0, [("STABLESATS_LIABILITY", "debit", 500), ("OKEX_ALLOCATION", "credit", 500)]),
        (-200, 0, [("STABLESATS_LIABILITY", "credit", 200), ("OKEX_ALLOCATION", "debit", 200)]),
        (0, 7, [("STABLESATS_LIABILITY", "debit", 7), ("BITFINEX_ALLOCATION", "credit", 7)]),
        (
            500,
            -200,  # 300 more in total
            [
                ("STABLESATS_LIABILITY", "debit", 300),
                ("OKEX_ALLOCATION", "credit", 500),
                ("BITFINEX_ALLOCATION", "debit", 200),
            ],
        ),
        (500, -500, [("OKEX_ALLOCATION", "credit", 500), ("BITFINEX_ALLOCATION", "debit", 500)]),
    ],
)
def test_allocation_legs_stand_on_the_side_of_their_sign(
    okex: int, bitfinex: int, legs: list[tuple[str, str, int]]
) -> None:
    """And a leg of zero is left out, since every amount is positive."""
    found = posted(ADJUST_EXCHANGE_ALLOCATION, AllocationChange(okex_cents=okex, bitfinex_cents=bitfinex))
    assert [(account, side, amount) for account, side, amount, _, _ in found] == legs


def test_allocation_entry_types() -> None:
    """Each account has its own."""
    found = posted(ADJUST_EXCHANGE_ALLOCATION, AllocationChange(okex_cents=5, bitfinex_cents=3))
    assert [(currency, entry_type) for _, _, _, currency, entry_type in found] == [
        ("USD", "ADJUST_EXCHANGE_ALLOCATION_UNALLOCATED_ADJUSTMENT"),
        ("USD", "ADJUST_EXCHANGE_ALLOCATION_OKEX_ADJUSTMENT"),
        ("USD", "ADJUST_EXCHANGE_ALLOCATION_BITFINEX_ADJUSTMENT"),
    ]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.code)
@given(data=st.data())
def test_legs_are_positive_balanced_and_where_their_accounts_are(
    template: TransactionTemplate[Any], data: st.DataObject
) -> None:
    """Whatever the params: in each currency and layer, in a currency of the account, all in one book."""
    legs = template.legs(data.draw(params_of[template.params]))
    sums: dict[tuple[str, Layer], int] = defaultdict(int)
    for leg in legs:
        assert leg.amount > 0
        sums[leg.currency, leg.layer] += int(leg.amount) * (1 if leg.side is Side.CREDIT else -1)
    assert set(sums.values()) == {0}
    assert {layer for _, layer in sums} == {Layer.SETTLED}
    accounts = [Account[leg.account] for leg in legs]
    for account, leg in zip(accounts, legs, strict=True):
        assert leg.currency in [currency.value for currency in account.currencies]
    assert len({account.book for account in accounts}) == 1


@pytest.mark.parametrize(
    "template", [one for one in TEMPLATES if one is not ADJUST_EXCHANGE_ALLOCATION], ids=lambda one: one.code
)
def test_entry_type_is_code_currency_and_side(template: TransactionTemplate[Any]) -> None:
    """One rule for every leg but those of an allocation, whose sides are not fixed."""
    for leg in template.legs(template.samples[0]):
        side = "CR" if leg.side is Side.CREDIT else "DR"
        assert leg.entry_type == f"{template.code}_{leg.currency}_{side}"


@pytest.mark.parametrize(
    ("template", "reversal"),
    [
        (USER_BUYS_USD, REVERT_USER_BUYS_USD),
        (USER_SELLS_USD, REVERT_USER_SELLS_USD),
        (USER_BUYS_USD, USER_SELLS_USD),
        (BUY_USD_QUOTE_ACCEPTED, SELL_USD_QUOTE_ACCEPTED),
    ],
    ids=lambda template: template.code,
)
@given(params=trades)
def test_reversal_swaps_every_side(
    template: TransactionTemplate[Any], reversal: TransactionTemplate[Any], params: TradeAmounts
) -> None:
    """The same accounts and amounts, so that every balance is what it was."""
    assert sides(reversal.legs(params)) == swapped(template.legs(params))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.code)
@pytest.mark.parametrize("amount", [1.0, "1", True, None])
def test_params_are_whole_numbers(template: TransactionTemplate[Any], amount: Any) -> None:
    """Nothing is coerced."""
    names = template.params.model_fields
    for name in names:
        with pytest.raises(ValidationError, match=name):
            template.params.model_validate({each: amount if each == name else 1 for each in names})


@pytest.mark.parametrize("amount", [0, -1])
def test_amount_that_is_not_above_zero_is_refused(amount: int) -> None:
    """A reversal swaps the sides; a sign or a zero is a mistake."""
    refused = f"must be a whole number above zero, got {amount}"
    with pytest.raises(AmountError, match=f"sats {refused}"):
        trade_amounts(sats=amount, cents=1)
    with pytest.raises(AmountError, match=f"cents {refused}"):
        trade_amounts(sats=1, cents=amount)
    with pytest.raises(AmountError, match=f"cents {refused}"):
        position_change(cents=amount)


@pytest.mark.parametrize("amount", [True, False, 1.0, "1", None])
def test_amount_that_is_not_whole_is_refused(amount: Any) -> None:
    """Not even one that could be read as a whole number."""
    refused = f"must be a whole number of minor units, got {amount!r}"
    with pytest.raises(AmountError, match=f"sats {refused}"):
        trade_amounts(sats=amount, cents=1)
    with pytest.raises(AmountError, match=f"cents {refused}"):
        position_change(cents=amount)
    with pytest.raises(AmountError, match=f"okex_cents {refused}"):
        allocation_change(okex_cents=amount, bitfinex_cents=1)
    with pytest.raises(AmountError, match=f"bitfinex_cents {refused}"):
        allocation_change(okex_cents=1, bitfinex_cents=amount)


def test_allocation_of_nothing_is_refused() -> None:
    """There would be no leg."""
    with pytest.raises(AmountError, match="there is nothing to allocate"):
        allocation_change(okex_cents=0)


def test_amounts_that_are_accepted_are_the_params() -> None:
    """Nothing is changed about them."""
    assert trade_amounts(sats=3, cents=7) == TradeAmounts(sats=3, cents=7)
    assert position_change(cents=7) == PositionChange(cents=7)
    assert allocation_change(okex_cents=-3, bitfinex_cents=7) == AllocationChange(
        okex_cents=-3, bitfinex_cents=7
    )
