"""The shared stream gives each entry to whoever wants it; what one subscriber cannot take ends it alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from medici_py import BalanceChanged, Book, ChangeStreamError, JournalPosted, JournalVoided, Overflow
from medici_py.change_entries import JournalEntry, VoidEntry
from medici_py.change_events import ChangePosition, JournalFlagged, JournalInserted
from medici_py.change_feed import FeedSettings
from medici_py.change_filter import ALL_KINDS, ChangeFilter, followed_books
from medici_py.change_seat import Seat
from medici_py.documents import Journal
from medici_py.shared_stream import SharedStream
from medici_py.store import Store

NOW = datetime(2024, 1, 1, tzinfo=UTC)
BEGINNING = ChangePosition(None, Timestamp(1, 1))


class StrangeJournal(Journal):
    """A model of an application that fails in its own way."""

    @classmethod
    def from_document(cls, document: Any) -> Any:
        raise KeyError(document["rate"])


@pytest.fixture
async def stream() -> Any:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://127.0.0.1:1", connect=False)
    yield SharedStream(Store(client["nowhere"]), FeedSettings())
    await client.close()


def place(second: int) -> ChangePosition:
    return ChangePosition({"_data": f"82{second:08X}00000001"}, Timestamp(second, 1))


def seat_at(
    stream: SharedStream, kinds: Any = (JournalPosted,), *, reached: ChangePosition = BEGINNING, **models: Any
) -> Seat:
    """Return a live seat of the book B."""
    book = Book("B", stream.store.database, **models)
    seat = Seat(
        ChangeFilter.of(followed_books(book, None), None, kinds, None), limit=9, overflow=Overflow.WAIT
    )
    seat.begin(reached)
    stream.add_live(seat)
    return seat


def journal_at(second: int) -> JournalEntry:
    journal = {"_id": ObjectId(), "memo": str(second), "book": "B", "datetime": NOW, "_transactions": []}
    return JournalEntry(JournalInserted(journal, place(second), NOW), [], [], place(second - 1))


async def test_entry_before_the_balances_of_a_newcomer_reaches_everybody_else(stream: SharedStream) -> None:
    """It joins with balances that count the entry already: the stream has none to write on it."""
    other = seat_at(stream)
    newcomer = seat_at(stream, ALL_KINDS, reached=place(7))
    stream._spread(journal_at(5))
    assert newcomer.take() is None
    assert isinstance(other.take(), JournalPosted)
    assert newcomer.is_live


async def test_model_that_fails_ends_its_own_subscribers_alone(stream: SharedStream) -> None:
    """With the cause, at the place before what it could not read; whoever reads otherwise goes on."""
    strange, other = seat_at(stream, journal_model=StrangeJournal), seat_at(stream)
    for second in (5, 6):
        stream._spread(journal_at(second))
    error = strange.take()
    assert isinstance(error, ChangeStreamError)
    assert isinstance(error.__cause__, KeyError)
    assert error.position == BEGINNING
    assert strange.is_end(error)
    assert [type(other.take()) for _ in range(2)] == [JournalPosted, JournalPosted]


@pytest.mark.parametrize(("kinds", "asked"), [((JournalPosted,), False), (ALL_KINDS, True)])
async def test_server_is_asked_about_a_void_if_somebody_wants_to_know(
    kinds: Any, asked: bool, stream: SharedStream
) -> None:
    """That is what a void costs: those of all books pass by every stream of the database."""
    seat_at(stream, kinds)
    void = VoidEntry(JournalFlagged(ObjectId(), "typo", place(5), NOW), place(4))
    assert stream._is_lacking(void) is asked


class TestVoids:
    def void(self, **known: Any) -> VoidEntry:
        return VoidEntry(JournalFlagged(ObjectId(), "typo", place(5), NOW), place(4), **known)

    def wanted(
        self, kinds: Any = (JournalVoided,), paths: Any = None, template: str | None = None
    ) -> ChangeFilter:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://127.0.0.1:1", connect=False)
        return ChangeFilter.of(followed_books(Book("B", client["nowhere"]), None), paths, kinds, template)

    @pytest.mark.parametrize("known", [{}, {"identified": True, "book": "B"}])
    @pytest.mark.parametrize("kinds", [(JournalPosted,), (BalanceChanged, JournalPosted)])
    def test_who_wants_no_voids_lacks_nothing(self, kinds: Any, known: dict[str, Any]) -> None:
        """Nobody asks the server for what nobody is told."""
        assert not self.wanted(kinds, (("A",),)).lacks(self.void(**known))

    @pytest.mark.parametrize(
        ("paths", "template", "known", "lacks"),
        [
            pytest.param(None, None, {}, True, id="which journal"),
            pytest.param(None, None, {"identified": True, "book": "B"}, False, id="accounts do not matter"),
            pytest.param((("A",),), None, {"identified": True, "book": "B"}, True, id="accounts do"),
            pytest.param((("A",),), None, {"identified": True, "book": "C"}, False, id="another book"),
            pytest.param((("A",),), None, {"identified": True}, False, id="journal is gone"),
            pytest.param((("A",),), "sale", {"identified": True, "book": "B"}, False, id="another template"),
            pytest.param(
                (("A",),), "sale", {"identified": True, "book": "B", "template": "sale"}, True, id="template"
            ),
            pytest.param(
                (("A",),), None, {"identified": True, "book": "B", "paths": ()}, False, id="all is known"
            ),
        ],
    )
    def test_void_lacks_what_decides_whether_it_is_wanted(
        self, paths: Any, template: str | None, known: dict[str, Any], lacks: bool
    ) -> None:
        """Step by step, so that a step is spared where the one before has decided."""
        assert self.wanted(paths=paths, template=template).lacks(self.void(**known)) is lacks
