"""How the hedging engine works: one value, checked when it is made."""

from dataclasses import dataclass, field
from datetime import timedelta

from stablesats.errors import ConfigurationError
from stablesats.hedging.hedge_adjustment import HedgeBounds


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the engine works.

    Attributes:
        bounds: The hedge decision's bounds.
        account: Names the exchange account in the order book-keeping.
        poll_interval_secs: Longest time between two looks while all is well.
        min_interval_secs: Shortest time between two looks, however many triggers arrive.
        order_time_to_live: After this the exchange must refuse a sent order.
        stale_position_patience: How long a position that does not show the last fill is not believed.
        max_order_contracts: Cap on one order; the instrument's own maximum caps it further.

    Raises:
        ConfigurationError: If an interval, the time to live or the cap is not above zero, the patience is
            negative, or the account has no name.
    """

    bounds: HedgeBounds = field(default_factory=HedgeBounds)
    account: str = "okx"
    poll_interval_secs: float = 10.0
    min_interval_secs: float = 0.2
    order_time_to_live: timedelta = timedelta(seconds=10)
    stale_position_patience: timedelta = timedelta(seconds=10)
    max_order_contracts: int = 10_000

    def __post_init__(self) -> None:
        for name, value, is_usable, rule in (
            ("account", self.account, bool(self.account), "have a name"),
            ("poll_interval_secs", self.poll_interval_secs, self.poll_interval_secs > 0, "be above zero"),
            ("min_interval_secs", self.min_interval_secs, self.min_interval_secs > 0, "be above zero"),
            (
                "order_time_to_live",
                self.order_time_to_live,
                self.order_time_to_live > timedelta(0),
                "be above zero",
            ),
            (
                "stale_position_patience",
                self.stale_position_patience,
                self.stale_position_patience >= timedelta(0),
                "not be negative",
            ),
            ("max_order_contracts", self.max_order_contracts, self.max_order_contracts > 0, "be above zero"),
        ):
            if not is_usable:
                msg = f"hedging: {name} must {rule}, got {value!r}"
                raise ConfigurationError(msg)
