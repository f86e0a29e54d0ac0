"""What a subscription asks for is stored: in a document that is equal when the question is."""

from collections.abc import Callable
from typing import Any

import pytest

from medici_py import Book, JournalPosted, JournalVoided
from medici_py.change_filter import ChangeFilter, followed_books
from medici_py.subscription_filter import DEFAULT_KINDS, filter_document


@pytest.fixture
def asked(mongomock_database: Any) -> Callable[..., dict[str, Any]]:
    def ask(books: Any = None, paths: Any = None, kinds: Any = DEFAULT_KINDS, template: Any = None) -> Any:
        followed = followed_books(Book("A", mongomock_database), books)
        return filter_document(ChangeFilter.of(followed, paths, kinds, template))

    return ask


def test_order_and_repetition_mean_nothing(asked: Callable[..., dict[str, Any]]) -> None:
    """The same question has one document."""
    one = asked(["B", "A"], (("Y",), ("X", "Z")), [JournalPosted, JournalVoided])
    other = asked(["A", "B", "A"], (("X", "Z"), ("Y",), ("Y",)), [JournalVoided, JournalPosted])
    assert one == other
    assert one == {
        "books": ["A", "B"],
        "accounts": [["X", "Z"], ["Y"]],
        "kinds": ["JournalPosted", "JournalVoided"],
        "template": None,
    }


@pytest.mark.parametrize(
    "question",
    [
        {"books": ["B"]},
        {"paths": (("X",),)},
        {"kinds": [JournalPosted]},
        {"template": "BUY"},
    ],
)
def test_other_question_has_another_document(
    question: dict[str, Any], asked: Callable[..., dict[str, Any]]
) -> None:
    """Whatever it differs in."""
    assert asked(**question) != asked()
