"""JSON as it comes from clients."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.json_texts import JsonTextError, load_json


def test_numbers_keep_the_digits_they_were_sent_with() -> None:
    """No amount becomes a binary float, no large id is rounded."""
    text = '{"sz": 0.10, "ordId": 1400864000000000001, "lever": 2, "big": 1e400, "flag": true, "none": null}'
    assert load_json(text) == {
        "sz": "0.10",
        "ordId": "1400864000000000001",
        "lever": "2",
        "big": "1e400",
        "flag": True,
        "none": None,
    }


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "[" * 100_000, b"\xff\xfe", "{'a': 1}"])
def test_what_is_no_json_is_one_error(text: str | bytes) -> None:
    """Also what is nested so deeply that it cannot be read."""
    with pytest.raises(JsonTextError):
        load_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_everything_but_numbers_comes_as_it_is(value: object) -> None:
    """Texts, lists, objects."""
    assert load_json(json.dumps(value)) == value
