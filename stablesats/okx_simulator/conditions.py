"""The state of the venue as a whole: how wrong its clock is, and whether it is open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class Conditions:
    """What an operator imposes on every request.

    Attributes:
        clock_skew: How far the server's clock, by which signatures are judged, is ahead of the machine's.
        maintenance_since: When a maintenance began that is under way: everything but the time and the
            system status answers 50001; None when the venue is open.
    """

    clock_skew: timedelta = timedelta(0)
    maintenance_since: datetime | None = None
