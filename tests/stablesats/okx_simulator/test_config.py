"""What a simulator may be started with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stablesats.errors import ConfigurationError
from stablesats.okx_simulator import SimulatorConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": -1}, "okx_simulator.port is -1"),
        ({"port": 65536}, "between 0 and 65535"),
        ({"api_key": ""}, "okx_simulator.api_key is empty"),
        ({"secret": ""}, "okx_simulator.secret is empty"),
        ({"price_usd": Decimal(0)}, "okx_simulator.price_usd is 0"),
        ({"price_usd": Decimal("0.01")}, "between 0.1 and 1,000,000,000"),
        ({"price_usd": Decimal("1e400")}, "between 0.1 and 1,000,000,000"),
        ({"price_usd": Decimal("NaN")}, "okx_simulator.price_usd is NaN"),
        ({"price_usd": 50000.0}, "okx_simulator.price_usd is 50000.0"),
        ({"trading_btc": Decimal(-1)}, "okx_simulator.trading_btc is -1"),
        ({"trading_btc": Decimal("0.000000001")}, "at most 8 decimal places"),
        ({"funding_btc": Decimal(21_000_000)}, "okx_simulator.funding_btc is 21000000"),
        ({"lever": Decimal("0.001")}, "okx_simulator.lever is 0.001, and must be between 0.01 and 100"),
        ({"lever": Decimal(101)}, "between 0.01 and 100"),
        ({"fill_delay_ms": -1}, "okx_simulator.fill_delay_ms is -1"),
    ],
)
def test_value_outside_its_range_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    """A float is not an amount; the bounds are in the message."""
    with pytest.raises(ConfigurationError, match=message):
        SimulatorConfig(**settings)


def test_secrets_are_not_in_the_repr() -> None:
    """A configuration may end up in a log line."""
    text = repr(SimulatorConfig(secret="hush", passphrase="shush"))
    assert "hush" not in text
    assert "sim-key" in text
