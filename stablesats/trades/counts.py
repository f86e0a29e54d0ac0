"""What a process has done with trades so far, as numbers."""

from dataclasses import dataclass


@dataclass(slots=True)
class TradeCounts:
    """Counters of one process; they only go up.

    Attributes:
        received: Trades stored that were not known.
        replayed: Trades given again with the same content.
        booked: Trades booked.
        reverted: Booked trades taken back.
        cancelled: Trades taken back before they were booked.
        quarantined: Items set aside, repeats included.
        failures: Attempts that failed in passing and are repeated.
    """

    received: int = 0
    replayed: int = 0
    booked: int = 0
    reverted: int = 0
    cancelled: int = 0
    quarantined: int = 0
    failures: int = 0
