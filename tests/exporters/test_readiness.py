"""When the figures may be relied on."""

import pytest

from exporters.readiness import NotReady, Readiness, Ready, readiness
from exporters.snapshot import LedgerSnapshot, StreamStatus, read_figures


@pytest.mark.parametrize(
    ("is_loaded", "is_live", "failure", "expected"),
    [
        (False, False, None, NotReady("the ledger is being loaded")),
        (True, True, None, Ready()),
        (True, False, "connection closed", NotReady("the change stream is down: connection closed")),
        (True, False, None, NotReady("the change stream is down: no cause was given")),
    ],
)
def test_ready_means_loaded_and_live(
    books, is_loaded: bool, is_live: bool, failure: str | None, expected: Readiness
) -> None:
    """Both are needed, and what is missing is said."""
    snapshot = LedgerSnapshot(
        stream=StreamStatus(is_live=is_live, failure=failure),
        figures=read_figures(books) if is_loaded else None,
    )
    assert readiness(snapshot) == expected
