"""OKX's codes as this exchange says them."""

from __future__ import annotations

import re

import pytest

from stablesats.okx_simulator.refusals import CODES, RefusalError, refusal_text


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


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_whole_text_without_parameters(code: str) -> None:
    """A scripted fault names a code only; an example stands where OKX's text names something."""
    refusal = RefusalError(code)
    assert refusal.message == refusal_text(code)
    assert not re.search(r"\{\d\}|Error \d", refusal.message)


def test_insufficient_margin_has_its_sub_code() -> None:
    """And the currency that is short."""
    refusal = RefusalError("51008")
    assert (refusal.sub_code, refusal.message) == ("1001", "Order failed. Insufficient BTC margin in account")


def test_unknown_code_still_has_a_text() -> None:
    """A scripted fault may use any code."""
    assert refusal_text("99999") == "Error 99999"
    assert refusal_text("50013").startswith("Systems are busy")
