"""The requests about the funding account, as they are signed and sent; pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from stablesats.okx import endpoints
from stablesats.okx.amounts import btc_text
from stablesats.okx.call import Call, Fields, body_text, checked_client_transfer_id, request_target
from stablesats.okx.endpoints import Endpoint
from stablesats.okx.errors import OkxInvalidRequestError
from stablesats.okx.funding_messages import AccountKind
from stablesats.okx.page import NEWEST, Page

BITCOIN = "BTC"
BITCOIN_CHAIN = "BTC-Bitcoin"

_ON_CHAIN = "4"
_WITHIN_ONE_ACCOUNT = "0"
_ADDRESS = re.compile(r"[A-Za-z0-9]{14,100}", re.ASCII)


def balances() -> Call:
    """Ask what the funding account holds of bitcoin."""
    return _get(endpoints.FUNDING_BALANCES)


def currencies() -> Call:
    """Ask for the terms of moving bitcoin, on every chain."""
    return _get(endpoints.CURRENCIES)


def deposit_addresses() -> Call:
    """Ask for the addresses that credit us, old ones among them."""
    return _get(endpoints.DEPOSIT_ADDRESS)


def transfer(
    amount_btc: Decimal, *, source: AccountKind, target: AccountKind, client_transfer_id: str
) -> Call:
    """Ask to move bitcoin between our two accounts.

    Raises:
        OkxInvalidRequestError: If the amount is not above zero or no whole number of satoshis, the accounts
            are the same, or the id is not 1 to 32 letters and digits.
    """
    if source == target:
        raise OkxInvalidRequestError(f"a transfer has two accounts, found {source.name.lower()} twice")
    return _post(
        endpoints.TRANSFER,
        {
            "amt": btc_text(amount_btc),
            "from": source.value,
            "to": target.value,
            "type": _WITHIN_ONE_ACCOUNT,
        },
        client_transfer_id,
    )


def transfer_state(client_transfer_id: str) -> Call:
    """Ask how far a transfer is."""
    query = {"clientId": checked_client_transfer_id(client_transfer_id), "type": _WITHIN_ONE_ACCOUNT}
    return _get(endpoints.TRANSFER_STATE, query, client_transfer_id=client_transfer_id)


def transfer_state_by_id(transfer_id: str) -> Call:
    """Ask how far the transfer under OKX's id is."""
    if not (transfer_id.isascii() and transfer_id.isdecimal() and len(transfer_id) <= 32):
        raise OkxInvalidRequestError(f"a transfer id of OKX is digits, found {transfer_id[:64]!r}")
    return _get(endpoints.TRANSFER_STATE, {"transId": transfer_id, "type": _WITHIN_ONE_ACCOUNT})


def withdrawal(amount_btc: Decimal, *, address: str, client_transfer_id: str) -> Call:
    """Ask to pay bitcoin to an address on its own chain; the fee comes on top of the amount.

    Raises:
        OkxInvalidRequestError: If the amount is not above zero or no whole number of satoshis, the address
            cannot be one, or the id is not 1 to 32 letters and digits.
    """
    if not _ADDRESS.fullmatch(address):
        raise OkxInvalidRequestError(f"{address[:128]!r} is no bitcoin address")
    return _post(
        endpoints.WITHDRAWAL,
        {"amt": btc_text(amount_btc), "dest": _ON_CHAIN, "toAddr": address, "chain": BITCOIN_CHAIN},
        client_transfer_id,
    )


def withdrawal_by_id(client_transfer_id: str) -> Call:
    """Ask how far a withdrawal is."""
    query = {"clientId": checked_client_transfer_id(client_transfer_id)}
    return _get(endpoints.WITHDRAWAL_HISTORY, query, client_transfer_id=client_transfer_id)


def withdrawals(page: Page = NEWEST) -> Call:
    """Ask for our withdrawals, newest first."""
    return _get(endpoints.WITHDRAWAL_HISTORY, _keyed_by_time(page))


def deposits(page: Page = NEWEST) -> Call:
    """Ask for our deposits, newest first."""
    return _get(endpoints.DEPOSIT_HISTORY, _keyed_by_time(page))


def _keyed_by_time(page: Page) -> dict[str, str]:
    if page.since is not None or page.until is not None:
        raise OkxInvalidRequestError(
            "deposits and withdrawals are paged by time itself: use older_than and newer_than"
        )
    for bound in (page.older_than, page.newer_than):
        if bound is not None and not isinstance(bound, datetime):
            raise OkxInvalidRequestError(f"deposits and withdrawals are paged by time, found {bound[:64]!r}")
    return page.query()


def _get(endpoint: Endpoint, query: Mapping[str, str] | None = None, *, client_transfer_id: str = "") -> Call:
    target = request_target(endpoint, {"ccy": BITCOIN, **(query or {})})
    return Call(endpoint, target, client_transfer_id=client_transfer_id)


def _post(endpoint: Endpoint, fields: Fields, client_transfer_id: str) -> Call:
    document = {"ccy": BITCOIN, **fields, "clientId": checked_client_transfer_id(client_transfer_id)}
    return Call(endpoint, endpoint.path, body=body_text(document), client_transfer_id=client_transfer_id)
