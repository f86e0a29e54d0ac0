"""Whether the figures the exporter serves may be relied on right now."""

from dataclasses import dataclass

from exporters.snapshot import LedgerSnapshot


@dataclass(frozen=True, slots=True)
class Ready:
    """The ledger is loaded and its change stream is live."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """The figures are missing or may be out of date, for *reason*."""

    reason: str


Readiness = Ready | NotReady


def readiness(snapshot: LedgerSnapshot) -> Readiness:
    """Judge one snapshot: ready only with figures in memory and a live stream behind them."""
    if snapshot.figures is None:
        return NotReady("the ledger is being loaded")
    if not snapshot.stream.is_live:
        cause = snapshot.stream.failure or "no cause was given"
        return NotReady(f"the change stream is down: {cause}")
    return Ready()
