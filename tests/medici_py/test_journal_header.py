"""What a journal says of itself: stored on the journal, readable, part of what a repeat must repeat."""

from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from bson.codec_options import DEFAULT_CODEC_OPTIONS

from medici_py import Journal, TemplateRef, TransactionError
from medici_py.documents import journal_defaults
from medici_py.entry_key import UsedKey, content_digest, difference_text
from medici_py.journal_header import JournalHeader, parse_metadata, parse_reference, stored_header

ID = ObjectId("65f000000000000000000001")
REF = TemplateRef("TRADE", 2)
STORED: dict[str, Any] = {"_id": ID, "book": "B", "datetime": 0}
FULL = JournalHeader(
    template=REF, correlation_id="c", external_id="e", metadata={"b": 1, "a": Decimal128("0.5")}
)
BARE = JournalHeader(template=REF)


def test_what_was_not_given_is_not_stored_but_the_correlation_id() -> None:
    """A journal that begins something is correlated with itself."""
    assert BARE.stored_on(ID) == {"template": {"code": "TRADE", "version": 2}, "correlation_id": str(ID)}


@pytest.mark.parametrize("header", [FULL, BARE])
def test_header_is_read_back_as_it_was_stored(header: JournalHeader) -> None:
    """As fields of the journal, and as the content that a repeat is compared by."""
    journal = Journal.from_document(STORED | header.stored_on(ID))
    assert (journal.template, journal.external_id) == (REF, header.external_id)
    assert journal.metadata == header.metadata
    assert journal.correlation_id == (header.correlation_id or str(ID))
    assert stored_header(journal) == header.content()


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"template": "invoice", "correlation_id": 5, "external_id": ["x"], "metadata": "text"},
        {"template": {"code": 5, "version": "1"}, "correlation_id": None, "metadata": None},
        {"template": {"name": "x"}},
    ],
)
def test_journal_without_a_header_reads_as_before(foreign: dict[str, Any]) -> None:
    """Also where another application stores something else under these names."""
    journal = Journal.from_document(STORED | foreign)
    assert (journal.template, journal.correlation_id, journal.external_id) == (None, None, None)
    assert journal.metadata == {}
    assert stored_header(journal) == {}


def test_field_that_an_application_declares_under_one_of_the_names_stays_its_own() -> None:
    """Its default is stored on every journal, as that of any field of its own."""

    class Invoice(Journal):
        external_id: str | None = "none yet"
        approved: bool = False

    assert journal_defaults(Invoice) == {"external_id": "none yet", "approved": False}
    assert journal_defaults(Journal) == {}


@pytest.mark.parametrize("name", ["external_id", "correlation_id"])
@pytest.mark.parametrize("value", ["", 5, b"x", "\ud800"])
def test_reference_that_is_no_text_is_refused(name: str, value: object) -> None:
    """Empty text would name nothing."""
    with pytest.raises(TransactionError, match=name) as caught:
        parse_reference(name, value)
    assert (caught.value.field, caught.value.value) == (name, value)


def test_reference_is_text_or_nothing() -> None:
    """As it was given."""
    assert (parse_reference("external_id", "x"), parse_reference("external_id", None)) == ("x", None)


@pytest.mark.parametrize(
    "metadata",
    [["a"], "text", {5: 1}, {"a.b": 1}, {"a": {"$b": 1}}, {"": 1}, {"a": object()}, {"a": 2**63}],
)
def test_metadata_that_no_document_can_hold_is_refused(metadata: object) -> None:
    """Before anything is written."""
    with pytest.raises(TransactionError, match="metadata") as caught:
        parse_metadata(metadata, DEFAULT_CODEC_OPTIONS)
    assert caught.value.field == "metadata"


def test_metadata_is_copied() -> None:
    """What the caller does to it afterwards changes nothing."""
    given: dict[str, Any] = {"a": {"b": [1]}, "c": Decimal("0.5")}
    copied = parse_metadata(given, DEFAULT_CODEC_OPTIONS)
    given["a"]["b"].append(2)
    assert copied == {"a": {"b": [1]}, "c": Decimal128("0.5")}
    assert parse_metadata(None, DEFAULT_CODEC_OPTIONS) == {}


def digest(header: dict[str, Any] | None = None) -> bytes:
    return content_digest("memo", None, [], header=header)


def test_digest_of_an_entry_without_header_is_what_it_always_was() -> None:
    """Keys stored by older versions go on being recognised."""
    assert digest() == digest({})
    assert digest().hex() == "c4f10b729960ea1eb79493813b75d876ec43eca09cd237148974368a1a2d8d5c"


@pytest.mark.parametrize(
    "other",
    [
        JournalHeader(template=TemplateRef("TRADE", 3)),
        JournalHeader(template=TemplateRef("TRADE2", 2)),
        JournalHeader(template=REF, correlation_id="c"),
        JournalHeader(template=REF, external_id="e"),
        JournalHeader(template=REF, metadata={"a": 1}),
    ],
)
def test_digest_tells_headers_apart(other: JournalHeader) -> None:
    """Template, version, both ids and metadata."""
    assert digest(other.content()) != digest(BARE.content())
    assert digest(other.content()) != digest()


def test_digest_does_not_depend_on_the_order_of_metadata() -> None:
    """A mapping has none."""
    turned = JournalHeader(
        template=REF, correlation_id="c", external_id="e", metadata={"a": Decimal128("0.5"), "b": 1}
    )
    assert digest(turned.content()) == digest(FULL.content())


def test_difference_of_headers_is_named() -> None:
    """Each field with both values."""
    used = UsedKey(journal=ID, digest=b"", date=None)
    text = difference_text(
        memo="m",
        legs=[],
        date=None,
        used=used,
        first_memo="m",
        first_legs=[],
        header=FULL.content(),
        first_header=JournalHeader(template=TemplateRef("TRADE", 1), external_id="e").content(),
    )
    assert text == (
        "template TRADE version 2 instead of TRADE version 1; correlation_id c instead of none; "
        "metadata {'b': 1, 'a': Decimal128('0.5')} instead of none"
    )
