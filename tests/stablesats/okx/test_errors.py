"""What each code of OKX means for the caller."""

import pytest

from stablesats.errors import StablesatsError
from stablesats.okx import (
    DuplicateClientOrderIdError,
    DuplicateTransferIdError,
    FundingSettlementError,
    InsufficientFundsError,
    InsufficientMarginError,
    LeverageError,
    OkxAuthenticationError,
    OkxClockSkewError,
    OkxError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OkxRateLimitedError,
    OkxRefusedError,
    OkxUnreachableError,
    OrderExpiredError,
    OrderNotFoundError,
    OrderNotPendingError,
    OrderSizeError,
    PositionNotFoundError,
    TransferAmountError,
    TransferNotFoundError,
    UnknownInstrumentError,
    WithdrawalAddressError,
    errors,
)

ORDER = "POST /api/v5/trade/order"


@pytest.mark.parametrize(
    ("code", "http_status", "error"),
    [
        ("50011", 429, OkxRateLimitedError),
        ("50011", 200, OkxRateLimitedError),
        ("50061", 200, OkxRateLimitedError),
        ("58102", 429, OkxRateLimitedError),
        ("50036", 200, OrderExpiredError),
        ("50037", 200, OrderExpiredError),
        ("50101", 401, OkxAuthenticationError),
        ("50103", 401, OkxAuthenticationError),
        ("50105", 401, OkxAuthenticationError),
        ("50110", 401, OkxAuthenticationError),
        ("50111", 401, OkxAuthenticationError),
        ("50113", 401, OkxAuthenticationError),
        ("50119", 200, OkxAuthenticationError),
        ("50102", 401, OkxClockSkewError),
        ("51000", 400, OkxRefusedError),
        ("51001", 200, UnknownInstrumentError),
        ("51008", 200, InsufficientMarginError),
        ("51016", 200, DuplicateClientOrderIdError),
        ("51020", 200, OrderSizeError),
        ("51101", 200, OrderSizeError),
        ("51121", 200, OrderSizeError),
        ("51202", 200, OrderSizeError),
        ("51023", 200, PositionNotFoundError),
        ("51169", 200, PositionNotFoundError),
        ("51115", 429, OkxRefusedError),  # 429, but about open orders and not about the rate
        ("51400", 200, OrderNotPendingError),
        ("51603", 200, OrderNotFoundError),
        ("51030", 200, FundingSettlementError),
        ("58111", 200, FundingSettlementError),
        ("58114", 400, TransferAmountError),
        ("58116", 200, InsufficientFundsError),
        ("58129", 200, OkxRefusedError),  # malformed, or unknown: the request decides
        ("58205", 200, TransferAmountError),
        ("58206", 200, TransferAmountError),
        ("58207", 200, WithdrawalAddressError),
        ("58215", 200, TransferNotFoundError),
        ("58222", 200, WithdrawalAddressError),
        ("58350", 200, InsufficientFundsError),
        ("58404", 200, DuplicateTransferIdError),
        ("59102", 200, LeverageError),
        ("59105", 400, LeverageError),
        ("59109", 200, LeverageError),
        ("59999", 200, OkxRefusedError),  # a code that we do not know is still a refusal
        ("59999", 429, OkxRateLimitedError),
        ("", 429, OkxRateLimitedError),
    ],
)
def test_class_of_a_refusal(code: str, http_status: int, error: type[OkxRefusedError]) -> None:
    """The code decides, then the status; the text never does."""
    refused = errors.refusal(code=code, message="any text", http_status=http_status, request=ORDER)
    assert type(refused) is error
    assert (refused.code, refused.message, refused.http_status, refused.request) == (
        code,
        "any text",
        http_status,
        ORDER,
    )


