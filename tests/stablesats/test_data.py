"""The recorded data that ships with the package is what it says it is."""

from datetime import timedelta

import pytest

from stablesats.data import FOLDER, HISTORIES, PAYMENT_FLOW, PriceHistory, history_for
from stablesats.okx_simulator import load_quotes


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: f"{history.days} days")
def test_history_covers_every_window_it_offers(history: PriceHistory) -> None:
    """Quotes at the beginning and up to the end of the longest window."""
    quotes = load_quotes(history.path)
    starts_at, ends_at = history.window(history.days)
    assert starts_at == history.starts_at
    assert quotes[0].at <= starts_at
    assert quotes[-1].at >= ends_at - timedelta(minutes=5)
    inside = [quote for quote in quotes if starts_at <= quote.at < ends_at]
    assert len(inside) > 500 * history.days


def test_histories_are_listed_shortest_first() -> None:
    """So that the first one that fits is the shortest."""
    days = [history.days for history in HISTORIES]
    assert days == sorted(days)


@pytest.mark.parametrize(("days", "found"), [(1, 1), (2, 2), (3, 22), (22, 22), (23, None)])
def test_history_for_is_the_shortest_that_is_long_enough(days: int, found: int | None) -> None:
    """None when no history is."""
    history = history_for(days)
    assert (history.days if history else None) == found


@pytest.mark.parametrize("days", [0, -1, 23])
def test_window_outside_the_history_is_refused(days: int) -> None:
    """There are no prices there."""
    with pytest.raises(ValueError, match="between 1 and 22 days"):
        HISTORIES[-1].window(days)


def test_every_file_has_its_source_and_licence() -> None:
    """In the text that ships beside it."""
    licences = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    for path in (PAYMENT_FLOW, *(history.path for history in HISTORIES)):
        assert path.name in licences
