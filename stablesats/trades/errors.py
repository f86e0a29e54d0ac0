"""What can be wrong with a trade that is well-formed by itself."""

from stablesats.errors import StablesatsError


class TradeConflictError(StablesatsError):
    """The id of a trade is known with other content; nothing was written.

    Attributes:
        trade_id: The trade.
        differences: Each field that differs, as (what is stored, what was given).
    """

    def __init__(self, trade_id: str, differences: dict[str, tuple[object, object]]) -> None:
        """Name the trade and every field that differs, as (stored, given)."""
        self.trade_id = trade_id
        self.differences = differences
        named = ", ".join(
            f"{name}: stored {old!r}, given {new!r}" for name, (old, new) in differences.items()
        )
        super().__init__(f"trade {trade_id!r} is known already with other content ({named})")


class TradeReferenceError(StablesatsError):
    """A payment of a trade belongs to another trade already; nothing was written.

    Attributes:
        trade_id: The trade that was refused.
        holder_id: The live trade that has one of its payments, or both.
    """

    def __init__(
        self, trade_id: str, *, reference: tuple[str | None, str | None] | None, holder_id: str
    ) -> None:
        """Name both trades, and the payments of the first as (btc_tx_id, usd_tx_id)."""
        self.trade_id = trade_id
        self.holder_id = holder_id
        btc_tx_id, usd_tx_id = reference or (None, None)
        super().__init__(
            f"trade {trade_id!r} has a payment (btc_tx_id {btc_tx_id!r}, usd_tx_id {usd_tx_id!r}) of trade"
            f" {holder_id!r}; take that one back first, then give this one again"
        )


class TradeNotLiveError(StablesatsError):
    """The trade was taken back before it was booked, or refused for good; it will not be booked.

    Attributes:
        trade_id: The trade.
        state: What it is instead.
    """

    def __init__(self, trade_id: str, state: str) -> None:
        """Name the trade and its state."""
        self.trade_id = trade_id
        self.state = state
        super().__init__(f"trade {trade_id!r} is {state} and will not be booked; give a new one a new id")


class TradeBusyError(StablesatsError):
    """Somebody else is writing a trade's row, or died while doing it; try again later."""

    def __init__(self) -> None:
        super().__init__("a trade is being written by another process; try again later")
