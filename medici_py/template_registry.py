"""The templates of a database, as they are registered in it, so that the ledger describes itself.

Stored in ``medici_py_templates`` as ``{_id: {code, version}, description, id: text|null, fingerprint,
definition, registered_at}``. A document is written once and never changed: whoever finds another
fingerprint under the same code and version has changed a template without raising its version.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from medici_py.documents import Instant, TemplateRef
from medici_py.driver import Collection, Database, Document, adopt, belongings, capabilities
from medici_py.errors import TemplateChangedError, UnknownTemplateError
from medici_py.instants import utc_now
from medici_py.store import TEMPLATES
from medici_py.template_definition import definition_differences, shown_differences
from medici_py.templates import TemplateIdentity, TransactionTemplate, require_template


class StoredTemplate(BaseModel):
    """A template as it is registered.

    Attributes:
        code: Its code.
        version: Its version.
        description: As of its first registration.
        id: Its fixed id, if it has one.
        fingerprint: SHA-256 of params and legs on its samples, in hexadecimal.
        definition: What `TransactionTemplate.describe` said.
        registered_at: When.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    version: int
    description: str
    id: UUID | None
    fingerprint: str
    definition: Mapping[str, Any]
    registered_at: Instant

    @classmethod
    def of(cls, template: TransactionTemplate[Any], *, registered_at: dt.datetime) -> Self:
        """Return what is registered for *template*.

        Raises:
            TemplateError: If it cannot be described.
        """
        return cls(
            code=template.code,
            version=template.version,
            description=template.description,
            id=template.id,
            fingerprint=template.fingerprint(),
            definition=template.describe(),
            registered_at=registered_at,
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a stored document."""
        return cls.model_validate({**document["_id"], **{name: document[name] for name in _STORED}})

    def document(self) -> Document:
        """Return what is stored."""
        fields = {name: getattr(self, name) for name in _STORED}
        return {
            "_id": {"code": self.code, "version": self.version},
            **fields,
            # As text: how a UUID becomes BSON is an option of each client.
            "id": None if self.id is None else str(self.id),
        }

    @property
    def ref(self) -> TemplateRef:
        """Code and version."""
        return TemplateRef(self.code, self.version)

    @property
    def identity(self) -> TemplateIdentity:
        """All that a posting depends on: what those have in common that may stand under one version."""
        return TemplateIdentity(self.code, self.version, self.fingerprint, self.id)


_Found: TypeAlias = set[TemplateIdentity]
"""What was found registered in a database."""

_STORED = ("description", "id", "fingerprint", "definition", "registered_at")


async def register_templates(
    database: Database,
    templates: Iterable[TransactionTemplate[Any]],
    *,
    clock: Callable[[], dt.datetime] = utc_now,
) -> None:
    """Register *templates*, where they are not registered; run it before anything is posted.

    Idempotent, and safe in any number of processes at once: of two that register different templates under
    one code and version, one gets the error. A version below the newest registered one is accepted, because
    old and new processes run side by side while a deployment rolls.

    Args:
        database: The database of the books.
        templates: All that the process posts with.
        clock: Where ``registered_at`` comes from.

    Raises:
        TemplateError: If one cannot be described.
        TemplateChangedError: If another template is registered under the code and version of one; none of
            *templates* was registered then, unless another process registered the other one just now.
    """
    now = clock()
    given: dict[TemplateRef, StoredTemplate] = {}
    for template in templates:
        require_template(template)
        described = StoredTemplate.of(template, registered_at=now)
        _check_same(given.setdefault(described.ref, described), described)
    if not given:
        return
    collection, found_there = _latest(database), _found_in(database)
    found = await _read(collection, {"_id": {"$in": [one.document()["_id"] for one in given.values()]}})
    registered = {one.ref: one for one in found}
    for ref, described in given.items():
        if ref in registered:
            _check_same(registered[ref], described)
    for ref, described in given.items():
        if ref not in registered:
            await _register(collection, described)
        found_there.add(described.identity)


async def require_registered(database: Database, template: TransactionTemplate[Any]) -> None:
    """Check that *template* is registered as it is; the database is asked once a template and client.

    What was found, or registered, stays true: no registered template is ever changed.

    Raises:
        TemplateError: If it cannot be described.
        UnknownTemplateError: If nothing is registered under its code and version.
        TemplateChangedError: If another template is.
    """
    found = _found_in(database)
    if template.identity in found:
        return
    given = StoredTemplate.of(template, registered_at=utc_now())
    collection = _latest(database)
    stored = await _read(collection, {"_id": given.document()["_id"]})
    if not stored:
        raise _unknown(database.name, template, await _read(collection, {}))
    _check_same(stored[0], given)
    found.add(template.identity)


async def read_templates(database: Database, code: str | None = None) -> list[StoredTemplate]:
    """Return what is registered, by code, then version.

    Args:
        database: The database.
        code: Only the versions of this one.

    Raises:
        UnknownTemplateError: If nothing is registered under *code*; it names the codes that are.
    """
    found = await _read(_latest(database), {})
    wanted = [one for one in found if code is None or one.code == code]
    if code is not None and not wanted:
        known = _codes(found)
        raise UnknownTemplateError(
            f"No template {code!r} is registered in database {adopt(database).name!r}; "
            f"known: {', '.join(known) or 'none'}.",
            template=code,
            known=known,
        )
    return sorted(wanted, key=lambda one: (one.code, one.version))


def _found_in(database: Database) -> _Found:
    """Return what this process has found registered; for as long as the client lives."""
    by_name: defaultdict[str, _Found] = belongings(database.client, "registered_templates", _nothing_found)
    return by_name[database.name]


def _nothing_found() -> defaultdict[str, _Found]:
    return defaultdict(set)


def _unknown(
    database: str, template: TransactionTemplate[Any], registered: Sequence[StoredTemplate]
) -> UnknownTemplateError:
    known = sorted((one.code, one.version) for one in registered)
    shown = ", ".join(f"{code} version {version}" for code, version in known)
    return UnknownTemplateError(
        f"Template {template} is not registered in database {database!r}, and nothing is posted that the "
        "ledger does not know. Run register_templates(database, ...) at the start of the process, with all "
        f"that it posts with. Registered are: {shown or 'none'}.",
        template=template.code,
        known=_codes(registered),
    )


def _codes(templates: Iterable[StoredTemplate]) -> tuple[str, ...]:
    return tuple(sorted({one.code for one in templates}))


async def _register(collection: Collection, described: StoredTemplate) -> None:
    try:
        await collection.insert_one(described.document())
    except DuplicateKeyError:
        # Another process was faster.
        (registered,) = await _read(collection, {"_id": described.document()["_id"]})
        _check_same(registered, described)


def _check_same(registered: StoredTemplate, given: StoredTemplate) -> None:
    if registered.identity == given.identity:
        return
    differences = definition_differences(_compared(registered), _compared(given))
    raise TemplateChangedError(
        f"Template {given.code} was changed, and version {given.version} is registered as it was. Raise "
        f"the version, or restore the template. What differs:\n{shown_differences(differences)}",
        template=given.code,
        version=given.version,
        differences=differences,
    )


def _compared(template: StoredTemplate) -> dict[str, Any]:
    return {**template.definition, "id": None if template.id is None else str(template.id)}


def _latest(database: Database) -> Collection:
    collection = adopt(database)[TEMPLATES]
    if not capabilities(database).transactions:
        return collection
    return collection.with_options(
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", j=True),
    )


async def _read(collection: Collection, wanted: Mapping[str, Any]) -> Sequence[StoredTemplate]:
    return [StoredTemplate.from_document(document) async for document in collection.find(wanted)]
