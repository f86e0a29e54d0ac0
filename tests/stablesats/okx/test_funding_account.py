"""Transfers, deposits and withdrawals, against a scripted exchange."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from stablesats.okx import (
    AccountKind,
    DuplicateTransferIdError,
    FundingSettlementError,
    InsufficientFundsError,
    MovementPhase,
    OkxClient,
    OkxOutcomeUnknownError,
    OkxRefusedError,
    TransferAck,
    TransferAmountError,
    TransferNotFoundError,
    TransferState,
    WithdrawalAck,
    WithdrawalAddressError,
    WithdrawalState,
)

TRANSFER = "POST /api/v5/asset/transfer"
STATE = "GET /api/v5/asset/transfer-state"
WITHDRAW = "POST /api/v5/asset/withdrawal"
WITHDRAWALS = "GET /api/v5/asset/withdrawal-history"
DEPOSITS = "GET /api/v5/asset/deposit-history"
ADDRESS = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
STATUS = {
    "transId": "5",
    "clientId": "t1",
    "ccy": "BTC",
    "amt": "0.1",
    "type": "0",
    "from": "6",
    "to": "18",
    "state": "success",
}
PAID = {
    "wdId": "9",
    "clientId": "w1",
    "ccy": "BTC",
    "chain": "BTC-Bitcoin",
    "amt": "0.1",
    "fee": "0.00005",
    "to": ADDRESS,
    "txId": "ab",
    "state": "2",
    "ts": "1767268800000",
}


async def transfer(client: OkxClient) -> TransferAck:
    return await client.transfer(
        Decimal("0.1"), source=AccountKind.FUNDING, target=AccountKind.TRADING, client_transfer_id="t1"
    )


async def withdraw(client: OkxClient) -> WithdrawalAck:
    return await client.withdraw(Decimal("0.1"), address=ADDRESS, client_transfer_id="w1")


Movement = tuple[str, Callable[[OkxClient], Awaitable[object]], str]
WRITES = [
    pytest.param((TRANSFER, transfer, "t1"), id="transfer"),
    pytest.param((WITHDRAW, withdraw, "w1"), id="withdraw"),
]


async def test_balance_terms_and_address(exchange, client: OkxClient) -> None:
    """An account without bitcoin is told by an empty list."""
    exchange.rows("GET /api/v5/asset/balances")
    exchange.rows(
        "GET /api/v5/asset/currencies",
        {"ccy": "BTC", "chain": "BTC-Bitcoin", "fee": "0.00005", "canWd": True},
    )
    exchange.rows(
        "GET /api/v5/asset/deposit-address",
        {"ccy": "BTC", "chain": "BTC-Bitcoin", "addr": ADDRESS, "to": "6", "selected": True},
    )
    assert (await client.funding_balance()).available == 0
    assert (await client.bitcoin_chain()).withdrawal_fee == Decimal("0.00005")
    assert (await client.deposit_address()).address == ADDRESS


async def test_a_transfer_is_accepted_and_then_done(exchange, client: OkxClient) -> None:
    """Acceptance names OKX's id; the state says when it is done."""
    exchange.rows(TRANSFER, {"transId": "5", "clientId": "t1", "ccy": "BTC", "amt": "0.1"})
    exchange.rows(STATE, {**STATUS, "state": "pending"})
    exchange.rows(STATE, STATUS)
    assert (await transfer(client)).transfer_id == "5"
    assert not (await client.transfer_status("t1")).state.is_final
    assert (await client.transfer_status("t1")).state is TransferState.SUCCEEDED


async def test_a_withdrawal_is_accepted_and_then_paid(exchange, client: OkxClient) -> None:
    """The same."""
    exchange.rows(WITHDRAW, {"wdId": "9", "clientId": "w1", "ccy": "BTC", "amt": "0.1"})
    exchange.rows(WITHDRAWALS, PAID)
    assert (await withdraw(client)).withdrawal_id == "9"
    assert (await client.withdrawal("w1")).state is WithdrawalState.SUCCEEDED
    assert [payment.withdrawal_id for payment in await client.withdrawals()] == ["9"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("58350", InsufficientFundsError),
        ("58116", InsufficientFundsError),
        ("58111", FundingSettlementError),
        ("58114", TransferAmountError),
        ("58206", TransferAmountError),
        ("58207", WithdrawalAddressError),
        ("58404", DuplicateTransferIdError),
        ("58129", OkxRefusedError),
    ],
)
@pytest.mark.parametrize("movement", WRITES)
async def test_a_refused_movement_is_not_sent_again(
    exchange, client: OkxClient, movement: Movement, code: str, error: type
) -> None:
    """Certainly not executed, with a leaf for what a caller may act on."""
    endpoint, write, _ = movement
    exchange.rows(endpoint, code=code, msg="refused")
    with pytest.raises(error) as refused:
        await write(client)
    assert not isinstance(refused.value, TransferNotFoundError)
    assert exchange.times_asked(endpoint) == 1


