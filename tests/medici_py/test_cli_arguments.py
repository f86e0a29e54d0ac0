"""What is typed means what a person means by it."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.cli_arguments import parse_from, parse_to, parse_where

UTC = dt.UTC


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        (
            "2024-01-31",
            dt.datetime(2024, 1, 31, tzinfo=UTC),
            dt.datetime(2024, 1, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        ),
        ("2024-01-31T12:00Z", *[dt.datetime(2024, 1, 31, 12, tzinfo=UTC)] * 2),
        ("2024-01-31T12:00+02:00", *[dt.datetime(2024, 1, 31, 10, tzinfo=UTC)] * 2),
        (
            "9999-12-31",
            dt.datetime(9999, 12, 31, tzinfo=UTC),
            dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        ),
    ],
)
def test_date_is_a_whole_day_and_an_instant_itself(text: str, begins: dt.datetime, ends: dt.datetime) -> None:
    """From a day is from its midnight, to a day is to its last millisecond, in UTC."""
    assert (begins, ends) == (parse_from(text), parse_to(text))


@pytest.mark.parametrize("parse", [parse_from, parse_to])
@pytest.mark.parametrize("text", ["soon", "2024-01-31T12:00", "2024-13-01", ""])
def test_text_that_is_no_instant_is_refused(parse: object, text: str) -> None:
    """A time without zone is one of them."""
    assert callable(parse)
    with pytest.raises(ValueError, match=r"give|ISO"):
        parse(text)


@pytest.mark.parametrize(
    ("condition", "key", "value"),
    [
        ("currency=USD", "currency", "USD"),
        ("n=5", "n", "5"),
        ("n:=5", "n", 5),
        ("voided:=true", "voided", True),
        ("client:=null", "client", None),
        ("note=a=b", "note", "a=b"),
        ("note=", "note", ""),
        ("a.b=c", "a.b", "c"),
        ('x:={"$ne": 1}', "x", {"$ne": 1}),
    ],
)
def test_filter_is_text_or_json_and_means_equality(condition: str, key: str, value: object) -> None:
    """Even JSON that looks like an operator is only compared."""
    assert parse_where([condition]) == {key: {"$eq": value}}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["currency"], "no filter"),
        (["=USD"], "no filter"),
        ([":=5"], "no filter"),
        (["n:=five"], "no JSON"),
        (["n:=NaN"], "NaN is no number"),
        (["n=1", "n=2"], "given twice"),
    ],
)
def test_filter_that_means_nothing_is_refused(conditions: list[str], message: str) -> None:
    """The text says what was wrong."""
    with pytest.raises(ValueError, match=message):
        parse_where(conditions)


@given(st.text(max_size=30))
def test_any_text_is_a_filter_on_that_text(text: str) -> None:
    """Nothing in a value is read as anything but text."""
    assert parse_where([f"client={text}"]) == {"client": {"$eq": text}}
