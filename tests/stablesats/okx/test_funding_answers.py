"""Which row about the funding account is the one that was asked for."""

from decimal import Decimal

import pytest

from stablesats.okx import (
    AccountKind,
    FundingBalance,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    TransferAck,
    Withdrawal,
    funding_answers,
    funding_calls,
)

BALANCES = funding_calls.balances()
CURRENCIES = funding_calls.currencies()
ADDRESSES = funding_calls.deposit_addresses()
TRANSFER = funding_calls.transfer(
    Decimal(1), source=AccountKind.FUNDING, target=AccountKind.TRADING, client_transfer_id="t1"
)
BTC = {"ccy": "BTC", "bal": "2", "availBal": "1.5", "frozenBal": "0.5"}
STATUS = {"transId": "5", "clientId": "t1", "ccy": "BTC", "amt": "1", "state": "success"}
ADDRESS = {"ccy": "BTC", "chain": "BTC-Bitcoin", "addr": "bc1qexample", "to": "6", "selected": True}


def test_no_row_is_a_balance_of_zero() -> None:
    """OKX lists only what there is; it answered, so this is knowledge."""
    assert funding_answers.balance_of([], BALANCES) == FundingBalance.empty("BTC")
    assert funding_answers.balance_of([{**BTC, "ccy": "USDT"}], BALANCES).total == 0


def test_balance_is_the_row_of_bitcoin_wherever_it_stands() -> None:
    """Never the first row."""
    assert funding_answers.balance_of([{**BTC, "ccy": "USDT"}, BTC], BALANCES).available == Decimal("1.5")
    with pytest.raises(OkxProtocolError, match="found 2"):
        funding_answers.balance_of([BTC, BTC], BALANCES)


def test_terms_are_those_of_bitcoins_own_chain_wherever_they_stand() -> None:
    """The fee of another chain would underpay, or overpay."""
    rows = [
        {"ccy": "BTC", "chain": "BTC-Lightning", "fee": "0.00001"},
        {"ccy": "BTC", "chain": "BTC-Bitcoin", "fee": "0.00005"},
    ]
    assert funding_answers.bitcoin_chain_of(rows, CURRENCIES).withdrawal_fee == Decimal("0.00005")
    with pytest.raises(OkxProtocolError, match="expected one row for BTC-Bitcoin, found 0"):
        funding_answers.bitcoin_chain_of(rows[:1], CURRENCIES)


def test_address_is_the_selected_one() -> None:
    """Old addresses stay listed."""
    rows = [{**ADDRESS, "addr": "old", "selected": False}, {**ADDRESS, "chain": "BTC-Lightning"}, ADDRESS]
    assert funding_answers.deposit_address_of(rows, ADDRESSES).address == "bc1qexample"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{**ADDRESS, "selected": False}],
        [{**ADDRESS, "to": "18"}],
        [{**ADDRESS, "chain": "BTC-Lightning"}],
        [ADDRESS, {**ADDRESS, "addr": "other"}],
        [{**ADDRESS, "addr": ""}],
    ],
)
def test_without_exactly_one_such_address_there_is_none(rows) -> None:
    """Coins are not sent on a guess."""
    with pytest.raises(OkxProtocolError):
        funding_answers.deposit_address_of(rows, ADDRESSES)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"transId": "5", "clientId": "t2"}],
        [{"transId": "5", "clientId": ""}],
        [{"transId": "", "clientId": "t1"}],
        [{"transId": "5", "clientId": "t1"}] * 2,
    ],
)
def test_an_acceptance_that_is_not_of_our_transfer_leaves_it_unknown(rows) -> None:
    """It was sent, and something was accepted: ask before anything else, under our id."""
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        funding_answers.own_row_of(TransferAck, rows, TRANSFER)
    assert unknown.value.client_transfer_id == "t1"


def test_another_withdrawal_is_an_error() -> None:
    """Settling ours with another's state would book it twice."""
    row = {"wdId": "1", "clientId": "w2", "ccy": "BTC", "amt": "1", "state": "2", "ts": "1"}
    with pytest.raises(OkxProtocolError, match="it is about w1, the answer about 'w2'"):
        funding_answers.own_row_of(Withdrawal, [row], funding_calls.withdrawal_by_id("w1"))


@pytest.mark.parametrize("rows", [[], [{**STATUS, "transId": "6"}], [STATUS, STATUS]])
def test_a_transfer_under_okxs_id_is_that_one_or_an_error(rows) -> None:
    """It may be anybody's client id; it may not be another transfer."""
    asked = funding_calls.transfer_state_by_id("5")
    assert funding_answers.transfer_by_id_of([STATUS], asked, "5").client_transfer_id == "t1"
    with pytest.raises(OkxProtocolError, match="5"):
        funding_answers.transfer_by_id_of(rows, asked, "5")
