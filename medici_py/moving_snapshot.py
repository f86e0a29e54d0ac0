"""Reads of one cluster time for as long as the server keeps it, and of a newer one after that."""

from collections.abc import Mapping
from typing import Any

from bson import Int64
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from medici_py.driver import Database, Document, adopt, start_session

# SnapshotTooOld, SnapshotUnavailable (the collection was changed after that time)
_EXPIRED = frozenset({239, 246})


class MovingSnapshot:
    """Finds documents as they were committed at a cluster time.

    Drivers take no cluster time from a caller, so the commands are sent by hand.

    Args:
        database: Of PyMongo Async or Motor.
        at: The cluster time to begin with.
    """

    def __init__(self, database: Database, at: Timestamp) -> None:
        self._database: Any = adopt(database)
        self._at = at
        self.moved = False
        """Whether newer commits may be among what is found."""

    async def find(self, collection: str, matches: Document, **options: Any) -> list[Document]:
        """Return what matches, all of one moment.

        Args:
            collection: Name of the collection.
            matches: The filter.
            **options: Those of the ``find`` command: ``sort``, ``limit``, ``projection``.
        """
        command = {"find": collection, "filter": matches, "allowDiskUse": True, **options}
        while True:
            concern: Document = {"level": "snapshot"}
            if not self.moved:
                concern["atClusterTime"] = self._at
            try:
                return await self._read({**command, "readConcern": concern})
            except OperationFailure as exc:
                if self.moved or exc.code not in _EXPIRED:
                    raise
                self.moved = True

    async def _read(self, command: Mapping[str, Any]) -> list[Document]:
        # Causal consistency would add a read concern to getMore, which takes none.
        async with await start_session(self._database.client, causal_consistency=False) as session:
            cursor = (await self._send(command, session))["cursor"]
            found: list[Document] = cursor["firstBatch"]
            while cursor["id"]:
                more = {"getMore": Int64(cursor["id"]), "collection": command["find"]}
                cursor = (await self._send(more, session))["cursor"]
                found += cursor["nextBatch"]
            return found

    async def _send(self, command: Mapping[str, Any], session: Any) -> Document:
        reply: Document = await self._database.command(
            command, session=session, codec_options=self._database.codec_options
        )
        return reply
