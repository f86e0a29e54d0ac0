"""`OkxClient`: the calls of the dealer to OKX's REST API, each with a certain meaning.

Every call ends in one of three ways: accepted (it returns), refused (`OkxRefusedError` or
`OkxUnreachableError`: certainly not executed) or unknown (`OkxOutcomeUnknownError`, for writes only).

- A **write** is sent at most once, whatever happens. After an unknown outcome, ask `OkxClient.order`,
  `OkxClient.transfer_status` or `OkxClient.withdrawal`; OKX keeps a client order id unique among pending
  orders only, so sending the same order again can trade twice. If the caller's task is cancelled during a
  write, its outcome is unknown too.
- A **read** is asked again after a lost connection, a 5xx or a rate limit, within `ReadRetry`.
- Both wait for OKX's rate limits first and are signed after that wait, with OKX's clock.
"""

from stablesats.okx.funding_account import FundingAccount
from stablesats.okx.market_data import MarketData
from stablesats.okx.sender import OKX_BASE_URL
from stablesats.okx.trading import Trading
from stablesats.okx.trading_account import TradingAccount

__all__ = ["OKX_BASE_URL", "OkxClient"]


class OkxClient(MarketData, TradingAccount, Trading, FundingAccount):
    """A client of OKX's REST API v5 for one account: cross margin, net position mode.

    For one event loop; any number of tasks may use it at once. Use it as a context manager or call `close`.
    """
