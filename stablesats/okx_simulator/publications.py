"""What a subscription pushes, and when: each publication remembers what its reader has been sent.

Times are readings of a monotonic clock in seconds and come in with each call. A publication looks at the
exchange; it never changes it.

Source: OKX API v5, "Tickers", "Order book", "Mark price", "Funding rate", "Account", "Positions", "Order",
"Deposit info" and "Withdrawal info" channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from stablesats.okx_simulator.amounts import plain_text
from stablesats.okx_simulator.book_tape import level_changes
from stablesats.okx_simulator.chain_payments import Deposit, Withdrawal
from stablesats.okx_simulator.market_rows import (
    book_row,
    funding_rate_row,
    level_rows,
    mark_price_row,
    ticker_row,
)
from stablesats.okx_simulator.private_rows import (
    account_rows,
    order_push_row,
    payment_push_row,
    position_rows,
)
from stablesats.okx_simulator.rows import millis
from stablesats.okx_simulator.subscriptions import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stablesats.okx_simulator.book import Book
    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.rows import Row
    from stablesats.okx_simulator.subscriptions import Subscription

Push = dict[str, Any]
"""A push without its ``arg``."""

_NEVER: Final = float("-inf")
_BOOK_LEVELS: Final = 400
_BOOK_SILENCE_SECS: Final = 60.0


class Publication(Protocol):
    """One subscription of one connection."""

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:
        """Return what is to be pushed now, oldest first."""


class LatestRow:
    """Pushes a row at once, then when it changes, but not too often; and again when it has long been silent.

    Args:
        row: Makes the row; its ``ts`` is not looked at for changes.
        pause_secs: The least time between two pushes.
        repeat_secs: After this time it is pushed again unchanged.
    """

    def __init__(
        self, row: Callable[[Exchange], Row], *, pause_secs: float, repeat_secs: float = float("inf")
    ) -> None:
        self._row = row
        self._pause_secs = pause_secs
        self._repeat_secs = repeat_secs
        self._sent: Row | None = None
        self._sent_secs = _NEVER

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:
        """Return at most one push."""
        silent_secs = now_secs - self._sent_secs
        if silent_secs < self._pause_secs:
            return []
        row = self._row(exchange)
        content = {**row, "ts": ""}
        if content == self._sent and silent_secs < self._repeat_secs:
            return []
        self._sent, self._sent_secs = content, now_secs
        return [{"data": [row]}]


class IncrementalBook:
    """Pushes the whole book once, then what changes; each update names the one before it."""

    def __init__(self, *, pause_secs: float = 0.1) -> None:
        self._pause_secs = pause_secs
        self._sent: tuple[Book, int] | None = None
        self._sent_secs = _NEVER

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:
        """Return the snapshot, an update, or after a minute without change an empty update."""
        silent_secs = now_secs - self._sent_secs
        if silent_secs < self._pause_secs:
            return []
        book, sequence = exchange.book_tape.current()
        at = exchange.clock.now()
        if self._sent is None:
            row = book_row(book, _BOOK_LEVELS, sequence=sequence, at=at) | {"checksum": 0, "prevSeqId": -1}
            action = "snapshot"
        elif self._sent[1] != sequence or silent_secs >= _BOOK_SILENCE_SECS:
            before, before_sequence = self._sent
            row = {
                "asks": level_rows(level_changes(before.asks, book.asks)),
                "bids": level_rows(level_changes(before.bids, book.bids)),
                "ts": millis(at),
                "checksum": 0,
                "prevSeqId": before_sequence,
                "seqId": sequence,
            }
            action = "update"
        else:
            return []
        self._sent, self._sent_secs = (book, sequence), now_secs
        return [{"action": action, "data": [row]}]


class Trades:
    """Pushes every fill from the subscription on, as a public trade."""

    def __init__(self, exchange: Exchange) -> None:
        self._seen = len(exchange.fills)

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:  # noqa: ARG002
        """Return a push for each fill."""
        fresh = exchange.fills[self._seen :]
        self._seen += len(fresh)
        return [
            {
                "data": [
                    {
                        "count": "1",
                        "instId": exchange.instrument.inst_id,
                        "px": plain_text(fill.price_usd),
                        "side": fill.side.value,
                        "source": "0",
                        "sz": plain_text(fill.contracts),
                        "tradeId": fill.trade_id,
                        "ts": millis(fill.at),
                    }
                ]
            }
            for fill in fresh
        ]


class OrderChanges:
    """Pushes every change of an order from the subscription on, each fill its own; at first nothing."""

    def __init__(self, exchange: Exchange) -> None:
        self._seen = exchange.trading.log.change_count

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:  # noqa: ARG002
        """Return a push for each change."""
        fresh = exchange.trading.log.changes_since(self._seen)
        self._seen += len(fresh)
        return [{"data": [order_push_row(change, exchange)]} for change in fresh]


class PaymentChanges:
    """Pushes every change of a deposit, or of a withdrawal, from the subscription on; at first nothing."""

    def __init__(self, exchange: Exchange, kind: type[Deposit | Withdrawal]) -> None:
        self._kind = kind
        self._seen = len(exchange.wallet.payment_changes)

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:  # noqa: ARG002
        """Return a push for each change."""
        fresh = exchange.wallet.payment_changes[self._seen :]
        self._seen += len(fresh)
        at = exchange.clock.now()
        return [{"data": [payment_push_row(each, at)]} for each in fresh if isinstance(each, self._kind)]


class Snapshots:
    """Pushes rows at once as a snapshot, then when the account changes, and every five seconds.

    Args:
        rows: Makes the rows; told whether the account has just changed.
        repeat_secs: After this time they are pushed again unchanged.
    """

    def __init__(self, rows: Callable[[Exchange, bool], list[Row]], *, repeat_secs: float = 5.0) -> None:
        self._rows = rows
        self._repeat_secs = repeat_secs
        self._version: tuple[object, ...] | None = None
        self._sent_secs = _NEVER

    def due(self, exchange: Exchange, now_secs: float) -> list[Push]:
        """Return at most one push; a price alone is no event."""
        version = (exchange.account, exchange.order_frozen_btc)
        if version == self._version and now_secs - self._sent_secs < self._repeat_secs:
            return []
        is_first = self._version is None
        is_event = not is_first and version != self._version
        self._version, self._sent_secs = version, now_secs
        rows = self._rows(exchange, is_event)
        if is_event:
            return [{"eventType": "event_update", "data": rows}] if rows else []
        snapshot: Push = {"eventType": "snapshot", "curPage": 1, "lastPage": True, "data": rows}
        return [snapshot] if rows or is_first else []


def publication_of(subscription: Subscription, exchange: Exchange) -> Publication:
    """Return a publication that starts now."""
    match subscription.channel:
        case Channel.ACCOUNT:
            return Snapshots(account_rows)
        case Channel.POSITIONS:
            return Snapshots(position_rows)
        case Channel.ORDERS:
            return OrderChanges(exchange)
        case Channel.DEPOSIT_INFO:
            return PaymentChanges(exchange, Deposit)
        case Channel.WITHDRAWAL_INFO:
            return PaymentChanges(exchange, Withdrawal)
        case Channel.TRADES:
            return Trades(exchange)
        case Channel.BOOKS:
            return IncrementalBook()
        case _:
            return _LATEST[subscription.channel]()


def _whole_book(levels: int) -> Callable[[Exchange], Row]:
    def row(exchange: Exchange) -> Row:
        book, sequence = exchange.book_tape.current()
        shown = book_row(book, levels, sequence=sequence, at=exchange.clock.now())
        return shown | {"instId": exchange.instrument.inst_id}

    return row


def _index_row(exchange: Exchange) -> Row:
    index = plain_text(exchange.price.index_usd)
    return {
        "high24h": index,
        "idxPx": index,
        "instId": exchange.instrument.family,
        "low24h": index,
        "open24h": index,
        "sodUtc0": index,
        "sodUtc8": index,
        "ts": millis(exchange.clock.now()),
    }


_LATEST: Final[Mapping[Channel, Callable[[], LatestRow]]] = {
    # A real market never stands still for long; readers may take silence for a fault.
    Channel.TICKERS: lambda: LatestRow(ticker_row, pause_secs=0.1, repeat_secs=5),
    Channel.BOOKS5: lambda: LatestRow(_whole_book(5), pause_secs=0.1),
    Channel.BBO_TBT: lambda: LatestRow(_whole_book(1), pause_secs=0.01),
    Channel.MARK_PRICE: lambda: LatestRow(mark_price_row, pause_secs=0.2, repeat_secs=10),
    Channel.FUNDING_RATE: lambda: LatestRow(funding_rate_row, pause_secs=1, repeat_secs=60),
    Channel.INDEX_TICKERS: lambda: LatestRow(_index_row, pause_secs=0.1),
}
