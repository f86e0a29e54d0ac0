"""The requests about the funding account, byte by byte."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stablesats.okx import AccountKind, OkxInvalidRequestError, Page, funding_calls
from stablesats.okx.call import Call

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADDRESS = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"


def transfer(amount_btc: Decimal = Decimal("0.1"), client_transfer_id: str = "t1", **accounts) -> Call:
    asked = {"source": AccountKind.FUNDING, "target": AccountKind.TRADING, **accounts}
    return funding_calls.transfer(amount_btc, client_transfer_id=client_transfer_id, **asked)


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (funding_calls.balances(), "/api/v5/asset/balances?ccy=BTC"),
        (funding_calls.currencies(), "/api/v5/asset/currencies?ccy=BTC"),
        (funding_calls.deposit_addresses(), "/api/v5/asset/deposit-address?ccy=BTC"),
        (funding_calls.transfer_state("t1"), "/api/v5/asset/transfer-state?ccy=BTC&clientId=t1&type=0"),
        (funding_calls.transfer_state_by_id("5"), "/api/v5/asset/transfer-state?ccy=BTC&transId=5&type=0"),
        (funding_calls.withdrawal_by_id("w1"), "/api/v5/asset/withdrawal-history?ccy=BTC&clientId=w1"),
        (
            funding_calls.withdrawals(Page(older_than=NOON, limit=10)),
            "/api/v5/asset/withdrawal-history?ccy=BTC&after=1767268800000&limit=10",
        ),
        (funding_calls.deposits(), "/api/v5/asset/deposit-history?ccy=BTC&limit=100"),
    ],
)
def test_a_read_is_a_path_and_a_query(call: Call, target: str) -> None:
    """Always about bitcoin."""
    assert (call.endpoint.method, call.request_target, call.body) == ("GET", target, "")


def test_a_transfer_names_both_accounts_and_our_id() -> None:
    """So that every outcome can be asked for."""
    call = transfer()
    assert (call.endpoint.method, call.request_target) == ("POST", "/api/v5/asset/transfer")
    assert call.body == '{"ccy":"BTC","amt":"0.1","from":"6","to":"18","type":"0","clientId":"t1"}'
    assert (call.client_transfer_id, call.client_order_id) == ("t1", "")


def test_a_withdrawal_names_chain_and_address() -> None:
    """On-chain, on bitcoin's own; the fee is OKX's to add."""
    call = funding_calls.withdrawal(Decimal("0.10"), address=ADDRESS, client_transfer_id="w1")
    assert call.body == (
        f'{{"ccy":"BTC","amt":"0.1","dest":"4","toAddr":"{ADDRESS}","chain":"BTC-Bitcoin","clientId":"w1"}}'
    )


@pytest.mark.parametrize(
    "amount_btc",
    [Decimal(0), Decimal("-0.1"), Decimal("0.000000001"), Decimal("NaN"), Decimal("Infinity"), 1, 0.1, "0.1"],
)
def test_an_amount_that_is_no_number_of_satoshis_is_never_sent(amount_btc) -> None:
    """Nor a plain integer, which could be meant as satoshis."""
    with pytest.raises(OkxInvalidRequestError):
        transfer(amount_btc)
    with pytest.raises(OkxInvalidRequestError):
        funding_calls.withdrawal(amount_btc, address=ADDRESS, client_transfer_id="w1")


@pytest.mark.parametrize("client_id", ["", "a" * 33, "t-1", "t 1", "é"])
def test_a_malformed_client_id_is_never_sent(client_id: str) -> None:
    """It could not be asked for afterwards."""
    for make in (funding_calls.transfer_state, funding_calls.withdrawal_by_id):
        with pytest.raises(OkxInvalidRequestError, match="client transfer id"):
            make(client_id)
    with pytest.raises(OkxInvalidRequestError, match="client transfer id"):
        transfer(client_transfer_id=client_id)


@pytest.mark.parametrize("transfer_id", ["", "t1", "1" * 33, "٣"])
def test_a_transfer_id_that_is_not_okxs_is_never_sent(transfer_id: str) -> None:
    """It would be one malformed in OKX's eyes, which is another answer than unknown."""
    with pytest.raises(OkxInvalidRequestError, match="is digits"):
        funding_calls.transfer_state_by_id(transfer_id)


def test_a_transfer_to_the_same_account_is_never_sent() -> None:
    """OKX refuses it (58123)."""
    with pytest.raises(OkxInvalidRequestError, match="found funding twice"):
        transfer(target=AccountKind.FUNDING)


@pytest.mark.parametrize("address", ["", "bc1", "bc1 q" + "x" * 30, 'bc1"' + "x" * 30, "x" * 101])
def test_what_cannot_be_an_address_is_never_sent(address: str) -> None:
    """Coins sent to a typing error are gone; whether it is a good one is OKX's to check."""
    with pytest.raises(OkxInvalidRequestError, match="no bitcoin address"):
        funding_calls.withdrawal(Decimal(1), address=address, client_transfer_id="w1")


@pytest.mark.parametrize("page", [Page(since=NOON), Page(until=NOON), Page(older_than="5")])
def test_lists_of_the_funding_account_are_paged_by_time(page: Page) -> None:
    """OKX keys them by it and knows no begin and end there."""
    for make in (funding_calls.deposits, funding_calls.withdrawals):
        with pytest.raises(OkxInvalidRequestError, match="time"):
            make(page)
