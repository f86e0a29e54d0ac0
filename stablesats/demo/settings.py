"""What the demo is asked to do, checked."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Self

from stablesats.data import HISTORIES, PriceHistory, history_for
from stablesats.errors import ConfigurationError

_DEFAULT_REPLAY_SECS: Final = 36
_SECONDS_A_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the demo is asked to do.

    Attributes:
        history: The recorded prices.
        days: How many days of them.
        speed: Recorded seconds a second.
        payments: How many of the recorded payments to feed; None for all.
        serve: Keep running after the replay.
        mongodb_uri: A replica set to use instead of a private one.
        metrics_port: Port of the exporter, 0 for any.
        json_output: Print the summary as JSON and keep standard output free of everything else.
    """

    history: PriceHistory
    days: int
    speed: Decimal
    payments: int | None = None
    serve: bool = False
    mongodb_uri: str | None = field(default=None, repr=False)
    metrics_port: int = 0
    json_output: bool = False

    @classmethod
    def checked(cls, *, days: int, speed: Decimal | None, **rest: Any) -> Self:
        """Choose the history for *days* and, if none is given, a speed that replays it in 36 seconds.

        Raises:
            ConfigurationError: If no history is that long.
        """
        history = history_for(days)
        if history is None:
            longest = HISTORIES[-1].days
            msg = f"--days {days} is more than the longest recorded history holds: {longest} days"
            raise ConfigurationError(msg)
        if speed is None:
            speed = Decimal(days * _SECONDS_A_DAY) / _DEFAULT_REPLAY_SECS
        return cls(history=history, days=days, speed=speed, **rest)
