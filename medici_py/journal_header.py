"""What a journal says of itself beside memo and date: template, correlation and external id, metadata. Pure.

It stands on the journal and never on a leg: Node's void would move it into the legs' meta. What came later
stands there, too: which journal has taken it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId
from bson.codec_options import CodecOptions

from medici_py.bson_values import check_encodable, stored_copy
from medici_py.documents import Journal, TemplateRef
from medici_py.errors import TransactionError
from medici_py.leg_fields import entry_text

TRACE_CONTEXT = frozenset({"traceparent", "tracestate"})
"""Keys of metadata that say who asked, not what for: a repeat has its own. Source: W3C Trace Context."""

TAKEN_BACK_BY: Final = "taken_back_by"
"""Where a stored journal names the journal that has taken it back without voiding it; see `taking_back`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHeader:
    """What a journal says of itself.

    Attributes:
        template: The template that made it.
        correlation_id: What it shares with the journals that belong with it; its own id as text if None.
        external_id: Its id in another system.
        metadata: What else the caller attached, as BSON holds it.
    """

    template: TemplateRef
    correlation_id: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def stored_on(self, journal: ObjectId) -> dict[str, Any]:
        """Return the fields of the journal with this id."""
        document: dict[str, Any] = {
            "template": {"code": self.template.code, "version": self.template.version},
            "correlation_id": self.correlation_id or str(journal),
        }
        if self.external_id is not None:
            document["external_id"] = self.external_id
        if self.metadata:
            document["metadata"] = dict(self.metadata)
        return document

    def content(self) -> dict[str, Any]:
        """Return what two entries under one key must have in common: what a caller decided."""
        return _content(self.template, self.correlation_id, self.external_id, self.metadata)


def stored_header(journal: Journal) -> dict[str, Any]:
    """Return the `JournalHeader.content` of a stored journal; empty if no template made it."""
    if not isinstance(journal.template, TemplateRef):
        return {}  # None, or something of the application's own under that name.
    # Whoever correlates a journal with itself says no more than whoever says nothing.
    correlation_id = None if journal.correlation_id == str(journal.id) else journal.correlation_id
    return _content(journal.template, correlation_id, journal.external_id, journal.metadata)


def _content(
    template: TemplateRef, correlation_id: str | None, external_id: str | None, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    content: dict[str, Any] = {"template": f"{template.code} version {template.version}"}
    if correlation_id is not None:
        content["correlation_id"] = correlation_id
    if external_id is not None:
        content["external_id"] = external_id
    compared = {name: value for name, value in metadata.items() if name not in TRACE_CONTEXT}
    if compared:
        content["metadata"] = compared
    return content


def taken_back_by(journal: Mapping[str, Any]) -> ObjectId | None:
    """Return the id under which a stored *journal* names what has taken it back, if it does."""
    taker = journal.get(TAKEN_BACK_BY)
    return taker if isinstance(taker, ObjectId) else None  # Else an application's own, under that name.


def parse_reference(name: str, value: object) -> str | None:
    """Read a correlation or external id: text that is not empty, or None.

    Raises:
        TransactionError: If it is neither; the error names it.
    """
    if value is None:
        return None
    text = entry_text(name, value)
    if not text:
        raise TransactionError(f"{name} '' refused: give text that is not empty.", field=name, value=value)
    return text


def parse_metadata(metadata: object, codec_options: CodecOptions[Any]) -> dict[str, Any]:
    """Copy *metadata* into what BSON holds.

    Raises:
        TransactionError: If it is no mapping, or a key or value of it cannot be stored.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TransactionError(
            f"metadata {metadata!r} refused: give a mapping.", field="metadata", value=metadata
        )
    try:
        copied: dict[str, Any] = stored_copy(metadata)
        check_encodable(copied, codec_options)
    except ValueError as exc:
        raise TransactionError(f"metadata refused: {exc}.", field="metadata", value=metadata) from exc
    return copied
