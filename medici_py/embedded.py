"""A MongoDB with transactions and change streams for a demo, a test run or a first try.

`EmbeddedMongo` uses, in this order: the server that ``MONGODB_URI`` names; a ``mongod`` on ``PATH``; the
``mongod`` inside the wheel that the extra ``embedded`` installs. The last two are started as a private
replica set of one node: on loopback, on a free port, with its data in a temporary directory, without
authentication. It goes away with the process that started it, however that ends; `mongod_guardian` says how.

``python -m medici_py.embedded`` starts one, prints its URI and keeps it until stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypedDict, Unpack

from medici_py.errors import MediciError
from medici_py.mongo_uri import check_deployment
from medici_py.mongod_binary import find_mongod
from medici_py.private_mongod import MongodSettings, PrivateMongod, start_private_mongod

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType


class EmbeddedMongoOptions(TypedDict, total=False):
    """The arguments of `EmbeddedMongo`, which explains them."""

    cache_size_gb: float
    oplog_size_mb: int
    set_parameters: Mapping[str, str | int | bool] | None
    environment: Mapping[str, str] | None
    start_timeout_secs: float


class EmbeddedMongo:
    """A MongoDB replica set to use: the one ``MONGODB_URI`` names, or a private one.

    A context manager of both kinds; ``async with`` never blocks the event loop. Any number may run at once,
    in one process or in several. Forked children may use `uri` but do not own the server.

    Args:
        cache_size_gb: WiredTiger's cache of a private server.
        oplog_size_mb: How much history for change streams a private server keeps.
        set_parameters: mongod's ``--setParameter`` values for a private server, as
            ``{"enableTestCommands": 1}``.
        environment: Where ``MONGODB_URI`` and ``PATH`` are read from; the process's own by default.
        start_timeout_secs: How long a private server may take to become primary.
    """

    def __init__(
        self,
        *,
        cache_size_gb: float = 0.25,
        oplog_size_mb: int = 1024,
        set_parameters: Mapping[str, str | int | bool] | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout_secs: float = 60.0,
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._settings = MongodSettings(
            cache_size_gb=cache_size_gb,
            oplog_size_mb=oplog_size_mb,
            start_timeout_secs=start_timeout_secs,
            set_parameters=dict(set_parameters or {}),
        )
        self._abandoned = threading.Event()
        self._server: _ExternalMongo | PrivateMongod | None = None

    @classmethod
    def start(cls, **options: Unpack[EmbeddedMongoOptions]) -> Self:
        """Start one and return it running; `stop` it, or let it go with the process. Blocks.

        Args:
            **options: As for the class.

        Raises:
            MongodNotFoundError: If there is no MongoDB to connect to and no ``mongod`` to start.
            MongodStartError: If a private server did not come up.
            InvalidMongoUriError: If ``MONGODB_URI`` cannot be read.
            MongoUnreachableError: If no usable server answers at ``MONGODB_URI``.
            UnsupportedDeploymentError: If ``MONGODB_URI`` leads to a standalone.
        """
        return cls(**options).__enter__()

    @property
    def uri(self) -> str:
        """What a client connects to."""
        return self._running.uri

    @property
    def source(self) -> Literal["MONGODB_URI", "PATH", "wheel"]:
        """Where the server or its program came from."""
        return self._running.source

    @property
    def owned(self) -> bool:
        """Whether this is a private server, which ends with us."""
        return isinstance(self._running, PrivateMongod)

    @property
    def pid(self) -> int | None:
        """The process id of a private server."""
        match self._running:
            case PrivateMongod(pid=pid):
                return pid
            case _:
                return None

    @property
    def data_dir(self) -> Path | None:
        """The temporary directory of a private server: its database and its ``mongod.log``."""
        match self._running:
            case PrivateMongod(data_dir=data_dir):
                return data_dir
            case _:
                return None

    def stop(self) -> None:
        """Stop a private server and remove its data; a server that is not ours is left alone. Blocks.

        Idempotent. When it returns the process is gone and so is the directory.
        """
        server, self._server = self._server, None
        if isinstance(server, PrivateMongod):
            server.stop()

    def __enter__(self) -> Self:
        if self._server is None:
            self._server = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._abandoned.clear()
        starting = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._abandoned.set()
            with contextlib.suppress(MediciError):
                await starting
            await asyncio.to_thread(self.stop)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.stop))

    def __repr__(self) -> str:
        match self._server:
            case None:
                return "<EmbeddedMongo not running>"
            case PrivateMongod(uri=uri, source=source, pid=pid):
                return f"<EmbeddedMongo {uri} from {source}, pid {pid}>"
            case _ExternalMongo():
                return "<EmbeddedMongo at MONGODB_URI>"

    @property
    def _running(self) -> _ExternalMongo | PrivateMongod:
        if self._server is None:
            raise MediciError("this EmbeddedMongo is not running: enter it with 'with' or 'async with' first")
        return self._server

    def _start(self) -> _ExternalMongo | PrivateMongod:
        uri = self._environment.get("MONGODB_URI", "").strip()
        if uri:
            check_deployment(uri)
            return _ExternalMongo(uri)
        return start_private_mongod(find_mongod(self._environment), self._settings, self._abandoned)


@dataclass(frozen=True)
class _ExternalMongo:
    uri: str
    source: Literal["MONGODB_URI"] = "MONGODB_URI"


def main() -> int:
    """Start one, print its URI, keep it until ``SIGINT``, ``SIGTERM`` or ``SIGHUP``.

    Returns:
        The exit status: 0, or 1 with one line on standard error if there is no MongoDB to be had.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with EmbeddedMongo() as mongo:
            print(mongo.uri, flush=True)  # noqa: T201 - the command's answer
            threading.Event().wait()
    except MediciError as exc:
        print(f"medici_py.embedded: {exc}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
