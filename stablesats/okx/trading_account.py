"""The calls about the trading account: set-up, balance, position, bounds and bills."""

from decimal import Decimal

from stablesats.okx import answers, calls
from stablesats.okx.account_messages import Bill, MaxOrderSize, MaxWithdrawal, TradeFees
from stablesats.okx.messages import AccountConfig, Position, TradingBalance
from stablesats.okx.page import NEWEST, Page
from stablesats.okx.sender import RequestSender

_BITCOIN = "BTC"


class TradingAccount(RequestSender):
    """The account that holds the margin: cross margin, net position mode."""

    async def account_config(self) -> AccountConfig:
        """Return account level and position mode; the hedge needs futures mode and net mode."""
        call = calls.account_config()
        return answers.account_config_of(await self._read(call), call)

    async def leverage(self, inst_id: str) -> Decimal:
        """Return the leverage set for cross margin on *inst_id*."""
        call = calls.leverage(inst_id)
        return answers.leverage_of(await self._read(call), call)

    async def trading_balance(self) -> TradingBalance:
        """Return the bitcoin in the trading account; an account without any has a balance of zeros."""
        call = calls.balance(_BITCOIN)
        return answers.trading_balance_of(await self._read(call), call, _BITCOIN)

    async def position(self, inst_id: str) -> Position:
        """Return the net position in cross margin on *inst_id*; flat is a size of zero.

        Raises:
            OkxProtocolError: Also for a position in isolated margin or long-short mode.
        """
        call = calls.positions(inst_id)
        return answers.net_position_of(await self._read(call), call)

    async def max_order_size(self, inst_id: str) -> MaxOrderSize:
        """Return the largest orders that the free margin allows on *inst_id*."""
        call = calls.max_size(inst_id)
        return answers.max_order_size_of(await self._read(call), call)

    async def max_withdrawal(self) -> MaxWithdrawal:
        """Return how much bitcoin can be moved out of the trading account."""
        call = calls.max_withdrawal(_BITCOIN)
        return answers.max_withdrawal_of(await self._read(call), call, _BITCOIN)

    async def trade_fees(self, family: str = "BTC-USD") -> TradeFees:
        """Return our fee rates on the swaps of *family*; negative is charged."""
        call = calls.trade_fees(family)
        return answers.trade_fees_of(await self._read(call), call)

    async def bills(self, page: Page = NEWEST, *, kind: str = "", archive: bool = False) -> list[Bill]:
        """Return changes of the account's bitcoin, newest first.

        Args:
            page: Which part; keyed by bill id.
            kind: OKX's type, such as ``1`` transfer, ``2`` trade, ``8`` funding fee; ``""`` for all.
            archive: Whether to ask for 3 months instead of 7 days.
        """
        call = calls.bills(_BITCOIN, kind, page, archive=archive)
        return answers.every_row(Bill, await self._read(call), call)

    async def set_leverage(self, inst_id: str, leverage: Decimal | int) -> None:
        """Set the cross-margin leverage, sent once; setting the same again changes nothing.

        Raises:
            LeverageError: Out of bounds, or the equity does not carry it; not set.
            OkxOutcomeUnknownError: Perhaps set: read `leverage`.
            OkxError: As for `place_market_order`.
        """
        call = calls.set_leverage(inst_id, leverage)
        answers.setting_accepted(await self._write(call), call)

    async def set_net_mode(self) -> None:
        """Set the position mode that the hedge needs, sent once; OKX refuses with a position open (59000).

        Raises:
            OkxOutcomeUnknownError: Perhaps set: read `account_config`.
            OkxError: As for `place_market_order`.
        """
        call = calls.set_net_mode()
        answers.setting_accepted(await self._write(call), call)
