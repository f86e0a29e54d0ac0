"""Deposits and withdrawals: bitcoin that comes from outside the exchange, or leaves it.

Source: OKX API v5, "Withdrawal", "Get withdrawal history" and "Get deposit history".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - read at run time when a saved state is loaded
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.addresses import is_bitcoin_address
from stablesats.okx_simulator.currency import BITCOIN
from stablesats.okx_simulator.orders import field_text
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.transfers import check_bitcoin, checked_money_client_id, parse_amount

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stablesats.okx_simulator.addresses import BitcoinNetwork

DEPOSIT_WAITING: Final = "0"
DEPOSIT_CREDITED: Final = "1"
DEPOSIT_SUCCESSFUL: Final = "2"
WITHDRAWAL_WAITING: Final = "0"
WITHDRAWAL_BROADCAST: Final = "1"
WITHDRAWAL_SUCCESSFUL: Final = "2"
WITHDRAWAL_RETURNED: Final = frozenset({"-2", "-1"})
"""Cancelled and failed: final, and the amount is back in the balance."""

_INTERNAL: Final = "3"
_ON_CHAIN: Final = "4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A payment into a deposit address; *state* is OKX's, other states than 0, 1, 2 hold it up."""

    deposit_id: str
    address: str
    amount_btc: Decimal
    tx_id: str
    state: str
    confirmations: int
    at: datetime

    @property
    def is_credited(self) -> bool:
        """Whether its amount is in the balance."""
        return self.state in {DEPOSIT_CREDITED, DEPOSIT_SUCCESSFUL}


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequest:
    """A well-formed request to pay *amount_btc* out, the fee coming on top."""

    amount_btc: Decimal
    address: str
    client_id: str
    is_internal: bool

    @property
    def fee_btc(self) -> Decimal:
        """What the exchange keeps: nothing for a payment inside the exchange."""
        return Decimal(0) if self.is_internal else BITCOIN.withdrawal_fee_btc


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """An accepted withdrawal.

    Amount and fee are frozen from acceptance, gone from *state* 1 on, and back if it is cancelled or fails.
    """

    withdrawal_id: str
    request: WithdrawalRequest
    state: str
    tx_id: str
    at: datetime

    @property
    def total_btc(self) -> Decimal:
        """Amount and fee."""
        return self.request.amount_btc + self.request.fee_btc

    @property
    def is_paid(self) -> bool:
        """Whether it has left the balance."""
        return self.state in {WITHDRAWAL_BROADCAST, WITHDRAWAL_SUCCESSFUL}

    @property
    def is_frozen(self) -> bool:
        """Whether it is still in the balance and cannot be used."""
        return not self.is_paid and self.state not in WITHDRAWAL_RETURNED


def parse_withdrawal(
    fields: Mapping[str, object],
    *,
    verified: Collection[str] | None,
    networks: Collection[BitcoinNetwork],
) -> WithdrawalRequest:
    """Check a request for a withdrawal, as far as it can be checked without balances.

    Args:
        fields: The body.
        verified: Addresses that money may be sent to; None for any.
        networks: Whose addresses exist on this exchange's chain.

    Raises:
        RefusalError: 51000 for a malformed field or another chain; 58114, 58206 or 58205 for an amount out
            of bounds; 58222 for what is no address of the chain, 58207 for one that is not verified.
    """
    check_bitcoin(field_text(fields, "ccy"))
    amount_btc = parse_amount(field_text(fields, "amt"))
    destination = field_text(fields, "dest")
    if destination not in {_INTERNAL, _ON_CHAIN}:
        raise RefusalError("51000", "dest")
    if field_text(fields, "chain") not in {"", BITCOIN.chain}:
        raise RefusalError("51000", "chain")
    if amount_btc < BITCOIN.min_withdrawal_btc:
        raise RefusalError("58206")
    if amount_btc > BITCOIN.max_withdrawal_btc:
        raise RefusalError("58205")
    address = field_text(fields, "toAddr")
    if destination == _ON_CHAIN and not is_bitcoin_address(address, networks):
        raise RefusalError("58222")
    if not address:
        raise RefusalError("51000", "toAddr")
    if verified is not None and address not in verified:
        raise RefusalError("58207")
    return WithdrawalRequest(
        amount_btc=amount_btc,
        address=address,
        client_id=checked_money_client_id(field_text(fields, "clientId")),
        is_internal=destination == _INTERNAL,
    )


def made_up_tx_id(money_id: str) -> str:
    """Return a transaction id for a payment that no chain has ever seen."""
    return hashlib.sha256(f"transaction of {money_id}".encode()).hexdigest()
