"""What an endpoint is: a method and a path, who may call it, how often, and the function that answers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from stablesats.okx_simulator.rate_limits import Charge, Limit
from stablesats.okx_simulator.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from stablesats.okx_simulator.config import SimulatorConfig
    from stablesats.okx_simulator.exchange import Exchange
    from stablesats.okx_simulator.rows import Row

INSTRUMENT_TYPES = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})
"""Every kind that the venue trades; here only ``SWAP`` has an instrument."""

ARCHIVE_KEPT = timedelta(days=90)
"""How long archives reach back: OKX says three months."""

_MAX_ROWS = 100
_MAX_DIGITS = 20
_ORDER_FILTERS = ("instType", "instId", "ordId", "ordType", "state")


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated, well-formed call.

    Attributes:
        query: The query parameters; an absent one and an empty one are the same.
        body: The JSON body, numbers kept as the texts they were sent as; None for a GET.
        received_at: When the server had read the request.
        started_at: When its execution begins.
        expires_at: The ``expTime`` header.
        maintenance_since: When the maintenance began that is under way; None without one.
    """

    exchange: Exchange
    config: SimulatorConfig
    query: Mapping[str, str]
    body: Any
    received_at: datetime
    started_at: datetime
    expires_at: datetime | None
    maintenance_since: datetime | None = None

    @property
    def now(self) -> datetime:
        """The exchange's own time, with which it stamps what it shows."""
        return self.exchange.clock.now()

    @property
    def fields(self) -> Mapping[str, object]:
        """The fields of an object body."""
        if not isinstance(self.body, dict):
            raise RefusalError("50002")
        return self.body

    def required(self, name: str) -> str:
        """Return a query parameter that must be there (50014)."""
        value = self.query.get(name, "")
        if not value:
            raise RefusalError("50014", name)
        return value

    def instrument_only(self, inst_id: str) -> None:
        """Refuse every instrument but the one that is traded here (51001)."""
        if inst_id != self.exchange.instrument.inst_id:
            raise RefusalError("51001")

    def check_not_expired(self) -> None:
        """Refuse a call whose ``expTime`` is over.

        Raises:
            RefusalError: 50036 if it was over on arrival, 50037 if it passed before execution.
        """
        if self.expires_at is None:
            return
        if self.received_at > self.expires_at:
            raise RefusalError("50036")
        if self.started_at > self.expires_at:
            raise RefusalError("50037")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes into the envelope; *is_trade* adds OKX's ``inTime`` and ``outTime``."""

    data: Sequence[Row]
    code: str = "0"
    message: str = ""
    is_trade: bool = False


Handler: TypeAlias = Callable[[Call], Answer]


Charges: TypeAlias = Callable[[Any], "Sequence[Charge]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row of OKX's REST reference.

    Attributes:
        charges: What a request with a given body takes out of the caller's rate limits.
        is_private: Whether a signature is demanded, and limits count for the key instead of the IP.
        is_itemised: Whether a refusal stands in an item for each order instead of at the top level.
    """

    method: str
    path: str
    handler: Handler
    charges: Charges
    is_private: bool
    is_itemised: bool = False


def flat(*limits: Limit) -> Charges:
    """Return the charges of one request out of each of *limits*, whatever its body."""
    charges = tuple(Charge(limit) for limit in limits)
    return lambda _body: charges


def private_endpoint(
    method: str, path: str, handler: Handler, burst: int, *, period_secs: float = 2.0, keyed_by: str = ""
) -> Endpoint:
    """Return a signed endpoint with a limit of its own."""
    return Endpoint(
        method=method,
        path=f"/api/v5/{path}",
        handler=handler,
        charges=flat(Limit(path, burst, period_secs, keyed_by=keyed_by)),
        is_private=True,
    )


def page(
    rows: Iterable[Row],
    query: Mapping[str, str],
    *,
    key: str,
    time_key: str,
    filters: Sequence[str] = _ORDER_FILTERS,
) -> list[Row]:
    """Filter and cut rows as OKX's list endpoints do; *rows* come newest first.

    ``after`` keeps rows with an older *key*, ``before`` newer ones, ``begin`` and ``end`` those whose
    *time_key* lies between (inclusive); ``limit`` is 100 at most and by default. A parameter named in
    *filters* keeps the rows that have its value.

    Raises:
        RefusalError: 51000 if one of them is not a whole number, or *limit* is outside its range.
    """
    bounds = (
        (key, operator.lt, whole_number(query, "after")),
        (key, operator.gt, whole_number(query, "before")),
        (time_key, operator.ge, whole_number(query, "begin")),
        (time_key, operator.le, whole_number(query, "end")),
    )
    limit = whole_number(query, "limit")
    if limit is not None and not 1 <= limit <= _MAX_ROWS:
        raise RefusalError("51000", "limit")
    wanted = {name: query[name] for name in filters if query.get(name)}
    kept = (
        row
        for row in rows
        if all(bound is None or compare(int(row[field]), bound) for field, compare, bound in bounds)
        and all(row.get(name, value) == value for name, value in wanted.items())
    )
    return list(islice(kept, limit or _MAX_ROWS))


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number out of the query; None if it is absent or empty.

    Raises:
        RefusalError: 51000 if it is none, or has more than 20 digits.
    """
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise RefusalError("51000", name)
    return int(text)
