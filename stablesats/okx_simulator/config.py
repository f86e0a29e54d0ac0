"""What a simulated exchange is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from stablesats.errors import ConfigurationError
from stablesats.okx_simulator.instrument import BTC_USD_SWAP, Instrument

if TYPE_CHECKING:
    from stablesats.okx_simulator.replay import PriceReplay

_BTC_PLACES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """One account with one API key, one instrument, one source of prices.

    Attributes:
        host: Address to listen on; anything but loopback also needs the network to be trusted.
        port: TCP port; 0 takes any free one.
        api_key: The key the account's owner signs with, beside *secret* and *passphrase*.
        price_usd: The market without a replay: bid, ask, last and mark, USD for one BTC.
        trading_btc: Cash of the trading account at the start.
        funding_btc: Balance of the funding account at the start.
        lever: Leverage of the account at the start.
        replay: A recorded price history to trade against; None for the fixed price.
        replay_autostart: Start the replay with the server; otherwise it waits for the admin API.
        rate_limits: Enforce OKX's limits; off for load tests.
        fill_delay_ms: 0 settles a market order before its placement is answered; above 0 it rests
            ``live`` for so long and fills at the price of that moment.
        unique_client_ids: Refuse every reuse of a client order id, stricter than OKX, which only
            refuses it while the earlier order is pending.
        funding_rate: The rate that ``public/funding-rate`` forecasts.
        instrument: The contract's terms.
        seed: Decides the sizes in the synthetic order book and where order ids start.

    Raises:
        ConfigurationError: If a value is outside its range; the message names the key.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str = "sim-key"
    secret: str = field(default="sim-secret", repr=False)
    passphrase: str = field(default="sim-pass", repr=False)
    price_usd: Decimal = Decimal(50_000)
    trading_btc: Decimal = Decimal(10)
    funding_btc: Decimal = Decimal(0)
    lever: Decimal = Decimal(5)
    replay: PriceReplay | None = None
    replay_autostart: bool = False
    rate_limits: bool = True
    fill_delay_ms: int = 0
    unique_client_ids: bool = False
    funding_rate: Decimal = Decimal("0.0001")
    instrument: Instrument = BTC_USD_SWAP
    seed: int = 0

    def __post_init__(self) -> None:
        terms = self.instrument
        _require(0 <= self.port <= 65_535, "port", self.port, "between 0 and 65535")
        for key in ("api_key", "secret", "passphrase"):
            _require(bool(getattr(self, key)), key, "empty", "a text of at least one character")
        _require(_finite(self.price_usd) and self.price_usd > 0, "price_usd", self.price_usd, "above 0")
        for key in ("trading_btc", "funding_btc"):
            amount = getattr(self, key)
            _require(is_btc_amount(amount), key, amount, "at least 0 with at most 8 decimal places")
        _require(
            _finite(self.lever) and terms.min_lever <= self.lever <= terms.max_lever,
            "lever",
            self.lever,
            f"between {terms.min_lever} and {terms.max_lever}",
        )
        _require(self.fill_delay_ms >= 0, "fill_delay_ms", self.fill_delay_ms, "at least 0")
        _require(_finite(self.funding_rate), "funding_rate", self.funding_rate, "a number")


def is_btc_amount(amount: Decimal) -> bool:
    """Tell whether *amount* is a payable sum: not negative, whole satoshis, below 21 million BTC."""
    if not _finite(amount) or not 0 <= amount < 21_000_000:
        return False
    exponent = amount.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_BTC_PLACES


def _finite(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite()


def _require(holds: bool, key: str, found: object, bound: str) -> None:
    if not holds:
        raise ConfigurationError(f"okx_simulator.{key} is {found}, and must be {bound}")
