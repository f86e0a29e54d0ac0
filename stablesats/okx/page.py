"""Which part of a list is asked for; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from stablesats.okx.errors import OkxInvalidRequestError
from stablesats.okx.fields import milliseconds_text

MAX_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list that OKX gives newest first.

    The page after one is asked for with *older_than* set to the key of its last row: the order id of orders,
    the bill id of fills and bills. Deposits and withdrawals are keyed by time, which several may share, so
    the page after would miss those of the same millisecond: read them with `OkxClient.every_deposit` and
    `OkxClient.every_withdrawal`.

    Attributes:
        older_than: Only rows before this key.
        newer_than: Only rows after this key.
        since: Only rows of this time or later; of lists of orders, fills and bills.
        until: Only rows of this time or earlier; of the same.
        limit: At most so many rows, 1 to 100.
    """

    older_than: str | datetime | None = None
    newer_than: str | datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = MAX_ROWS

    def query(self) -> dict[str, str]:
        """Return OKX's parameters for it.

        Raises:
            OkxInvalidRequestError: If the limit is out of range, a key no number or a time without zone.
        """
        if isinstance(self.limit, bool) or not 1 <= self.limit <= MAX_ROWS:
            raise OkxInvalidRequestError(f"a page has 1 to {MAX_ROWS} rows, found a limit of {self.limit}")
        return {**dict(self._bounds()), "limit": str(self.limit)}

    def _bounds(self) -> Iterator[tuple[str, str]]:
        bounds = (
            ("after", self.older_than),
            ("before", self.newer_than),
            ("begin", self.since),
            ("end", self.until),
        )
        for name, bound in bounds:
            if bound is not None:
                yield name, _bound_text(bound)


def _bound_text(bound: str | datetime) -> str:
    if isinstance(bound, datetime):
        if bound.tzinfo is None:
            raise OkxInvalidRequestError(f"a page is bounded by aware times, found {bound.isoformat()}")
        return milliseconds_text(bound)
    if not (bound.isascii() and bound.isdecimal() and len(bound) <= 32):
        raise OkxInvalidRequestError(f"a page is bounded by ids of digits, found {bound[:64]!r}")
    return bound


NEWEST = Page()