def test_message_of_a_refusal() -> None:
    """What was asked, what OKX said, under which code, and the way out."""
    refused = errors.refusal(
        code="51008",
        message="Order failed. Insufficient BTC margin in account",
        http_status=200,
        request=ORDER,
    )
    assert str(refused) == (
        "OKX refused POST /api/v5/trade/order: Order failed. Insufficient BTC margin in account "
        "(code 51008, HTTP 200); move bitcoin into the trading account or trade less"
    )


def test_message_of_a_refusal_without_code() -> None:
    """The status alone says it then."""
    refused = errors.refusal(code="", message="Too Many Requests", http_status=429, request=ORDER)
    assert str(refused) == (
        "OKX refused POST /api/v5/trade/order: Too Many Requests (HTTP 429); try again in a few seconds"
    )


def test_message_of_a_request_that_was_not_sent() -> None:
    """Our own refusal does not pretend to be OKX's."""
    refused = OrderExpiredError("it expired at noon", request=ORDER)
    assert (refused.code, refused.http_status) == ("", None)
    assert str(refused).startswith("POST /api/v5/trade/order was not sent: it expired at noon; decide again")


def test_message_of_an_unknown_outcome() -> None:
    """It names the id to ask for, and warns against sending again."""
    unknown = OkxOutcomeUnknownError("no answer within 10 s", request=ORDER, client_order_id="a1")
    assert str(unknown) == (
        "no telling whether OKX executed POST /api/v5/trade/order (client order id a1): no answer within 10 s; "
        "query the order by its client id before anything else, and never send it again"
    )


@pytest.mark.parametrize(
    ("ids", "about", "way_out"),
    [
        (
            {"client_transfer_id": "t1"},
            " (client transfer id t1)",
            "query the transfer by its client id before anything else, and never send it again",
        ),
        ({}, "", "read back what it would have changed before anything else"),
    ],
)
def test_message_of_an_unknown_transfer_or_setting(ids: dict[str, str], about: str, way_out: str) -> None:
    """What to ask depends on what was sent."""
    unknown = OkxOutcomeUnknownError("silence", request="POST /x", **ids)
    assert str(unknown) == f"no telling whether OKX executed POST /x{about}: silence; {way_out}"


def test_a_page_instead_of_a_message_is_cut() -> None:
    """A gateway's HTML does not fill the log."""
    refused = errors.refusal(code="59999", message="x" * 10_000, http_status=200, request=ORDER)
    assert len(refused.message) == errors.MAX_QUOTED_CHARACTERS


def test_certain_and_uncertain_are_never_the_same_class() -> None:
    """Catching refusals must not catch an order that may have been executed."""
    certain = (OkxRefusedError, OkxUnreachableError)
    for uncertain in (OkxOutcomeUnknownError, OkxProtocolError):
        assert not issubclass(uncertain, certain)


def test_every_error_is_under_one_root() -> None:
    """A caller that catches `OkxError`, or `StablesatsError`, has caught them all."""
    leaves = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(leaves) > 15
    assert all(leaf is StablesatsError or issubclass(leaf, OkxError) for leaf in leaves)


@pytest.mark.parametrize(
    ("code", "executed"),
    [
        ("50001", True),
        ("50004", True),
        ("50026", True),
        ("51149", True),
        ("58124", True),  # "being processed": perhaps this very transfer
        ("50099", True),  # a general code that is new to us may be any trouble of OKX
        ("50011", False),
        ("50014", False),
        ("50102", False),
        ("51008", False),
        ("51999", False),  # a business code is a verdict, also one that is new to us
        ("1", False),
        ("0", False),
    ],
)
def test_after_which_codes_a_write_may_have_been_executed(code: str, executed: bool) -> None:
    """When in doubt it may: asking costs one query, the other mistake a second trade."""
    assert errors.may_have_been_executed(code) is executed


def test_an_ambiguous_code_is_no_refusal() -> None:
    """After these a write may have been executed, so the table of certain refusals must not hold them."""
    assert not errors.AMBIGUOUS_CODES & errors.REFUSALS.keys()
