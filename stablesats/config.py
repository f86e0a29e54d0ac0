"""Settings of the dealer: a YAML file, the environment, the command line; in this order, the last one wins.

Environment names start with ``STABLESATS_`` and use two underscores for a level, for example
``STABLESATS_OKX__API_KEY``. A variable that is unset or empty changes nothing. Secrets never appear in a
repr, a log record or an error message.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from stablesats.errors import ConfigurationError
from stablesats.hedging.hedge_adjustment import HedgeBounds
from stablesats.hedging.settings import EngineSettings


class OkxSettings(BaseModel):
    """How to reach OKX."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = "https://www.okx.com"
    api_key: str = ""
    secret_key: SecretStr = SecretStr("")
    passphrase: SecretStr = SecretStr("")
    simulated: bool = False


class HedgingSettings(BaseModel):
    """When and how far to hedge. Ratios are short over liability."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low_bound_ratio_shorting: Decimal = Decimal("0.95")
    low_safebound_ratio_shorting: Decimal = Decimal("0.98")
    high_safebound_ratio_shorting: Decimal = Decimal("1.00")
    high_bound_ratio_shorting: Decimal = Decimal("1.03")
    minimum_liability_threshold_cents: Annotated[int, Field(ge=0)] = 5_000
    poll_interval_secs: Annotated[float, Field(gt=0, le=3600)] = 10.0
    max_order_contracts: Annotated[int, Field(gt=0)] = 10_000
    account: Annotated[str, Field(min_length=1)] = "okx"

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        # When it is read, not when the engine starts.
        try:
            self._bounds()
        except ConfigurationError as error:
            # Its own text has the engine's names and the values.
            keys = ", ".join(name for name in type(self).model_fields if name.endswith("_ratio_shorting"))
            msg = f"{keys} must be above zero and in this order, none above the next"
            raise ValueError(msg) from error
        return self

    def _bounds(self) -> HedgeBounds:
        return HedgeBounds(
            low_bound_ratio=self.low_bound_ratio_shorting,
            low_safebound_ratio=self.low_safebound_ratio_shorting,
            high_safebound_ratio=self.high_safebound_ratio_shorting,
            high_bound_ratio=self.high_bound_ratio_shorting,
            minimum_liability_cents=self.minimum_liability_threshold_cents,
        )

    def engine_settings(self) -> EngineSettings:
        """The same, as the engine takes it."""
        return EngineSettings(
            bounds=self._bounds(),
            account=self.account,
            poll_interval_secs=self.poll_interval_secs,
            max_order_contracts=self.max_order_contracts,
        )


class Settings(BaseSettings):
    """Everything a command of the dealer can be told."""

    model_config = SettingsConfigDict(
        env_prefix="STABLESATS_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    mongodb_uri: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    database: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """If None, the one that the URI names, and ``stablesats`` if it names none."""
    okx: OkxSettings = OkxSettings()
    hedging: HedgingSettings = HedgingSettings()


def load_settings(config_file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Args:
        config_file: A YAML file with the keys of `Settings`; None for none.
        overrides: What the command line said, nested like `Settings`; wins over everything else.

    Raises:
        ConfigurationError: If the file cannot be read, a key is unknown or a value does not fit. The message
            names the key and never shows a value.
    """
    if config_file is not None and not config_file.is_file():
        msg = f"configuration file {config_file} does not exist"
        raise ConfigurationError(msg)

    class _Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if config_file is None:
                return (init_settings, env_settings)
            return (init_settings, env_settings, YamlConfigSettingsSource(settings_cls, config_file))

    try:
        return _Sources(**(overrides or {}))
    except ValidationError as error:
        raise ConfigurationError(_describe(error)) from None
    # The texts of these quote what they could not read, which may be a secret.
    except SettingsError:
        msg = (
            "the environment could not be read: STABLESATS_OKX and STABLESATS_HEDGING, where set, must be"
            " JSON objects; better set one variable a key, for example STABLESATS_OKX__API_KEY"
        )
        raise ConfigurationError(msg) from None
    except (YAMLError, OSError, ValueError, TypeError) as error:
        where = f" from {config_file}" if config_file is not None else ""
        msg = f"the configuration{where} could not be read ({type(error).__name__}); is it a YAML mapping?"
        raise ConfigurationError(msg) from None


def _describe(error: ValidationError) -> str:
    problems = (
        f"{'.'.join(str(part) for part in problem['loc']) or 'configuration'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_context=False, include_url=False)
    )
    return "bad configuration: " + "; ".join(problems)
