"""When funding settles: every eight hours, at 00:00, 08:00 and 16:00 UTC.

Source: OKX API v5, "Get funding rate".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

FUNDING_INTERVAL: Final = timedelta(hours=8)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def next_settlement(at: datetime) -> datetime:
    """Return the first settlement after *at*: 16:00 for 12:00, and for 16:00 the next midnight."""
    passed = (at - _EPOCH) // FUNDING_INTERVAL
    return _EPOCH + (passed + 1) * FUNDING_INTERVAL
