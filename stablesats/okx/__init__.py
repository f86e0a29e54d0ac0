"""OKX's REST API v5 for the hedge: an inverse perpetual swap in cross margin and net position mode.

`OkxClient` is the door; `stablesats.okx.errors` says what a failure means for the order that was sent.
"""

from stablesats.okx.client import OKX_BASE_URL, OkxClient
from stablesats.okx.credentials import OkxCredentials
from stablesats.okx.errors import (
    DuplicateClientOrderIdError,
    InsufficientMarginError,
    OkxAuthenticationError,
    OkxClockSkewError,
    OkxClosedError,
    OkxError,
    OkxInvalidRequestError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OkxRateLimitedError,
    OkxRefusedError,
    OkxUnavailableError,
    OkxUnreachableError,
    OrderExpiredError,
    OrderNotFoundError,
    OrderNotPendingError,
    OrderSizeError,
    PositionNotFoundError,
    UnknownInstrumentError,
)
from stablesats.okx.messages import (
    AccountConfig,
    Instrument,
    Order,
    OrderAck,
    OrderSide,
    OrderState,
    Position,
    Ticker,
    TradingBalance,
)
from stablesats.okx.retry import ReadRetry

__all__ = [
    "OKX_BASE_URL",
    "AccountConfig",
    "DuplicateClientOrderIdError",
    "Instrument",
    "InsufficientMarginError",
    "OkxAuthenticationError",
    "OkxClient",
    "OkxClockSkewError",
    "OkxClosedError",
    "OkxCredentials",
    "OkxError",
    "OkxInvalidRequestError",
    "OkxOutcomeUnknownError",
    "OkxProtocolError",
    "OkxRateLimitedError",
    "OkxRefusedError",
    "OkxUnavailableError",
    "OkxUnreachableError",
    "Order",
    "OrderAck",
    "OrderExpiredError",
    "OrderNotFoundError",
    "OrderNotPendingError",
    "OrderSide",
    "OrderSizeError",
    "OrderState",
    "Position",
    "PositionNotFoundError",
    "ReadRetry",
    "Ticker",
    "TradingBalance",
    "UnknownInstrumentError",
]
