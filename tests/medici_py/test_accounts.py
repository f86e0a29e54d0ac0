"""Account paths: what can be posted to, what a question covers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medici_py.accounts import (
    covers,
    join,
    outermost,
    parse_posting_path,
    parse_query_paths,
    split,
    with_ancestors,
)
from medici_py.errors import InvalidAccountPathError, InvalidAccountPathLengthError, InvalidQueryError

parts = st.text(st.characters(exclude_characters=":\0", exclude_categories=["Cs"]), min_size=1, max_size=5)
paths = st.lists(parts, min_size=1, max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("account", "path"),
    [
        ("A", ("A",)),
        ("A:B:C", ("A", "B", "C")),
        (["A", "B"], ("A", "B")),
        (("A", "B"), ("A", "B")),
        (" a.b : $c ", (" a.b ", " $c ")),
    ],
)
def test_account_is_text_or_parts_kept_as_given(account: Any, path: tuple[str, ...]) -> None:
    """Colons divide; spaces, dots, dollars and case stay."""
    assert path == parse_posting_path(account, max_account_path=3)


@pytest.mark.parametrize(
    "account", ["", ":", "A:", ":A", "A::B", [], [""], ["A:B", "C"], ["A", 1], "A\0B", None, 5, {"A": 1}]
)
def test_account_with_an_unusable_part_is_refused(account: Any) -> None:
    """No part, an empty part, a colon inside one, or anything but text cannot be posted to."""
    with pytest.raises(InvalidAccountPathError) as caught:
        parse_posting_path(account, max_account_path=3)
    assert (400, account) == (caught.value.code, caught.value.account)


@pytest.mark.parametrize(("maximum", "account"), [(3, "A:B:C:D"), (1, "A:B"), (0, "A")])
def test_account_deeper_than_the_book_allows_is_refused(maximum: int, account: str) -> None:
    """The message names the maximum in medici's words."""
    with pytest.raises(
        InvalidAccountPathLengthError, match=rf"Account path is too deep \(maximum {maximum}\)"
    ):
        parse_posting_path(account, max_account_path=maximum)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (None, None),
        ("A:B", (("A", "B"),)),
        ("", (("",),)),
        (["A", "A:B", "A"], (("A",),)),
        (["A:B", "A"], (("A",),)),
        (["A", "AB"], (("A",), ("AB",))),
    ],
)
def test_question_covers_each_account_once(account: Any, expected: Any) -> None:
    """A list is a union without overlaps; None is the whole book."""
    assert expected == parse_query_paths(account)


@pytest.mark.parametrize("account", [[], 5, {"A": 1}, [["A"]], b"A", True])
def test_question_about_no_account_is_refused(account: Any) -> None:
    """Medici answers some of these with the whole book; here nothing means it but None."""
    with pytest.raises(InvalidQueryError) as caught:
        parse_query_paths(account)
    assert caught.value.field == "account"


def test_list_names_every_ancestor_once_by_code_point() -> None:
    """Parents appear though nothing was posted on them; capital letters come first."""
    assert with_ancestors(["a", "A:B:C", "A:D", "A:B"]) == ["A", "A:B", "A:B:C", "A:D", "a"]


@given(path=paths)
def test_split_undoes_join(path: tuple[str, ...]) -> None:
    """A path's one-line name gives the path back."""
    assert path == split(join(path))


@given(given_paths=st.lists(paths, min_size=1, max_size=6))
def test_outermost_covers_the_same_accounts_without_overlap(given_paths: list[tuple[str, ...]]) -> None:
    """Every path stays covered, and by exactly one of the paths kept."""
    kept = outermost(given_paths)
    assert all(sum(covers(outer, path) for outer in kept) == 1 for path in given_paths)
