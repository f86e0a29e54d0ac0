"""What each event posts: the legs of stablesats-rs, balanced, whole and positive."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.ledger.chart import Account, NormalSide
from stablesats.ledger.templates import (
    AmountError,
    Leg,
    ReferenceKeyError,
    TemplateCode,
    decrease_exchange_position,
    increase_exchange_position,
    user_buys_usd,
    user_sells_usd,
)

Template = Callable[..., tuple[Leg, ...]]

TRADES = {TemplateCode.USER_BUYS_USD: user_buys_usd, TemplateCode.USER_SELLS_USD: user_sells_usd}
POSITIONS = {
    TemplateCode.INCREASE_EXCHANGE_POSITION: increase_exchange_position,
    TemplateCode.DECREASE_EXCHANGE_POSITION: decrease_exchange_position,
}
amounts = st.integers(min_value=1, max_value=2**63 - 1)


def posted(legs: tuple[Leg, ...]) -> list[tuple[str, str, int, str, str]]:
    return [
        (leg.account.code, leg.side.value, leg.amount_minor, leg.currency.value, leg.entry_type)
        for leg in legs
    ]


def imbalance(legs: tuple[Leg, ...], code: TemplateCode) -> dict[tuple[object, object], int]:
    """Credit minus debit for each (currency, layer)."""
    sums: dict[tuple[object, object], int] = defaultdict(int)
    for leg in legs:
        meta = leg.meta(code, {})
        sign = 1 if leg.side is NormalSide.CREDIT else -1
        sums[meta["currency"], meta["layer"]] += sign * leg.amount_minor
    return dict(sums)


def test_user_buys_usd() -> None:
    """1,000,000 sats for 500 cents."""
    assert posted(user_buys_usd(sats=1_000_000, cents=500)) == [
        ("STABLESATS_BTC_WALLET", "credit", 1_000_000, "BTC", "USER_BUYS_USD_BTC_CR"),
        ("EXTERNAL_OMNIBUS", "debit", 1_000_000, "BTC", "USER_BUYS_USD_BTC_DR"),
        ("STABLESATS_LIABILITY", "credit", 500, "USD", "USER_BUYS_USD_USD_CR"),
        ("STABLESATS_OMNIBUS", "debit", 500, "USD", "USER_BUYS_USD_USD_DR"),
    ]


def test_user_sells_usd() -> None:
    """The same with the sides swapped."""
    assert posted(user_sells_usd(sats=1_000_000, cents=500)) == [
        ("STABLESATS_BTC_WALLET", "debit", 1_000_000, "BTC", "USER_SELLS_USD_BTC_DR"),
        ("EXTERNAL_OMNIBUS", "credit", 1_000_000, "BTC", "USER_SELLS_USD_BTC_CR"),
        ("STABLESATS_LIABILITY", "debit", 500, "USD", "USER_SELLS_USD_USD_DR"),
        ("STABLESATS_OMNIBUS", "credit", 500, "USD", "USER_SELLS_USD_USD_CR"),
    ]


def test_position_templates() -> None:
    """More short is a debit of the mirror, less short a credit."""
    assert posted(decrease_exchange_position(cents=10_000)) == [
        ("OKEX_POSITION", "debit", 10_000, "USD", "DECREASE_EXCHANGE_POSITION_USD_DR"),
        ("EXCHANGE_POSITION_OMNIBUS", "credit", 10_000, "USD", "DECREASE_EXCHANGE_POSITION_USD_CR"),
    ]
    assert posted(increase_exchange_position(cents=10_000)) == [
        ("OKEX_POSITION", "credit", 10_000, "USD", "INCREASE_EXCHANGE_POSITION_USD_CR"),
        ("EXCHANGE_POSITION_OMNIBUS", "debit", 10_000, "USD", "INCREASE_EXCHANGE_POSITION_USD_DR"),
    ]


@given(sats=amounts, cents=amounts)
@pytest.mark.parametrize("code", TRADES)
def test_trade_balances_in_every_currency_and_layer(code: TemplateCode, sats: int, cents: int) -> None:
    """Not only in sum: bitcoin against bitcoin and dollars against dollars."""
    legs = TRADES[code](sats=sats, cents=cents)
    assert imbalance(legs, code) == {("BTC", "SETTLED"): 0, ("USD", "SETTLED"): 0}


@given(cents=amounts)
@pytest.mark.parametrize("code", POSITIONS)
def test_position_balances_in_every_currency_and_layer(code: TemplateCode, cents: int) -> None:
    """As the trades do."""
    assert imbalance(POSITIONS[code](cents=cents), code) == {("USD", "SETTLED"): 0}


@given(sats=amounts, cents=amounts)
def test_sale_takes_back_what_a_purchase_did(sats: int, cents: int) -> None:
    """The same accounts and amounts, every side swapped."""
    swapped = {NormalSide.CREDIT: NormalSide.DEBIT, NormalSide.DEBIT: NormalSide.CREDIT}
    bought = [
        (leg.account, swapped[leg.side], leg.amount_minor) for leg in user_buys_usd(sats=sats, cents=cents)
    ]
    sold = [(leg.account, leg.side, leg.amount_minor) for leg in user_sells_usd(sats=sats, cents=cents)]
    assert bought == sold


@given(cents=amounts)
@pytest.mark.parametrize("template", [*TRADES.values(), *POSITIONS.values()])
def test_legs_are_in_a_currency_and_book_of_their_account(template: Template, cents: int) -> None:
    """And all in one book."""
    amounts_given = {"cents": cents, "sats": cents} if template in TRADES.values() else {"cents": cents}
    legs = template(**amounts_given)
    assert all(leg.currency in leg.account.currencies for leg in legs)
    assert len({leg.account.book for leg in legs}) == 1


@pytest.mark.parametrize("amount", [0, -1, True, False, 1.0, "1", None])
@pytest.mark.parametrize("name", ["sats", "cents"])
@pytest.mark.parametrize("template", TRADES.values())
def test_trade_refuses_what_is_not_whole_and_positive(template: Template, name: str, amount: Any) -> None:
    """A reversal swaps the sides; a sign or a zero is a mistake."""
    with pytest.raises(AmountError, match=f"{name} must be a whole number above zero, got {amount!r}"):
        template(**{"sats": 1, "cents": 1, name: amount})


@pytest.mark.parametrize("amount", [0, -1, True, 1.0])
@pytest.mark.parametrize("template", POSITIONS.values())
def test_position_refuses_what_is_not_whole_and_positive(template: Template, amount: Any) -> None:
    """Nothing is posted for a position that did not change."""
    with pytest.raises(AmountError, match="cents must be a whole number above zero"):
        template(cents=amount)


def test_reference_is_stored_with_a_leg() -> None:
    """Beside the leg's own keys."""
    [leg, *_] = user_buys_usd(sats=1, cents=1)
    assert leg.account is Account.STABLESATS_BTC_WALLET
    assert leg.meta(TemplateCode.USER_BUYS_USD, {"trade_id": "t1"}) == {
        "currency": "BTC",
        "layer": "SETTLED",
        "template": "USER_BUYS_USD",
        "entry_type": "USER_BUYS_USD_BTC_CR",
        "trade_id": "t1",
    }


@pytest.mark.parametrize("key", ["currency", "layer", "template", "entry_type"])
def test_reference_cannot_move_a_leg(key: str) -> None:
    """A reference named like one of the leg's own keys would book it elsewhere."""
    [leg, *_] = user_buys_usd(sats=1, cents=1)
    with pytest.raises(ReferenceKeyError, match=f"cannot have the key {key}"):
        leg.meta(TemplateCode.USER_BUYS_USD, {key: "USD"})
