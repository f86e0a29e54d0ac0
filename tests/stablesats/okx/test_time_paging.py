"""Lists that OKX pages by time: every row once, also where many share an instant."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx import OkxInvalidRequestError, OkxProtocolError, Page
from stablesats.okx.page import MAX_ROWS
from stablesats.okx.time_paging import every_row_by_time

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def instant(number: int) -> datetime:
    return NOON + timedelta(milliseconds=number)


@dataclass(frozen=True)
class Row:
    row_id: str
    at: datetime


@dataclass
class Exchange:
    """Gives pages as OKX does: newest first, only what is older than the key, at most a hundred."""

    rows: list[Row]
    asked: int = 0

    async def read(self, page: Page) -> list[Row]:
        self.asked += 1
        assert page.limit == MAX_ROWS
        assert page.older_than is None or isinstance(page.older_than, datetime)
        newest_first = sorted(self.rows, key=lambda row: row.at, reverse=True)
        older = [row for row in newest_first if page.older_than is None or row.at < page.older_than]
        return older[: page.limit]

    async def every(self, since: datetime | None = None) -> list[Row]:
        return [row async for row in every_row_by_time(self.read, lambda row: row.row_id, since=since)]


def exchange_of(*counts: int) -> Exchange:
    """So many rows at each instant."""
    return Exchange(
        [Row(f"{at}.{number}", instant(at)) for at, count in enumerate(counts) for number in range(count)]
    )


@given(counts=st.lists(st.integers(min_value=0, max_value=MAX_ROWS - 1), max_size=8))
async def test_every_row_comes_once_newest_first(counts: list[int]) -> None:
    """Wherever the pages end."""
    exchange = exchange_of(*counts)
    rows = await exchange.every()
    assert len(rows) == sum(counts)
    assert set(rows) == set(exchange.rows)
    assert [row.at for row in rows] == sorted((row.at for row in rows), reverse=True)


@pytest.mark.parametrize("count", [MAX_ROWS, MAX_ROWS + 1])
async def test_an_instant_that_fills_a_page_is_an_error(count: int) -> None:
    """Never a list that silently lacks rows, and never the same page for ever."""
    with pytest.raises(OkxProtocolError, match="all that a page holds"):
        await exchange_of(1, count, 1).every()


async def test_rows_from_a_time_on() -> None:
    """Those of that very instant among them; older pages are not asked for."""
    exchange = exchange_of(90, 90, 5, 5)
    assert [row.at for row in await exchange.every(instant(2))] == [instant(3)] * 5 + [instant(2)] * 5
    assert exchange.asked == 1


async def test_a_time_is_cut_as_okx_cuts_it() -> None:
    """A row of the same moment carries the millisecond that it began in."""
    assert len(await exchange_of(1, 3).every(instant(1) + timedelta(microseconds=999))) == 3


async def test_a_time_without_a_zone_is_refused() -> None:
    """Nothing is asked for on a guess."""
    exchange = exchange_of(1)
    with pytest.raises(OkxInvalidRequestError, match="aware time"):
        await exchange.every(NOON.replace(tzinfo=None))
    assert exchange.asked == 0


async def test_rows_that_come_meanwhile_disturb_nothing() -> None:
    """They are newer than what is still to come."""
    exchange = exchange_of(*[60] * 4)
    rows = []
    async for row in every_row_by_time(exchange.read, lambda row: row.row_id, since=None):
        rows.append(row)
        if len(rows) == 70:
            exchange.rows.append(Row("new", instant(9)))
    assert len(rows) == len({row.row_id for row in rows}) == 240
