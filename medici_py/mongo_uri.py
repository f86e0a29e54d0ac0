"""A MongoDB URI that somebody gave us: shown without its secrets, and checked before it is relied on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from medici_py.errors import MediciError, UnsupportedDeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREDENTIALS = re.compile(
    r"//.*@", re.DOTALL
)  # greedy: an unescaped @ in a password hides no more than it must


class InvalidMongoUriError(MediciError):
    """A MongoDB URI cannot be read.

    Attributes:
        redacted_uri: The URI without credentials and options.
    """

    def __init__(self, redacted_uri: str, reason: str) -> None:
        super().__init__(f"not a MongoDB URI: {redacted_uri}: {reason}")
        self.redacted_uri = redacted_uri


class MongoUnreachableError(MediciError):
    """No usable MongoDB answers at a URI.

    Attributes:
        redacted_uri: The URI without credentials and options.
    """

    def __init__(self, redacted_uri: str, reason: str) -> None:
        super().__init__(f"cannot use MongoDB at {redacted_uri}: {reason}")
        self.redacted_uri = redacted_uri


def redact_uri(uri: str) -> str:
    """Return *uri* without credentials and options: ``mongodb://***@host:27017/bank``."""
    return _CREDENTIALS.sub("//***@", uri).partition("?")[0]


def check_deployment(uri: str, *, timeout_secs: float = 5.0) -> None:
    """Make sure that *uri* leads to a MongoDB with transactions and change streams. Blocks.

    Args:
        uri: What the user gave.
        timeout_secs: How long to look for a usable server.

    Raises:
        InvalidMongoUriError: If the URI cannot be read (or its DNS name not be resolved).
        MongoUnreachableError: If no server answers in time, or it refuses the credentials.
        UnsupportedDeploymentError: If the server is a standalone.
    """
    try:
        reply = _hello(uri, timeout_secs)
    except (InvalidURI, ConfigurationError, ValueError, TypeError) as exc:
        # The cause quotes pieces of the URI, so it is not chained: a traceback would print a password.
        raise InvalidMongoUriError(redact_uri(uri), _reason_without_secrets(uri, exc)) from None
    except ServerSelectionTimeoutError as exc:
        reason = f"no server answered within {timeout_secs:g} s; is it running and reachable from here?"
        raise MongoUnreachableError(redact_uri(uri), reason) from exc
    except OperationFailure as exc:
        raise MongoUnreachableError(redact_uri(uri), str((exc.details or {}).get("errmsg", exc))) from exc
    except PyMongoError as exc:
        raise MongoUnreachableError(redact_uri(uri), str(exc)) from exc
    if not has_transactions(reply):
        raise UnsupportedDeploymentError


def has_transactions(hello: Mapping[str, Any]) -> bool:
    """Tell from a reply to ``hello`` whether the server is a replica set member or a ``mongos``."""
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def _hello(uri: str, timeout_secs: float) -> dict[str, Any]:
    milliseconds = int(timeout_secs * 1000)
    with MongoClient[dict[str, Any]](
        uri, serverSelectionTimeoutMS=milliseconds, connectTimeoutMS=milliseconds
    ) as client:
        return client.admin.command("hello")


def _reason_without_secrets(uri: str, error: Exception) -> str:
    """Describe *error*, which quotes pieces of *uri*, without quoting what stands before the ``@``."""
    public = _CREDENTIALS.sub("//", uri)
    if public == uri:
        return str(error)
    try:
        parse_uri(public)
    except (InvalidURI, ConfigurationError, ValueError, TypeError) as exc:
        return str(exc)
    return "check the user name and the password, which must be percent-encoded"
