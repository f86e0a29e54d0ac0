"""OKX's codes as this exchange says them."""

from __future__ import annotations

import pytest

from stablesats.okx_simulator.refusals import RefusalError, refusal_text


@pytest.mark.parametrize(
    ("code", "status", "has_data"),
    [
        ("50001", 503, True),
        ("50011", 429, False),
        ("50113", 401, False),
        ("50115", 405, True),
        ("51000", 400, True),
        ("51603", 200, True),
        ("59105", 400, True),
    ],
)
def test_code_has_its_status_and_only_some_have_data(code: str, status: int, has_data: bool) -> None:
    """Authentication and rate limits leave the data key out."""
    refusal = RefusalError(code, "x")
    assert (refusal.http_status, refusal.has_data) == (status, has_data)


def test_message_names_the_parameter() -> None:
    """And the error's own text starts with the code."""
    refusal = RefusalError("50014", "instId")
    assert refusal.message == "Parameter instId can not be empty."
    assert str(refusal) == "50014: Parameter instId can not be empty."


def test_unknown_code_still_has_a_text() -> None:
    """A scripted fault may use any code."""
    assert refusal_text("99999") == "Error 99999"
    assert refusal_text("50013").startswith("Systems are busy")
