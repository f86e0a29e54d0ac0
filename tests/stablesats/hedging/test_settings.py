"""Engine settings are checked when they are made."""

from datetime import timedelta
from typing import Any

import pytest

from stablesats.errors import ConfigurationError
from stablesats.hedging.settings import EngineSettings


def test_defaults_are_usable() -> None:
    """Nothing has to be set."""
    settings = EngineSettings()
    assert settings.poll_interval_secs == 10
    assert settings.order_time_to_live == timedelta(seconds=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"account": ""}, "hedging: account must have a name, got ''"),
        ({"poll_interval_secs": 0.0}, "hedging: poll_interval_secs must be above zero, got 0.0"),
        ({"min_interval_secs": -1.0}, "hedging: min_interval_secs must be above zero, got -1.0"),
        ({"order_time_to_live": timedelta(0)}, "hedging: order_time_to_live must be above zero"),
        ({"stale_position_patience": timedelta(-1)}, "hedging: stale_position_patience must not be negative"),
        ({"max_order_contracts": 0}, "hedging: max_order_contracts must be above zero, got 0"),
    ],
)
def test_unusable_setting_is_named(change: dict[str, Any], message: str) -> None:
    """With the bound and what was found."""
    with pytest.raises(ConfigurationError) as raised:
        EngineSettings(**change)
    assert str(raised.value).startswith(message)


def test_no_patience_with_stale_positions_is_allowed() -> None:
    """For an exchange whose positions never trail."""
    assert EngineSettings(stale_position_patience=timedelta(0)).stale_position_patience == timedelta(0)
