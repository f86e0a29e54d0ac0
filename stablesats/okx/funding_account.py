"""The calls about the funding account: balance, address, transfers, deposits, withdrawals; bitcoin only."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import assert_never

import structlog

from stablesats.okx import answers, funding_answers, funding_calls
from stablesats.okx.call import Call
from stablesats.okx.envelope import Row
from stablesats.okx.errors import (
    INCORRECT_TRANSFER_CODE,
    DuplicateTransferIdError,
    OkxRefusedError,
    TransferNotFoundError,
)
from stablesats.okx.funding_messages import (
    AccountKind,
    CurrencyChain,
    Deposit,
    DepositAddress,
    FundingBalance,
    TransferAck,
    TransferStatus,
    Withdrawal,
    WithdrawalAck,
)
from stablesats.okx.page import NEWEST, Page
from stablesats.okx.sender import RequestSender
from stablesats.okx.time_paging import every_row_by_time

_log = structlog.get_logger(__name__)


class FundingAccount(RequestSender):
    """The account that deposits arrive on and withdrawals leave from."""

    async def funding_balance(self) -> FundingBalance:
        """Return the bitcoin in the funding account; an account without any has a balance of zeros."""
        call = funding_calls.balances()
        return funding_answers.balance_of(await self._read(call), call)

    async def bitcoin_chain(self) -> CurrencyChain:
        """Return fee and bounds of moving bitcoin on its own chain."""
        call = funding_calls.currencies()
        return funding_answers.bitcoin_chain_of(await self._read(call), call)

    async def deposit_address(self) -> DepositAddress:
        """Return the address that credits the funding account on bitcoin's own chain.

        Raises:
            OkxProtocolError: Also if OKX names none, or several: nothing must be sent on a guess.
        """
        call = funding_calls.deposit_addresses()
        return funding_answers.deposit_address_of(await self._read(call), call)

    async def transfer(
        self, amount_btc: Decimal, *, source: AccountKind, target: AccountKind, client_transfer_id: str
    ) -> TransferAck:
        """Move bitcoin between our two accounts, sent once; accepted is not yet done: ask `transfer_status`.

        Args:
            amount_btc: Above zero, whole satoshis.
            source: The account that pays.
            target: The account that gets it.
            client_transfer_id: Our id, 1 to 32 letters and digits, new for every transfer.

        Raises:
            InsufficientFundsError: The account has too little that is free; not executed.
            TransferAmountError, FundingSettlementError: Not executed either.
            DuplicateTransferIdError: There is a transfer under this id already; this one was not executed.
            OkxOutcomeUnknownError: Perhaps executed: settle it by `transfer_status`.
            OkxError: As for `place_market_order`.
        """
        call = funding_calls.transfer(
            amount_btc, source=source, target=target, client_transfer_id=client_transfer_id
        )
        try:
            rows = await self._write(call)
        except OkxRefusedError as exc:
            if exc.code != INCORRECT_TRANSFER_CODE:
                raise
            raise _retold(DuplicateTransferIdError, exc) from exc
        return funding_answers.own_row_of(TransferAck, rows, call)

    async def transfer_status(self, client_transfer_id: str) -> TransferStatus:
        """Return how far a transfer of the last two weeks is.

        A state that we do not know counts as pending, and raises an alarm in the log.

        Raises:
            TransferNotFoundError: OKX has none under this id. A transfer carries no expiry, so one whose
                outcome was unknown may still arrive: ask for some time before taking it for lost.
        """
        call = funding_calls.transfer_state(client_transfer_id)
        rows = await self._read_transfer(call)
        status = funding_answers.own_row_of(TransferStatus, rows, call)
        _alarm_if_needed("transfer", [status], rows)
        return status

    async def transfer_status_by_id(self, transfer_id: str) -> TransferStatus:
        """Return how far the transfer under OKX's id is, such as one made by hand; else as `transfer_status`.

        Raises:
            TransferNotFoundError: OKX has none, or has forgotten it.
        """
        call = funding_calls.transfer_state_by_id(transfer_id)
        rows = await self._read_transfer(call)
        status = funding_answers.transfer_by_id_of(rows, call, transfer_id)
        _alarm_if_needed("transfer", [status], rows)
        return status

    async def _read_transfer(self, call: Call) -> list[Row]:
        try:
            return await self._read(call)
        except OkxRefusedError as exc:
            if exc.code != INCORRECT_TRANSFER_CODE:
                raise
            raise _retold(TransferNotFoundError, exc) from exc

    async def withdraw(self, amount_btc: Decimal, *, address: str, client_transfer_id: str) -> WithdrawalAck:
        """Pay bitcoin to *address* on its own chain, sent once; accepted is not yet paid: ask `withdrawal`.

        Args:
            amount_btc: What the address gets, within the bounds of `bitcoin_chain`; the fee comes on top.
            address: Where to; OKX wants it on its verified list.
            client_transfer_id: Our id, 1 to 32 letters and digits, new for every withdrawal.

        Raises:
            WithdrawalAddressError, TransferAmountError, InsufficientFundsError: Not executed.
            DuplicateTransferIdError: There is a withdrawal under this id already; this one was not executed.
            OkxOutcomeUnknownError: Perhaps executed: settle it by `withdrawal`.
            OkxError: As for `place_market_order`.
        """
        call = funding_calls.withdrawal(amount_btc, address=address, client_transfer_id=client_transfer_id)
        return funding_answers.own_row_of(WithdrawalAck, await self._write(call), call)

    async def withdrawal(self, client_transfer_id: str) -> Withdrawal:
        """Return how far a withdrawal is.

        A state that we do not know counts as pending; where a person should look, the log has an alarm.

        Raises:
            TransferNotFoundError: OKX has none under this id; ask for some time before taking it for lost.
        """
        call = funding_calls.withdrawal_by_id(client_transfer_id)
        rows = await self._read(call)
        if not rows:
            raise TransferNotFoundError(
                f"no withdrawal under {client_transfer_id}", http_status=200, request=str(call.endpoint)
            )
        withdrawal = funding_answers.own_row_of(Withdrawal, rows, call)
        _alarm_if_needed("withdrawal", [withdrawal], rows)
        return withdrawal

    async def withdrawals(self, page: Page = NEWEST) -> list[Withdrawal]:
        """Return one page of our withdrawals, newest first, keyed by time; see `every_withdrawal`."""
        call = funding_calls.withdrawals(page)
        rows = await self._read(call)
        withdrawals = answers.every_row(Withdrawal, rows, call)
        _alarm_if_needed("withdrawal", withdrawals, rows)
        return withdrawals

    async def deposits(self, page: Page = NEWEST) -> list[Deposit]:
        """Return one page of our deposits, newest first, keyed by time; see `every_deposit`.

        Compare amounts as numbers, and track ids.
        """
        call = funding_calls.deposits(page)
        rows = await self._read(call)
        deposits = answers.every_row(Deposit, rows, call)
        _alarm_if_needed("deposit", deposits, rows)
        return deposits

    def every_withdrawal(self, *, since: datetime | None = None) -> AsyncIterator[Withdrawal]:
        """Yield each of our withdrawals from *since* on once, newest first, however many pages they fill.

        Raises:
            OkxProtocolError: Also if 100 of them share a millisecond: OKX's pages cannot tell more apart.
            OkxError: As the other reads.
        """
        return every_row_by_time(self.withdrawals, lambda withdrawal: withdrawal.withdrawal_id, since=since)

    def every_deposit(self, *, since: datetime | None = None) -> AsyncIterator[Deposit]:
        """Yield each of our deposits from *since* on once, newest first; as `every_withdrawal`."""
        return every_row_by_time(self.deposits, lambda deposit: deposit.deposit_id, since=since)


def _retold(kind: type[OkxRefusedError], refused: OkxRefusedError) -> OkxRefusedError:
    return kind(refused.message, code=refused.code, http_status=refused.http_status, request=refused.request)


def _alarm_if_needed(
    kind: str,
    movements: Sequence[TransferStatus | Withdrawal | Deposit],
    rows: Sequence[Mapping[str, object]],
) -> None:
    for movement, row in zip(movements, rows, strict=True):
        if movement.state.needs_attention:
            _log.warning(
                f"a {kind} needs attention: OKX holds it back, or its state is one that we do not know",
                action=f"okx-{kind}-needs-attention",
                id=_id_of(movement),
                state=row.get("state"),
                counts_as=movement.state.phase.value,
            )


def _id_of(movement: TransferStatus | Withdrawal | Deposit) -> str:
    match movement:
        case TransferStatus():
            return movement.transfer_id
        case Withdrawal():
            return movement.withdrawal_id
        case Deposit():
            return movement.deposit_id
        case _:
            assert_never(movement)
