"""The event that says that a subscription's place in the stream was lost, and nothing with it."""

import datetime as dt
from dataclasses import dataclass

from medici_py.change_events import ChangePosition


@dataclass(frozen=True, slots=True)
class HistoryRecovered:
    """MongoDB no longer had the changes after a position; what was missed comes from the journals instead.

    It comes first. The journals follow in the order of their recorded time, all that were recorded at *since*
    or later and committed until *position*: also those committed shortly before *from_position*, which may
    have been delivered before. Then the stream goes on.

    Attributes:
        from_position: The position that was lost.
        since: Recorded time of the oldest journal that follows; aware, UTC.
        position: Where the stream goes on after the journals.
    """

    from_position: ChangePosition
    since: dt.datetime
    position: ChangePosition
