"""How a subscriber gets from an earlier place to the shared stream: nothing lost, repeated or miscounted.

It reads a stream of its own up to a place that the shared stream remembers, takes what that one remembers
from there on, and joins. Places are compared by their resume tokens.

Balances on the way are those of the shared stream less what it has counted since: for that the way is read
twice, first to sum it up, then to hand it out. So no earlier balance is ever read from the database, whose
snapshots do not reach back far.
"""

from collections.abc import Awaitable, Callable

from medici_py.balance_events import BalanceTable
from medici_py.change_balances import BookBalances, Later, counted_moves
from medici_py.change_entries import Entry
from medici_py.change_events import ChangePosition
from medici_py.change_feed import FeedSettings
from medici_py.change_seat import Seat
from medici_py.change_source import ChangeSource
from medici_py.shared_stream import SharedStream
from medici_py.turnover_snapshot import BookShape, read_turnover

_SETTINGS = FeedSettings(max_await_time_ms=100)  # how soon an idle server says that there is no more


async def follow_balances(stream: SharedStream, shape: BookShape) -> None:
    """Make *stream* keep the balances of a book, if it does not; they are read once, in one snapshot.

    Raises:
        SnapshotReadError: If they cannot be read.
        UnreadableDocumentError: If a stored amount is no number.
        ChangeStreamError: If the changes meanwhile cannot be read.
    """
    async with stream.following:
        if shape in stream.balances:
            return
        snapshot = await read_turnover(stream.store.database, [shape])
        through = ChangePosition(None, snapshot.cluster_time)
        book = BookBalances(shape, BalanceTable.of(snapshot.tables[shape.name]), through)

        async def count(entry: Entry) -> None:
            book.count(entry)

        source = _source(stream, through, stream.joint(()))
        try:
            book.through = await _read_to_joint(source, through, lambda: stream.joint(()), count)
            stream.balances.add(book, stream.entries_after(book.through))
        finally:
            await source.close()


async def catch_up(stream: SharedStream, seat: Seat) -> None:
    """Offer *seat* everything from where it is on, at its pace, until it is live at *stream*.

    Raises:
        ChangeHistoryLostError: If MongoDB no longer has what comes after its place.
        ChangeStreamError: If the changes cannot be read otherwise.
        UnreadableDocumentError: If balances are wanted, and an amount is no number.
    """
    while True:
        if seat.reached.sort_key < _joint(stream, seat).sort_key:
            remembered = await _replay(stream, seat)
        else:
            remembered = stream.entries_after(seat.reached)
            if not remembered:
                stream.add_live(seat)
                return
        for entry in remembered:
            await stream.look_up(entry, seat.wanted.lacks)
            await seat.deliver(entry)


async def _replay(stream: SharedStream, seat: Seat) -> list[Entry]:
    """Hand out what a stream of its own says up to where *seat* can join; return what comes from there on."""
    later: Later = {shape: BalanceTable() for shape in seat.wanted.shapes}

    async def hand_out(entry: Entry) -> None:
        stream.balances.apply_earlier(entry, later)
        await source.look_up(entry, seat.wanted.lacks)
        await seat.deliver(entry)

    try:
        await _sum_up(stream, seat.reached, later)
        source = _source(stream, seat.reached, _joint(stream, seat))
        try:
            seat.reached = await _read_to_joint(source, seat.reached, lambda: _joint(stream, seat), hand_out)
            # Before anything is awaited: the stream goes on, and remembers only so much.
            return stream.entries_after(seat.reached)
        finally:
            await source.close()
    finally:
        stream.balances.look_no_more(later)


async def _sum_up(stream: SharedStream, position: ChangePosition, later: Later) -> None:
    """Make *later* what *stream* counts beyond *position*, from now on too."""
    if not later:
        return

    async def count(entry: Entry) -> None:
        for shape, table in later.items():
            table.add(counted_moves(shape, entry))

    source = _source(stream, position, stream.joint(later))
    try:
        reached = await _read_to_joint(source, position, lambda: stream.joint(later), count)
        # Until the stream looks back nothing may be awaited: it would go on.
        for entry in stream.entries_after(reached):
            for shape, table in later.items():
                table.add(counted_moves(shape, entry))
        stream.balances.look_back(later)
    finally:
        await source.close()


async def _read_to_joint(
    source: ChangeSource,
    position: ChangePosition,
    joint: Callable[[], ChangePosition],
    take: Callable[[Entry], Awaitable[None]],
) -> ChangePosition:
    """Give *take* every entry after *position* until one can join the shared stream.

    Args:
        source: What follows *position*.
        position: Where to begin.
        joint: Says which is the earliest place to join; it moves on.
        take: Gets the entries, none of them after that place.

    Returns:
        A place before which everything was taken, and where one can join if one does so at once.
    """
    reached = position
    while reached.sort_key < joint().sort_key:
        entries = await source.next()
        if entries is None:
            if source.idle_sort_key >= joint().sort_key:
                return reached.or_later(source.position).or_later(joint())
            continue
        for entry in entries:
            if entry.position.sort_key > joint().sort_key:
                # Nothing lies between the entry before and this one.
                return reached.or_later(joint())
            await take(entry)
            reached = entry.position
    return reached


def _joint(stream: SharedStream, seat: Seat) -> ChangePosition:
    return stream.joint(seat.wanted.shapes)


def _source(stream: SharedStream, after: ChangePosition, joint: ChangePosition) -> ChangeSource:
    """Return what follows *after*, as whoever knows everything up to *joint* sees it.

    No stream may show yet what was committed just before balances were read, or the shared stream opened.
    That there is nothing more is only worth something once there would be that.
    """
    return ChangeSource(
        stream.store,
        after=after,
        settings=_SETTINGS,
        is_sharded=stream.is_sharded,
        through=joint.cluster_time,
    )
