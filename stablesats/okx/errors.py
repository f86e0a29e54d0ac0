"""What can go wrong between us and OKX, by what the caller can do about it.

- `OkxError`
    - `OkxRefusedError`: OKX said no (or we did, before sending); **certainly not executed**.
        - one leaf for each case that a caller handles differently, see `REFUSALS`
    - `OkxUnreachableError`: no answer, and **certainly not executed**.
    - `OkxOutcomeUnknownError`: a write may or may not have been executed; settle it by query.
    - `OkxProtocolError`: a read was answered in a shape that OKX does not document.
    - `OkxInvalidRequestError`: the caller asked for something that can never be sent.
    - `OkxClosedError`: the client was closed.

Which of them is meant follows from OKX's code, never from its text: texts changed several times.
"""

from typing import ClassVar

from stablesats.errors import StablesatsError

# OKX's own words are quoted in our messages up to here; an HTML page in `msg` stays readable.
MAX_QUOTED_CHARACTERS = 200


class OkxError(StablesatsError):
    """Something asked of OKX, or of its client, could not be done."""


class OkxRefusedError(OkxError):
    """The request was refused and is certain not to have been executed.

    Attributes:
        code: OKX's code, such as ``"51008"``; ``""`` when there was none: the HTTP status alone said it,
            or this client refused before sending.
        message: OKX's text for it, or ours.
        http_status: Status of the answer; None when nothing was sent.
        request: Method and path, such as ``POST /api/v5/trade/order``.
    """

    way_out: ClassVar[str] = ""

    def __init__(self, message: str, *, code: str = "", http_status: int | None = None, request: str) -> None:
        self.code = code
        self.message = message[:MAX_QUOTED_CHARACTERS]
        self.http_status = http_status
        self.request = request
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        if self.http_status is None:
            sentence = f"{self.request} was not sent: {self.message}"
        else:
            code = f"code {self.code}, " if self.code else ""
            sentence = f"OKX refused {self.request}: {self.message} ({code}HTTP {self.http_status})"
        return f"{sentence}; {self.way_out}" if self.way_out else sentence


class OrderNotFoundError(OkxRefusedError):
    """OKX knows no such order; right after sending one it may say so for a while all the same."""

    way_out = "it never arrived only if the server clock is past its expiry"


class OrderNotPendingError(OkxRefusedError):
    """The order cannot be cancelled: it is filled, cancelled already, or unknown."""

    way_out = "query the order to learn which"


class PositionNotFoundError(OkxRefusedError):
    """There is no position to close or reduce."""


class DuplicateClientOrderIdError(OkxRefusedError):
    """A pending order carries this client order id already."""

    way_out = "query that order; a new order needs a new id"


class InsufficientMarginError(OkxRefusedError):
    """The trading account has too little free margin for the order."""

    way_out = "move bitcoin into the trading account or trade less"


class OrderSizeError(OkxRefusedError):
    """The size is below the minimum, off the lot or above the maximum of the instrument."""

    way_out = "compare it with the bounds in the instrument's row"


class OrderExpiredError(OkxRefusedError):
    """The order's expiry passed before it was executed."""

    way_out = "decide again and place a new order under a new id; compare the clocks if it repeats"


class UnknownInstrumentError(OkxRefusedError):
    """OKX lists no such instrument."""


class FundingSettlementError(OkxRefusedError):
    """OKX is charging funding fees at this moment and takes no such request meanwhile."""

    way_out = "try again in a minute"


class LeverageError(OkxRefusedError):
    """The leverage is outside its bounds, or the equity does not carry it."""


class TransferNotFoundError(OkxRefusedError):
    """OKX knows no such transfer or withdrawal; right after sending one it may say so all the same."""

    way_out = "ask again before taking it for one that never arrived"


class TransferAmountError(OkxRefusedError):
    """The amount is not above zero, below the minimum or above the maximum."""

    way_out = "compare it with the bounds in the currency's row"


class InsufficientFundsError(OkxRefusedError):
    """The account that should pay holds too little that is free."""


class WithdrawalAddressError(OkxRefusedError):
    """OKX does not pay to this address: malformed, of another chain, or not on its verified list."""

    way_out = "verify the address on OKX's withdrawal page"


class DuplicateTransferIdError(OkxRefusedError):
    """An earlier transfer or withdrawal carries this client id already; this one was not executed."""

    way_out = "query it by that id; a new one needs a new id"


class OkxRateLimitedError(OkxRefusedError):
    """Too many requests: the request was turned away at the door."""

    way_out = "try again in a few seconds"


class OkxUnavailableError(OkxRefusedError):
    """A read met an exchange that is down, busy or in maintenance."""

    way_out = "try again later"


class OkxAuthenticationError(OkxRefusedError):
    """OKX does not accept the key, the passphrase, the signature or where they are used from."""

    way_out = (
        "check api key, secret, passphrase, the key's permissions and IP list, and demo against production"
    )


class OkxClockSkewError(OkxRefusedError):
    """The timestamp in the signature is more than 30 s away from the server's clock."""

    way_out = "the clock has been measured again, so the next request should pass; check this machine's clock"


class OkxUnreachableError(OkxError):
    """There was no answer, and nothing can have been executed.

    Either the request was a read, or it was not sent: the connection could not be made, or OKX's clock, to
    sign it with, could not be measured.
    """


class OkxProtocolError(OkxError):
    """A read was answered, but not in the documented shape; no value can be trusted."""


