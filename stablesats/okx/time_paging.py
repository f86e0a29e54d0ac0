"""Every row of a list that OKX pages by time, where several rows may share an instant."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from stablesats.okx.errors import OkxInvalidRequestError, OkxProtocolError
from stablesats.okx.page import MAX_ROWS, Page

_INSTANT: Final = timedelta(milliseconds=1)  # the unit of OKX's times


class Timed(Protocol):
    """A row that is paged by its time."""

    @property
    def at(self) -> datetime:
        """When it was made, on OKX's clock."""
        ...


T = TypeVar("T", bound=Timed)


async def every_row_by_time(
    read: Callable[[Page], Awaitable[list[T]]], id_of: Callable[[T], str], *, since: datetime | None
) -> AsyncIterator[T]:
    """Yield each row from *since* on once, newest first.

    A page ends anywhere among the rows of one instant, and OKX gives only those before the time that is asked
    for. So the next page begins again with that instant, and the rows that are known already are left out.

    Args:
        read: Asks OKX for one page.
        id_of: What tells two rows apart.
        since: Rows of this time or later, cut to OKX's milliseconds; None for as many as OKX keeps.

    Raises:
        OkxInvalidRequestError: *since* has no zone.
        OkxProtocolError: One instant fills a whole page: what else it holds cannot be asked for.
        OkxError: As *read* raises.
    """
    oldest = None if since is None else _cut(since)
    known: set[str] = set()
    page = Page()
    while rows := await read(page):
        unknown = [row for row in rows if id_of(row) not in known]
        for row in unknown:
            if oldest is not None and row.at < oldest:
                return
            known.add(id_of(row))
            yield row
        if not unknown:
            if len(rows) >= MAX_ROWS:
                raise OkxProtocolError(
                    f"{len(rows)} rows of a list are of {rows[-1].at.isoformat()}, all that a page holds: "
                    "whether there are more, and what is older, cannot be asked for"
                )
            return
        page = Page(older_than=rows[-1].at + _INSTANT)


def _cut(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise OkxInvalidRequestError(f"a list is read from an aware time on, found {at.isoformat()}")
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
