"""What can be subscribed to; pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from stablesats.okx.call import checked_instrument_id

_SWAP = "SWAP"


@dataclass(frozen=True, slots=True)
class Channel:
    """One subscription: a channel and what of it."""

    name: str
    inst_id: str = ""
    inst_type: str = ""
    currency: str = ""

    def argument(self) -> dict[str, str]:
        """Return it as OKX is told."""
        fields = {
            "channel": self.name,
            "instType": self.inst_type,
            "instId": self.inst_id,
            "ccy": self.currency,
        }
        return {name: value for name, value in fields.items() if value}

    def is_meant_by(self, argument: Mapping[str, object]) -> bool:
        """Return whether OKX's *argument* is this subscription; OKX adds keys of its own, such as ``uid``."""
        return all(argument.get(name) == value for name, value in self.argument().items())

    def __str__(self) -> str:
        return " ".join(self.argument().values())


def tickers(inst_id: str) -> Channel:
    """The last, bid and ask price."""
    return Channel("tickers", checked_instrument_id(inst_id))


def books(inst_id: str) -> Channel:
    """400 levels of the book, then what changes in them."""
    return Channel("books", checked_instrument_id(inst_id))


def mark_price(inst_id: str) -> Channel:
    """The mark price."""
    return Channel("mark-price", checked_instrument_id(inst_id))


def funding_rate(inst_id: str) -> Channel:
    """The next funding rate."""
    return Channel("funding-rate", checked_instrument_id(inst_id))


def orders(inst_id: str) -> Channel:
    """Each change of each of our orders."""
    return Channel("orders", checked_instrument_id(inst_id), _SWAP)


def positions(inst_id: str) -> Channel:
    """Our position."""
    return Channel("positions", checked_instrument_id(inst_id), _SWAP)


def account() -> Channel:
    """The bitcoin in the trading account."""
    return Channel("account", currency="BTC")
