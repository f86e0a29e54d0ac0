"""How the fields of an answer are read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stablesats.okx.fields import Flag, Message, OptionalInstant, Text, milliseconds_text, parse_instant


class Row(Message):
    flag: Flag = False
    at: OptionalInstant = None
    text: Text = ""


@pytest.mark.parametrize(
    ("sent", "flag"),
    [(True, True), ("true", True), (False, False), ("false", False), ("", False), (None, False)],
)
def test_a_flag_is_a_boolean_or_its_word(sent: object, flag: bool) -> None:
    """OKX sends `reduceOnly` as text and `selected` as a boolean."""
    assert Row.model_validate({"flag": sent}).flag is flag


@pytest.mark.parametrize("sent", ["yes", "1", 1, "TRUE", []])
def test_anything_else_is_no_flag(sent: object) -> None:
    """Not guessed: a deposit address counts on it."""
    with pytest.raises(ValidationError, match="expected true or false"):
        Row.model_validate({"flag": sent})


@pytest.mark.parametrize("sent", ["", None])
def test_an_empty_time_and_text_are_absent(sent: object) -> None:
    """Not applicable, by either of OKX's ways to say so."""
    row = Row.model_validate({"at": sent, "text": sent})
    assert (row.at, row.text) == (None, "")


@settings(deadline=None)
@given(since=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365_000)))
def test_an_instant_is_written_and_read_to_the_millisecond(since: timedelta) -> None:
    """Rounded down, so never later than meant."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + since
    assert timedelta(0) <= at - parse_instant(milliseconds_text(at)) < timedelta(milliseconds=1)
