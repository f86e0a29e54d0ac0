"""What can be subscribed to: the channels of each WebSocket address, and what an argument must say.

Source: OKX API v5, "WebSocket": public, private and business channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablesats.okx_simulator.instrument import Instrument


class StreamKind(StrEnum):
    """The three WebSocket addresses, by the last part of their path."""

    PUBLIC = "public"
    PRIVATE = "private"
    BUSINESS = "business"


class Channel(StrEnum):
    """The channels that are simulated."""

    TICKERS = "tickers"
    BOOKS = "books"
    BOOKS5 = "books5"
    BBO_TBT = "bbo-tbt"
    MARK_PRICE = "mark-price"
    FUNDING_RATE = "funding-rate"
    TRADES = "trades"
    INDEX_TICKERS = "index-tickers"
    ACCOUNT = "account"
    POSITIONS = "positions"
    ORDERS = "orders"
    DEPOSIT_INFO = "deposit-info"
    WITHDRAWAL_INFO = "withdrawal-info"

    @property
    def is_private(self) -> bool:
        """Whether it needs a login."""
        return self in _PRIVATE

    @property
    def is_counted(self) -> bool:
        """Whether its connections are counted, and limited."""
        return self in _COUNTED

    @property
    def kind(self) -> StreamKind:
        """The address where it can be subscribed to."""
        if self in _BUSINESS:
            return StreamKind.BUSINESS
        return StreamKind.PRIVATE if self.is_private else StreamKind.PUBLIC


_BUSINESS: Final = frozenset({Channel.DEPOSIT_INFO, Channel.WITHDRAWAL_INFO})
_COUNTED: Final = frozenset({Channel.ACCOUNT, Channel.POSITIONS, Channel.ORDERS})
_PRIVATE: Final = _COUNTED | _BUSINESS
_OF_AN_INSTRUMENT: Final = frozenset(set(Channel) - _PRIVATE - {Channel.INDEX_TICKERS})


@dataclass(frozen=True, slots=True)
class Subscription:
    """A channel with its parameters as they were given; equal ones are one subscription."""

    channel: Channel
    parameters: tuple[tuple[str, str], ...]

    @property
    def arg(self) -> dict[str, str]:
        """The argument as answers and pushes repeat it."""
        return {"channel": self.channel.value, **dict(self.parameters)}

    @property
    def key(self) -> str:
        """Channel and parameters in one text."""
        return " ".join([self.channel.value, *(f"{name}={value}" for name, value in self.parameters)])


def parse_subscription(raw: object, kind: StreamKind, instrument: Instrument) -> Subscription:
    """Read one argument of a subscribe or unsubscribe request.

    Raises:
        RefusalError: 60013 for what is no argument; 60018 for a channel that does not exist at this
            address, or an instrument that does not exist.
    """
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise RefusalError("60013")
    fields: Mapping[str, str] = raw
    name = fields.get("channel", "")
    if not name:
        raise RefusalError("60027", "channel")
    named = ",".join(f"{key}:{value}" for key, value in fields.items())
    try:
        channel = Channel(name)
    except ValueError:
        raise RefusalError("60018", named) from None
    if kind is not channel.kind or not _exists(channel, fields, instrument):
        raise RefusalError("60018", named)
    parameters = tuple((key, value) for key, value in fields.items() if key != "channel" and value)
    return Subscription(channel, parameters)


def _exists(channel: Channel, fields: Mapping[str, str], instrument: Instrument) -> bool:
    inst_id = fields.get("instId", "")
    if channel in _OF_AN_INSTRUMENT:
        return inst_id == instrument.inst_id
    if channel is Channel.INDEX_TICKERS:
        return inst_id == instrument.family
    if channel is Channel.ACCOUNT or channel in _BUSINESS:
        return fields.get("ccy", "") in {"", instrument.settle_currency}
    return fields.get("instType", "") in {"SWAP", "ANY"} and inst_id in {"", instrument.inst_id}
