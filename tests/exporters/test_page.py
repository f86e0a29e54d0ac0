"""The page a person reads."""

from datetime import timedelta
from decimal import Decimal

import pytest

from exporters.page import render_page
from exporters.snapshot import LedgerSnapshot, StreamStatus, read_figures
from stablesats.ledger.chart import Account, Currency, NormalSide


def test_figures_are_shown_in_bitcoin_and_dollars(books, noon) -> None:
    """People read BTC and USD; minor units are for machines."""
    books.user_buys_usd(sats=250_000_001, cents=1_234_567)
    books.mirror_okx_position(-1_230_000)
    html = render_page(
        LedgerSnapshot(stream=StreamStatus(is_live=True), figures=read_figures(books)), now=noon
    )
    for shown in ("2.50000001 BTC", "12,345.67 USD", "-12,300.00 USD", "0.9963", "balanced", "up to date"):
        assert f"{shown}<" in html or f"{shown}." in html


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_page_links_to_the_other_paths(books, noon, path: str) -> None:
    """From the page one finds everything else."""
    assert f'href="{path}"' in render_page(LedgerSnapshot(stream=StreamStatus(), figures=None), now=noon)


def test_page_before_the_ledger_is_loaded_shows_no_figures(noon) -> None:
    """No table of zeros: nothing is known yet."""
    html = render_page(LedgerSnapshot(stream=StreamStatus(), figures=None), now=noon)
    assert "No figures yet: the ledger is being loaded" in html
    assert "USD" not in html


def test_page_with_the_stream_down_says_since_when_and_why(books, noon) -> None:
    """The reader sees that the figures may be out of date, and their age."""
    stream = StreamStatus(failure="lost <it>", confirmed_at=noon, last_event_at=noon)
    html = render_page(
        LedgerSnapshot(stream=stream, figures=read_figures(books)), now=noon + timedelta(seconds=90)
    )
    assert "may be out of date: the change stream is down: lost &lt;it&gt;." in html
    assert "2022-11-08 12:00:00 UTC, 90 s ago" in html


def test_unbalanced_books_stand_out(books, noon) -> None:
    """A book that does not balance is said in capitals."""
    books.post(Account.STABLESATS_OMNIBUS, NormalSide.DEBIT, Decimal(1), Currency.USD)
    html = render_page(
        LedgerSnapshot(stream=StreamStatus(is_live=True), figures=read_figures(books)), now=noon
    )
    assert "NOT BALANCED" in html