async def test_a_transfer_under_an_id_that_was_used_is_a_duplicate(exchange, client: OkxClient) -> None:
    """OKX has no code of its own for it: it finds a field incorrect, and only the id of ours can be that."""
    exchange.rows(TRANSFER, code="58129", msg="clientId is incorrect")
    with pytest.raises(DuplicateTransferIdError, match="query it by that id") as refused:
        await transfer(client)
    assert (refused.value.code, refused.value.http_status) == ("58129", 200)
    assert exchange.times_asked(TRANSFER) == 1


@pytest.mark.parametrize("movement", WRITES)
@pytest.mark.parametrize("silence", ["drop", "502", "50004", "58124"])
async def test_a_movement_without_a_clear_answer_is_unknown_and_never_sent_again(
    exchange, client: OkxClient, movement: Movement, silence: str
) -> None:
    """It names the id to ask for: sent again, the money could move twice."""
    endpoint, write, own_id = movement
    match silence:
        case "drop":
            exchange.drop(endpoint)
        case "502":
            exchange.text(endpoint, "<html>bad gateway</html>", status=502)
        case code:
            exchange.rows(endpoint, code=code, msg="being processed")
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        await write(client)
    assert unknown.value.client_transfer_id == own_id
    assert exchange.times_asked(endpoint) == 1


async def test_a_transfer_that_okx_does_not_know(exchange, client: OkxClient) -> None:
    """One code says so; a malformed id, or any other refusal, does not."""
    exchange.rows(STATE, code="58129", msg="clientId is incorrect")
    exchange.rows(STATE, code="51000", msg="Parameter clientId error", status=400)
    exchange.rows(STATE, code="58129", msg="transId is incorrect")
    with pytest.raises(TransferNotFoundError, match="ask again"):
        await client.transfer_status("t1")
    with pytest.raises(OkxRefusedError) as refused:
        await client.transfer_status("t1")
    assert not isinstance(refused.value, TransferNotFoundError)
    with pytest.raises(TransferNotFoundError):
        await client.transfer_status_by_id("5")


async def test_a_transfer_made_by_hand_is_found_by_okxs_id(exchange, client: OkxClient) -> None:
    """It has no client id of ours."""
    exchange.rows(STATE, {**STATUS, "clientId": "", "state": "pending"})
    status = await client.transfer_status_by_id("5")
    assert (status.client_transfer_id, status.state) == ("", TransferState.PENDING)


async def test_a_withdrawal_that_okx_does_not_know(exchange, client: OkxClient) -> None:
    """It has two ways to say so."""
    exchange.rows(WITHDRAWALS)
    exchange.rows(WITHDRAWALS, code="58215", msg="Withdrawal ID does not exist.")
    for _ in range(2):
        with pytest.raises(TransferNotFoundError):
            await client.withdrawal("w1")


async def test_states_that_need_a_person_raise_an_alarm(exchange, client: OkxClient) -> None:
    """Held back by OKX, or unknown to us; pending all the same."""
    deposit = {"depId": "1", "ccy": "BTC", "amt": "1", "to": ADDRESS, "txId": "ab", "ts": "1"}
    exchange.rows(DEPOSITS, {**deposit, "state": "12"}, {**deposit, "depId": "2", "state": "2"})
    exchange.rows(WITHDRAWALS, {**PAID, "state": "77"})
    exchange.rows(STATE, {**STATUS, "state": "frozen"})
    with capture_logs() as logs:
        deposits = await client.deposits()
        (withdrawal,) = await client.withdrawals()
        status = await client.transfer_status("t1")
    assert [found.state.phase for found in (*deposits, withdrawal, status)] == [
        MovementPhase.PENDING,
        MovementPhase.SUCCEEDED,
        MovementPhase.PENDING,
        MovementPhase.PENDING,
    ]
    assert [(line["action"], line["id"], line["state"]) for line in logs if "id" in line] == [
        ("okx-deposit-needs-attention", "1", "12"),
        ("okx-withdrawal-needs-attention", "9", "77"),
        ("okx-transfer-needs-attention", "5", "frozen"),
    ]
