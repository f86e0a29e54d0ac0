"""OKX's WebSockets: `PublicStream` for prices, `PrivateStream` for our orders, position and balance.

Values are held in a `Slot` each, where a slow reader finds the newest one; changes of orders, each of which
counts, come through an `OrderFeed` that says `Reconcile` when one may be missing.
"""

from stablesats.okx.streams.errors import (
    OkxLoginRefusedError,
    OkxStaleError,
    OkxStreamRefusedError,
    OkxSubscriptionRefusedError,
)
from stablesats.okx.streams.order_feed import OrderEvent, OrderFeed, OrderFill, OrderUpdate, Reconcile
from stablesats.okx.streams.private_stream import ExchangeClock, PrivateStream
from stablesats.okx.streams.public_stream import PublicStream
from stablesats.okx.streams.slot import Freshness, Slot
from stablesats.okx.streams.stream import OKX_DEMO_STREAM_URL, OKX_STREAM_URL, StreamHealth
from stablesats.okx.streams.timing import StreamTiming

__all__ = [
    "OKX_DEMO_STREAM_URL",
    "OKX_STREAM_URL",
    "ExchangeClock",
    "Freshness",
    "OkxLoginRefusedError",
    "OkxStaleError",
    "OkxStreamRefusedError",
    "OkxSubscriptionRefusedError",
    "OrderEvent",
    "OrderFeed",
    "OrderFill",
    "OrderUpdate",
    "PrivateStream",
    "PublicStream",
    "Reconcile",
    "Slot",
    "StreamHealth",
    "StreamTiming",
]
