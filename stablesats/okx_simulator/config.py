"""What a simulated exchange is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from stablesats.errors import ConfigurationError
from stablesats.okx_simulator.addresses import BitcoinNetwork
from stablesats.okx_simulator.book import BookShape
from stablesats.okx_simulator.instrument import BTC_USD_SWAP, Instrument
from stablesats.okx_simulator.replay import MAX_PRICE_USD

if TYPE_CHECKING:
    from stablesats.okx_simulator.replay import PriceReplay

_BTC_PLACES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """One account with one API key, one instrument, one source of prices.

    Attributes:
        host: Address to listen on; anything but loopback also needs the network to be trusted.
        port: TCP port; 0 takes any free one.
        tls_port: Another TCP port for HTTPS and WSS, with a certificate made at the start; None for none.
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
        funding_rate: The rate that ``public/funding-rate`` forecasts and that is charged every 8 hours.
        basis_ratio: How far the mark stands above the index.
        book: How the order book is made up where none is recorded.
        transfer_ms: How long a transfer is pending; 0 makes it a success before it is answered.
        block_ms: Time between blocks, each one confirmation; 0 confirms at once, None only by hand.
        verified_addresses: Addresses that withdrawals may go to; None for any.
        bitcoin_networks: Whose addresses withdrawals may go to: the main chain's, as on the venue.
        strict_environment: Refuse requests marked as demo trading, as a production key does: with 50101,
            transfers and withdrawals with 50038. Otherwise ``x-simulated-trading`` is ignored.
        instrument: The contract's terms.
        seed: Decides the sizes in the synthetic order book and where order ids start.

    Raises:
        ConfigurationError: If a value is outside its range; the message names the key.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = None
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
    basis_ratio: Decimal = Decimal(0)
    book: BookShape = field(default_factory=BookShape)
    transfer_ms: int = 0
    block_ms: int | None = 0
    verified_addresses: frozenset[str] | None = None
    bitcoin_networks: frozenset[BitcoinNetwork] = frozenset({BitcoinNetwork.MAIN})
    strict_environment: bool = False
    instrument: Instrument = BTC_USD_SWAP
    seed: int = 0

    def __post_init__(self) -> None:
        terms = self.instrument
        _require(0 <= self.port <= 65_535, "port", self.port, "between 0 and 65535")
        _require(
            self.tls_port is None or 0 <= self.tls_port <= 65_535,
            "tls_port",
            self.tls_port,
            "between 0 and 65535",
        )
        for key in ("api_key", "secret", "passphrase"):
            _require(bool(getattr(self, key)), key, "empty", "a text of at least one character")
        _require(
            _finite(self.price_usd) and terms.tick_usd <= self.price_usd <= MAX_PRICE_USD,
            "price_usd",
            self.price_usd,
            f"between {terms.tick_usd} and {MAX_PRICE_USD:,}",
        )
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
        _require(
            _finite(self.basis_ratio) and abs(self.basis_ratio) < 1,
            "basis_ratio",
            self.basis_ratio,
            "within -1 and 1",
        )
        _require(0 <= self.book.levels <= 400, "book.levels", self.book.levels, "between 0 and 400")
        for key in ("best_contracts", "deeper_contracts"):
            contracts = getattr(self.book, key)
            _require(
                contracts is None or (_finite(contracts) and contracts > 0),
                f"book.{key}",
                contracts,
                "above 0",
            )
        _require(self.transfer_ms >= 0, "transfer_ms", self.transfer_ms, "at least 0")
        _require(self.block_ms is None or self.block_ms >= 0, "block_ms", self.block_ms, "at least 0")


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
