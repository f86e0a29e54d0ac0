"""The chart of accounts as it is registered in the database, so that the ledger describes itself.

Stored in ``stablesats_chart`` as ``{_id: {kind, code, version}, definition, meaning, registered_at}``. A
document is written once and never changed: whoever finds another definition under the same version has
changed an account without raising its version, and must not start.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from medici_py.template_definition import definition_differences, shown_differences
from stablesats.errors import StablesatsError
from stablesats.ledger.chart import BOOK_IDS, Account, ChartAccount
from stablesats.ledger.collateral_chart import COLLATERAL_BOOK_IDS, CollateralAccount
from stablesats.unordered_insert import insert_unordered

CHART: Final = "stablesats_chart"


class ChartChangedError(StablesatsError):
    """A book or account is registered with another definition under the same version.

    Attributes:
        code: The account's code or the book's name.
        version: The version that both claim.
        differences: What differs, a line each: ``-`` as registered, ``+`` as given.
    """

    def __init__(self, kind: str, code: str, version: int, differences: tuple[str, ...]) -> None:
        """Name what was changed and how."""
        self.code = code
        self.version = version
        self.differences = differences
        super().__init__(
            f"{kind} {code} was changed, and version {version} is registered as it was. Raise the version, or"
            f" restore the {kind}. What differs:\n{shown_differences(differences)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartEntry:
    """A book or an account as it is registered.

    Attributes:
        kind: ``book`` or ``account``.
        code: The book's name or the account's code.
        version: From 1.
        definition: Whatever the meaning of a stored leg depends on.
        meaning: What it is, for people; not part of the definition.
    """

    kind: str
    code: str
    version: int
    definition: Mapping[str, Any]
    meaning: str = ""

    @property
    def id(self) -> dict[str, Any]:
        """The key it is registered under."""
        return {"kind": self.kind, "code": self.code, "version": self.version}

    def check_same(self, registered: Mapping[str, Any]) -> None:
        """Check that *registered* is this definition.

        Raises:
            ChartChangedError: If not.
        """
        differences = definition_differences(registered, self.definition)
        if differences:
            raise ChartChangedError(self.kind, self.code, self.version, differences)


def chart_entries() -> tuple[ChartEntry, ...]:
    """The two books of stablesats-rs and their accounts as they are to be registered."""
    return (*_book_entries(BOOK_IDS), *(account_entry(account) for account in Account))


def collateral_entries() -> tuple[ChartEntry, ...]:
    """The book of the collateral and its accounts as they are to be registered."""
    return (
        *_book_entries(COLLATERAL_BOOK_IDS),
        *(account_entry(account) for account in CollateralAccount),
    )


def _book_entries(ids: Mapping[str, UUID]) -> tuple[ChartEntry, ...]:
    return tuple(
        ChartEntry(kind="book", code=name, version=1, definition={"id": str(id_)})
        for name, id_ in ids.items()
    )


def account_entry(account: ChartAccount) -> ChartEntry:
    """*account* as it is to be registered."""
    return ChartEntry(
        kind="account",
        code=account.code,
        version=account.version,
        definition={
            "id": str(account.id),
            "book": account.book,
            "normal_side": account.normal_side.value,
            "currencies": [currency.value for currency in account.currencies],
        },
        meaning=account.meaning,
    )


async def register_chart(
    database: Any,
    entries: Sequence[ChartEntry] | None = None,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Register the books and accounts that are not registered yet.

    Idempotent, and safe in any number of processes at once: of two that register different definitions
    under one version, one gets the error.

    Args:
        database: The dealer's database.
        entries: What to register; `chart_entries` if left out.
        now: Where ``registered_at`` comes from.

    Raises:
        ChartChangedError: If one is registered with another definition under its version.
    """
    wanted = chart_entries() if entries is None else entries
    collection = database[CHART].with_options(
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", j=True),
    )
    missing = await _checked(collection, wanted)
    if not missing:
        return
    registered_at = now()
    documents = [
        {
            "_id": entry.id,
            "definition": dict(entry.definition),
            "meaning": entry.meaning,
            "registered_at": registered_at,
        }
        for entry in missing
    ]
    if taken := await insert_unordered(collection, documents):
        # Another process was faster with these.
        await _checked(collection, [missing[place] for place in taken])


async def is_chart_registered(database: Any) -> bool:
    """Whether anybody has ever made *database* ready for the dealer's books."""
    ids = [entry.id for entry in chart_entries()]
    return await database[CHART].find_one({"_id": {"$in": ids}}) is not None


async def _checked(collection: Any, wanted: Sequence[ChartEntry]) -> list[ChartEntry]:
    """Check those of *wanted* that are registered, and return the others."""
    found = collection.find({"_id": {"$in": [entry.id for entry in wanted]}}, {"definition": 1})
    registered = {tuple(row["_id"].items()): row["definition"] async for row in found}
    for entry in wanted:
        if (key := tuple(entry.id.items())) in registered:
            entry.check_same(registered[key])
    return [entry for entry in wanted if tuple(entry.id.items()) not in registered]
