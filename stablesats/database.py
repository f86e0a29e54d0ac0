"""Which database is the dealer's, and opening it: checked before it is relied on, closed whatever happens."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError as NoDatabaseNamedError
from pymongo.errors import InvalidName

from medici_py.mongo_uri import check_deployment
from stablesats.errors import ConfigurationError

DEFAULT_DATABASE: Final = "stablesats"

_OF_THE_SERVER: Final = frozenset({"admin", "config", "local"})
"""MongoDB's own databases, which know no transactions: in a URI they only say where the user is known."""

_URI_WITH_DATABASE: Final = re.compile(
    r"(?P<server>mongodb(?:\+srv)?://[^/?]*)/(?P<database>[^?]+)(?:\?(?P<options>.*))?", re.DOTALL
)
_AUTHENTICATES_ELSEWHERE: Final = re.compile(
    r"(?:^|[&;])(?:authSource=|authMechanism=(?:MONGODB-|GSSAPI))", re.IGNORECASE
)


@asynccontextmanager
async def open_database(uri: str, name: str | None = None) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Connect to the dealer's database at *uri*, for as long as the block lasts.

    Args:
        uri: Of a replica set or sharded cluster.
        name: The database; if None, the one that the URI names, and ``stablesats`` if it names none.

    Raises:
        ConfigurationError: If *name* is not one MongoDB allows, or the URI names another database.
        InvalidMongoUriError: If the URI cannot be read.
        MongoUnreachableError: If no MongoDB answers there within five seconds.
        UnsupportedDeploymentError: If it is a standalone ``mongod``, which has no transactions.
    """
    await asyncio.to_thread(check_deployment, uri)
    async with AsyncMongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        chosen = choose_database(name, _named_by(client))
        try:
            database = client[chosen]
        except InvalidName as error:
            msg = f"{chosen!r} is no name for a MongoDB database: {error}"
            raise ConfigurationError(msg) from error
        yield database


def choose_database(given: str | None, in_uri: str | None) -> str:
    """Return the database that is meant by a setting and by the path of a URI; None where there is none.

    ``admin``, ``config`` and ``local`` in a URI count as none: nobody can keep books there.

    Raises:
        ConfigurationError: If both name one, and not the same.
    """
    named = None if in_uri in _OF_THE_SERVER else in_uri
    if given is None:
        return DEFAULT_DATABASE if named is None else named
    if named is not None and named != given:
        msg = (
            f"two databases are given: {given!r} as the setting (--database), {named!r} in the MongoDB URI;"
            f" leave one of them out. If {named!r} is only where the user is known, write ?authSource={named}"
        )
        raise ConfigurationError(msg)
    return given


def without_database(uri: str) -> str:
    """Return *uri* without its database, for who uses another one; users stay where they are known."""
    found = _URI_WITH_DATABASE.fullmatch(uri)
    if found is None:
        return uri
    options = found["options"] or ""
    if "@" in found["server"] and not _AUTHENTICATES_ELSEWHERE.search(options):
        options = "&".join(filter(None, (options, f"authSource={found['database']}")))
    return f"{found['server']}/{'?' if options else ''}{options}"


def _named_by(client: AsyncMongoClient[dict[str, Any]]) -> str | None:
    try:
        return client.get_default_database().name
    except NoDatabaseNamedError:
        return None
