"""Transfers between the funding and the trading account: what may be asked for, and how far one has come.

Source: OKX API v5, "Funds transfer" and "Get funds transfer state".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - read at run time when a saved state is loaded
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.config import is_btc_amount
from stablesats.okx_simulator.orders import field_text
from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

_AMOUNT: Final = re.compile(r"-?\d{1,12}(\.\d{1,16})?", re.ASCII)
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)


class AccountCode(StrEnum):
    """OKX's numbers of the two accounts."""

    FUNDING = "6"
    TRADING = "18"


class TransferState(StrEnum):
    """OKX's states of a transfer; only ``pending`` is not final."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """A well-formed request to move *amount_btc* between the two accounts."""

    amount_btc: Decimal
    source: AccountCode
    target: AccountCode
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An accepted transfer: its amount has left the source, and is in the target once it is a success."""

    transfer_id: str
    request: TransferRequest
    state: TransferState
    created_at: datetime


def parse_transfer(fields: Mapping[str, object]) -> TransferRequest:
    """Check a request for a transfer, as far as it can be checked without balances.

    Raises:
        RefusalError: 51000 for a malformed field; 58114 for an amount that is not above zero; 58129 for an
            account that is neither; 58123 for one account twice.
    """
    check_bitcoin(field_text(fields, "ccy"))
    amount_btc = parse_amount(field_text(fields, "amt"))
    if field_text(fields, "type") not in {"", "0"}:
        raise RefusalError("51000", "type")
    source, target = (_account(field_text(fields, name), name) for name in ("from", "to"))
    if source is target:
        raise RefusalError("58123")
    client_id = checked_money_client_id(field_text(fields, "clientId"))
    return TransferRequest(amount_btc=amount_btc, source=source, target=target, client_id=client_id)


def check_bitcoin(currency: str) -> None:
    """Refuse every currency but bitcoin (51000)."""
    if currency != "BTC":
        raise RefusalError("51000", "ccy")


def parse_amount(text: str) -> Decimal:
    """Read an amount of whole satoshis.

    Raises:
        RefusalError: 51000 for a text that is no such amount; 58114 for zero or less.
    """
    if not _AMOUNT.fullmatch(text):
        raise RefusalError("51000", "amt")
    amount_btc = Decimal(text)
    if amount_btc <= 0:
        raise RefusalError("58114")
    if not is_btc_amount(amount_btc):
        raise RefusalError("51000", "amt")
    return amount_btc


def checked_money_client_id(text: str) -> str:
    """Return a client id of 1-32 letters and digits, or ``""``; anything else is refused (51000)."""
    if text and not _CLIENT_ID.fullmatch(text):
        raise RefusalError("51000", "clientId")
    return text


def _account(text: str, name: str) -> AccountCode:
    try:
        return AccountCode(text)
    except ValueError:
        raise RefusalError("58129", name) from None
