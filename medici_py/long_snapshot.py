"""Reads of one moment that may take longer than the server keeps that moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from medici_py.driver import Client, capabilities, refusing_standalone, snapshot_session
from medici_py.errors import MediciError, UnsupportedDeploymentError

_SNAPSHOT_TOO_OLD = 239


class SnapshotExpiredError(MediciError):
    """Reading a book at one moment took longer than the server keeps that moment."""


@asynccontextmanager
async def long_snapshot(client: Client, *, task: str) -> AsyncIterator[AsyncClientSession]:
    """Give a session all of whose reads are of one moment.

    Args:
        client: Of the database.
        task: What is being done, for the error.

    Raises:
        SnapshotExpiredError: If the server no longer has that moment.
        UnsupportedDeploymentError: If the server has no snapshots: a standalone, or mongomock.
    """
    if not capabilities(client).transactions:
        raise UnsupportedDeploymentError(f"{task} needs snapshots, which mongomock has not; use a MongoDB.")
    try:
        with refusing_standalone():
            async with snapshot_session(client) as session:
                assert session is not None
                yield session
    except OperationFailure as exc:
        if exc.code != _SNAPSHOT_TOO_OLD:
            raise
        raise SnapshotExpiredError(
            f"{task} took longer than the server keeps the moment that it reads: {exc}. Raise the server's "
            "parameter minSnapshotHistoryWindowInSeconds (300 by default) on every member, and run it again: "
            "db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600})."
        ) from exc
