"""Settings: file, then environment, then command line; every mistake names its key and shows no value."""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stablesats.config import HedgingSettings, Settings, load_settings
from stablesats.errors import ConfigurationError

SECRET = "22582BD0CFF14C41EDBF1AB98506286D"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings of the machine that runs the tests."""
    for name in list(os.environ):
        if name.startswith("STABLESATS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def yaml_file(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "stablesats.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


class TestPrecedence:
    def test_defaults_are_those_of_stablesats_rs(self) -> None:
        """Bounds, minimum and poll interval."""
        settings = load_settings()
        bounds = settings.hedging.engine_settings().bounds
        assert (bounds.low_bound_ratio, bounds.low_safebound_ratio) == (Decimal("0.95"), Decimal("0.98"))
        assert (bounds.high_safebound_ratio, bounds.high_bound_ratio) == (Decimal(1), Decimal("1.03"))
        assert bounds.minimum_liability_cents == 5_000
        assert settings.hedging.engine_settings().order_time_to_live == timedelta(seconds=10)
        assert settings.okx.base_url == "https://www.okx.com"
        assert settings.database is None

    def test_file_then_environment_then_overrides(
        self, yaml_file: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last one wins, key by key and not section by section."""
        path = yaml_file(
            "database: file\nokx:\n  base_url: http://file\n  api_key: file\n  simulated: true\n"
        )
        monkeypatch.setenv("STABLESATS_OKX__BASE_URL", "http://environment")
        monkeypatch.setenv("STABLESATS_OKX__API_KEY", "environment")
        settings = load_settings(path, {"okx": {"base_url": "http://override"}})
        assert settings.okx.base_url == "http://override"
        assert settings.okx.api_key == "environment"
        assert settings.okx.simulated is True
        assert settings.database == "file"

    def test_empty_variable_changes_nothing(self, yaml_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A container's environment often names every variable and leaves most empty."""
        monkeypatch.setenv("STABLESATS_OKX__SECRET_KEY", "")
        monkeypatch.setenv("STABLESATS_DATABASE", "")
        settings = load_settings(yaml_file(f"okx:\n  secret_key: {SECRET}\n"))
        assert settings.okx.secret_key.get_secret_value() == SECRET
        assert settings.database is None

    def test_ratio_is_read_exactly(self, yaml_file: Any) -> None:
        """0.97 is 97 hundredths, not the nearest binary fraction."""
        settings = load_settings(yaml_file("hedging:\n  low_bound_ratio_shorting: 0.97\n"))
        assert settings.hedging.low_bound_ratio_shorting == Decimal("0.97")

    def test_empty_file_is_no_mistake(self, yaml_file: Any) -> None:
        """Everything has a default."""
        assert load_settings(yaml_file("")).model_dump() == Settings().model_dump()

    def test_variable_of_the_process_supervisor_is_no_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``STABLESATS_STOP_ON_STDIN_EOF`` belongs to the lifecycle."""
        monkeypatch.setenv("STABLESATS_STOP_ON_STDIN_EOF", "1")
        assert load_settings().model_dump() == Settings().model_dump()


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("databse: x\n", "databse: Extra inputs are not permitted"),
            ("okx:\n  secret: x\n", "okx.secret: Extra inputs are not permitted"),
            (
                "hedging:\n  poll_interval_secs: 0\n",
                "hedging.poll_interval_secs: Input should be greater than 0",
            ),
            ("hedging:\n  poll_interval_secs: soon\n", "hedging.poll_interval_secs: "),
            ("hedging:\n  max_order_contracts: 0\n", "hedging.max_order_contracts: "),
            ("hedging:\n  max_order_contracts: 1.5\n", "hedging.max_order_contracts: "),
            ("hedging:\n  low_bound_ratio_shorting: .nan\n", "hedging.low_bound_ratio_shorting: "),
            ("hedging:\n  account: ''\n", "hedging.account: "),
            (
                "hedging:\n  minimum_liability_threshold_cents: -1\n",
                "hedging.minimum_liability_threshold_cents: ",
            ),
            ("database: ''\n", "database: "),
            (f"database: {'x' * 64}\n", "database: "),
        ],
    )
    def test_mistake_names_its_key(self, yaml_file: Any, text: str, named: str) -> None:
        """In one line."""
        with pytest.raises(ConfigurationError) as raised:
            load_settings(yaml_file(text))
        assert str(raised.value).startswith(f"bad configuration: {named}")
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("low_bound_ratio_shorting", "0.9876"),
            ("high_bound_ratio_shorting", "0.5432"),
            ("low_bound_ratio_shorting", "-0.1234"),
        ],
    )
    def test_bounds_that_contradict_each_other_are_refused_when_they_are_read(
        self, key: str, value: str
    ) -> None:
        """Not only when the engine starts; the four keys are named, in their order, and no value is shown."""
        with pytest.raises(ConfigurationError) as raised:
            load_settings(overrides={"hedging": {key: value}})
        assert "hedging: " in str(raised.value)
        assert (
            "low_bound_ratio_shorting, low_safebound_ratio_shorting, high_safebound_ratio_shorting,"
            " high_bound_ratio_shorting must be above zero and in this order" in str(raised.value)
        )
        assert value not in str(raised.value)

    def test_several_mistakes_are_named_at_once(self, yaml_file: Any) -> None:
        """One run, all of them."""
        with pytest.raises(ConfigurationError) as raised:
            load_settings(yaml_file("a: 1\nokx:\n  b: 2\n"))
        assert "a: " in str(raised.value)
        assert "okx.b: " in str(raised.value)

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        """Silently going on with defaults would hedge somewhere else."""
        with pytest.raises(ConfigurationError, match=r"nowhere\.yml does not exist"):
            load_settings(tmp_path / "nowhere.yml")

    @pytest.mark.parametrize(
        "text", [f"okx: [{SECRET}", f"- {SECRET}\n", SECRET, b"\xff\xfe\x00bad", f"okx: {SECRET}\n"]
    )
    def test_file_that_is_no_mapping_is_refused_without_quoting_it(self, yaml_file: Any, text: Any) -> None:
        """What could not be read may be a secret."""
        with pytest.raises(ConfigurationError) as raised:
            load_settings(yaml_file(text))
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None

    def test_mistake_in_the_environment_is_refused_without_quoting_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor is the environment quoted; it is named, and no file is."""
        monkeypatch.setenv("STABLESATS_OKX", SECRET)
        with pytest.raises(ConfigurationError, match="the environment could not be read") as raised:
            load_settings()
        assert SECRET not in str(raised.value)
        assert "YAML" not in str(raised.value)


def test_secrets_do_not_show() -> None:
    """Not in the repr of the whole, and not in that of a part."""
    settings = load_settings(
        overrides={
            "mongodb_uri": f"mongodb://user:{SECRET}@localhost",
            "okx": {"secret_key": SECRET, "passphrase": SECRET},
        }
    )
    assert SECRET not in repr(settings) + repr(settings.okx) + str(settings)


def test_engine_settings_carry_what_was_set() -> None:
    """Each value arrives where the engine reads it."""
    engine = HedgingSettings(
        poll_interval_secs=3, max_order_contracts=7, account="desk-2", minimum_liability_threshold_cents=1
    ).engine_settings()
    assert (engine.poll_interval_secs, engine.max_order_contracts, engine.account) == (3, 7, "desk-2")
    assert engine.bounds.minimum_liability_cents == 1
