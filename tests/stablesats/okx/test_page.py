"""Which part of a list is asked for."""

from datetime import UTC, datetime

import pytest

from stablesats.okx import OkxInvalidRequestError, Page
from stablesats.okx.page import NEWEST

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = "1767268800000"


@pytest.mark.parametrize(
    ("page", "query"),
    [
        (NEWEST, {"limit": "100"}),
        (Page(older_than="5", limit=1), {"after": "5", "limit": "1"}),
        (Page(newer_than=NOON), {"before": NOON_MS, "limit": "100"}),
        (Page(since=NOON, until=NOON), {"begin": NOON_MS, "end": NOON_MS, "limit": "100"}),
    ],
)
def test_a_page_in_okxs_words(page: Page, query: dict[str, str]) -> None:
    """`after` is older and `before` is newer there."""
    assert page.query() == query


@pytest.mark.parametrize(
    "page",
    [
        Page(limit=0),
        Page(limit=101),
        Page(older_than="x"),
        Page(older_than="1&ccy=ETH"),
        Page(older_than=""),
        Page(newer_than="1" * 33),
        Page(since=NOON.replace(tzinfo=None)),
    ],
)
def test_a_malformed_page_is_never_asked_for(page: Page) -> None:
    """It would be refused, or change the query."""
    with pytest.raises(OkxInvalidRequestError, match="a page"):
        page.query()