class OkxInvalidRequestError(OkxError, ValueError):
    """The request breaks a documented rule, so it was never sent; an error in the calling code."""


class OkxClosedError(OkxError):
    """The client has been closed."""


class OkxOutcomeUnknownError(OkxError):
    """A write was sent, or may have been, and there is no telling whether OKX executed it.

    Query the order or the transfer by its client id; never send the same one again.

    Attributes:
        request: Method and path.
        client_order_id: The id to ask for, if it was about an order; those of a batch with commas between.
        client_transfer_id: The id to ask for, if it was about a transfer or a withdrawal.
        reason: What happened instead of an answer.
        code: OKX's code if there was one, else ``""``.
        http_status: Status of the answer if there was one.
    """

    def __init__(
        self,
        reason: str,
        *,
        request: str,
        client_order_id: str = "",
        client_transfer_id: str = "",
        code: str = "",
        http_status: int | None = None,
    ) -> None:
        self.request = request
        self.client_order_id = client_order_id
        self.client_transfer_id = client_transfer_id
        self.reason = reason[:MAX_QUOTED_CHARACTERS]
        self.code = code
        self.http_status = http_status
        about, way_out = self._about_and_way_out()
        super().__init__(f"no telling whether OKX executed {request}{about}: {self.reason}; {way_out}")

    def _about_and_way_out(self) -> tuple[str, str]:
        if self.client_order_id:
            kind, client_id = "order", self.client_order_id
        elif self.client_transfer_id:
            kind, client_id = "transfer", self.client_transfer_id
        else:
            return "", "read back what it would have changed before anything else"
        return (
            f" (client {kind} id {client_id})",
            f"query the {kind} by its client id before anything else, and never send it again",
        )


# Key, passphrase, signature, permission, IP list, and demo against production.
_AUTHENTICATION_CODES = (
    *("50100", "50101", "50103", "50104", "50105", "50106", "50107", "50108", "50110"),
    *("50111", "50112", "50113", "50114", "50119", "50120", "50121"),
)

# Malformed requests and missing features, turned away before anything is looked at.
_BAD_REQUEST_CODES = ("50000", "50002", "50006", "50014", "50038", "50115")

# One table, code -> class. A code that is not here is a plain `OkxRefusedError`.
# Source: OKX API v5, error codes.
REFUSALS: dict[str, type[OkxRefusedError]] = {
    "50011": OkxRateLimitedError,
    "50061": OkxRateLimitedError,
    "58102": OkxRateLimitedError,
    "50036": OrderExpiredError,
    "50037": OrderExpiredError,
    "50102": OkxClockSkewError,
    **dict.fromkeys(_AUTHENTICATION_CODES, OkxAuthenticationError),
    **dict.fromkeys(_BAD_REQUEST_CODES, OkxRefusedError),
    "51001": UnknownInstrumentError,
    "51008": InsufficientMarginError,
    "51016": DuplicateClientOrderIdError,
    "51020": OrderSizeError,
    "51101": OrderSizeError,
    "51121": OrderSizeError,
    "51202": OrderSizeError,
    "51023": PositionNotFoundError,
    "51169": PositionNotFoundError,
    "51115": OkxRefusedError,  # answered with status 429, but it is about open orders, not about the rate
    "51400": OrderNotPendingError,
    "51603": OrderNotFoundError,
    "51030": FundingSettlementError,
    "58111": FundingSettlementError,
    "59102": LeverageError,
    "59105": LeverageError,
    "59109": LeverageError,
    "58114": TransferAmountError,
    "58205": TransferAmountError,
    "58206": TransferAmountError,
    "58116": InsufficientFundsError,
    "58350": InsufficientFundsError,
    "58207": WithdrawalAddressError,
    "58222": WithdrawalAddressError,
    "58215": TransferNotFoundError,
    "58404": DuplicateTransferIdError,
}

# A field of a transfer is incorrect. Asked for one, OKX means an id that it does not know. Told to make one,
# it means an id that was used: currency, accounts and type are fixed choices of ours, and an amount has codes
# of its own. So the code alone says neither.
INCORRECT_TRANSFER_CODE = "58129"

# Codes after which a write may have been executed, and a read may be asked again: the exchange gave up, was
# busy or timed out at a stage that it does not name. 50001 and 50013 promise "try again later", not "nothing
# was done", and treating a certain refusal as unknown costs one query, the reverse a double trade. 58124 says
# that a transfer is being processed, and it may well be this one.
AMBIGUOUS_CODES = frozenset({"50001", "50004", "50013", "50026", "51054", "51149", "58124"})


def may_have_been_executed(code: str) -> bool:
    """Return whether a write answered with *code* may have been executed all the same.

    True for `AMBIGUOUS_CODES` and for every general code (50xxx) that `REFUSALS` does not list: that is the
    class in which OKX reports troubles of its own, so one that is new to us is not taken for a refusal. A
    business code (51xxx and up) is a verdict on the request, also one that is new to us.
    """
    is_general = len(code) == 5 and code.startswith("50")
    return code in AMBIGUOUS_CODES or (is_general and code not in REFUSALS)


def refusal(*, code: str, message: str, http_status: int, request: str) -> OkxRefusedError:
    """Return the error for a refusal that is certain, by *code* first and then by HTTP status."""
    error_class = REFUSALS.get(code)
    if error_class is None:
        error_class = OkxRateLimitedError if http_status == 429 else OkxRefusedError
    return error_class(message, code=code, http_status=http_status, request=request)
