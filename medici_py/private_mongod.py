"""One private ``mongod``: started through its guardian, watched until it is primary, ended with us."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pymongo import MongoClient
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

from medici_py import mongod_guardian
from medici_py.errors import MediciError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from medici_py.mongod_binary import MongodBinary

_POLL_SECS: Final = 0.02
_START_ATTEMPTS: Final = 5
_LAST_REPORT_SECS: Final = 2.0
_GUARDIAN_STOP_SECS: Final = 20.0  # longer than the guardian grants mongod
_EXIT_PORT_IN_USE: Final = 48  # Source: mongo/util/exit_code.h, EXIT_NET_ERROR
_LOG_LINES: Final = 20


class MongodStartError(MediciError):
    """A private ``mongod`` did not come up.

    Attributes:
        log_tail: The last lines that mongod wrote, oldest first.
    """

    def __init__(self, message: str, log_tail: tuple[str, ...] = ()) -> None:
        last_words = "; ".join(_said(line) for line in log_tail[-3:])
        super().__init__(f"{message}; mongod's last words: {last_words}" if last_words else message)
        self.log_tail = log_tail


# A suite drops thousands of collections; their files stay open for ten minutes, by default, and a server that
# comes to its limit of open files stops.
_CLOSE_IDLE_FILES = "file_manager=(close_idle_time=10,close_scan_interval=2,close_handle_minimum=250)"


class _PortTakenError(Exception):
    """Somebody bound the port between our looking for it and mongod's using it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodSettings:
    """How a private ``mongod`` runs.

    Attributes:
        cache_size_gb: WiredTiger's cache.
        oplog_size_mb: How much history for change streams is kept.
        start_timeout_secs: How long it may take to become primary.
        set_parameters: Values for ``--setParameter``.
        replica_set: The set's name; unique, so that the server which answers is known to be ours.
    """

    cache_size_gb: float
    oplog_size_mb: int
    start_timeout_secs: float
    set_parameters: Mapping[str, str | int | bool]
    replica_set: str = field(default_factory=lambda: f"medici-{secrets.token_hex(4)}")

    def arguments(self, port: int) -> list[str]:
        """Return mongod's command line, without the data directory, which its guardian adds."""
        parameters: dict[str, str | int | bool] = {
            "diagnosticDataCollectionEnabled": False,
            "shutdownTimeoutMillisForSignaledShutdown": 100,  # there is nobody to hand over to
            **self.set_parameters,
        }
        arguments = ["--replSet", self.replica_set, "--bind_ip", "127.0.0.1", "--port", str(port)]
        arguments += ["--nounixsocket", "--quiet", "--oplogSize", str(self.oplog_size_mb)]
        arguments += ["--wiredTigerCacheSizeGB", str(self.cache_size_gb)]
        arguments += ["--wiredTigerEngineConfigString", _CLOSE_IDLE_FILES]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ["--setParameter", f"{name}={text}"]
        return arguments


class PrivateMongod:
    """A running primary and the guardian that ends it: when told to, or with this process.

    Attributes:
        uri: What a client connects to.
        source: Where the program was found.
        pid: mongod's process id.
        data_dir: The temporary directory that holds its data and its log.
    """

    def __init__(
        self,
        uri: str,
        source: Literal["PATH", "wheel"],
        pid: int,
        data_dir: Path,
        guardian: subprocess.Popen[bytes],
    ) -> None:
        self.uri = uri
        self.source: Final = source
        self.pid = pid
        self.data_dir = data_dir
        # Runs at most once: when told, when this is garbage, or when the interpreter exits.
        self._end = weakref.finalize(self, _end_guardian, guardian, os.getpid())

    def stop(self) -> None:
        """End mongod and remove its data. Idempotent; blocks until both are gone."""
        self._end()


def start_private_mongod(
    binary: MongodBinary, settings: MongodSettings, abandoned: threading.Event
) -> PrivateMongod:
    """Start *binary* as a replica set of one node and wait until it accepts writes. Blocks.

    Args:
        binary: The program.
        settings: How to run it.
        abandoned: Ends the start early, from another thread, once set.

    Raises:
        MongodStartError: If it ended, was not ready in time or *abandoned* was set. Nothing is left behind.
    """
    deadline = time.monotonic() + settings.start_timeout_secs
    for _ in range(_START_ATTEMPTS):
        with contextlib.suppress(_PortTakenError):
            return _start_on(_free_port(), binary, settings, deadline, abandoned)
    raise MongodStartError(f"{_START_ATTEMPTS} free ports in turn were taken before {binary.path} bound them")


def _start_on(
    port: int, binary: MongodBinary, settings: MongodSettings, deadline: float, abandoned: threading.Event
) -> PrivateMongod:
    guardian = _start_guardian(binary, settings.arguments(port))
    try:
        start = _Start(guardian, port, settings.replica_set, deadline, abandoned)
        pid, data_dir = start.wait_for_process()
        start.wait_for_primary()
    except BaseException:
        _end_guardian(guardian, os.getpid())
        raise
    uri = f"mongodb://127.0.0.1:{port}/?replicaSet={settings.replica_set}"
    return PrivateMongod(uri, binary.source, pid, data_dir, guardian)


class _Start:
    """One attempt to bring a private server up."""

    def __init__(
        self,
        guardian: subprocess.Popen[bytes],
        port: int,
        replica_set: str,
        deadline: float,
        abandoned: threading.Event,
    ) -> None:
        self._reports = _Reports(guardian)
        self._port = port
        self._replica_set = replica_set
        self._deadline = deadline
        self._abandoned = abandoned
        self._data_dir: Path | None = None

    def wait_for_process(self) -> tuple[int, Path]:
        """Wait until the guardian has started mongod; return its process id and directory."""
        while (report := self._reports.next()) is None:
            self._pause()
        self._data_dir = Path(report["data_dir"])
        return int(report["pid"]), self._data_dir

    def wait_for_primary(self) -> None:
        """Initiate the replica set and wait until its only member accepts writes."""
        while not self._accepts_connections():
            self._pause_while_it_runs()
        try:
            while not self._initiated():
                self._pause_while_it_runs()
        except PyMongoError as exc:
            # Another server may have answered on a port that ours could not bind: then ours is about to exit.
            patience = time.monotonic() + _LAST_REPORT_SECS
            while time.monotonic() < patience:
                self._pause_while_it_runs()
            raise MongodStartError(f"mongod on port {self._port} failed: {exc}", self._log_tail()) from exc

    def _accepts_connections(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1.0):
            return True
        return False

    def _initiated(self) -> bool:
        """Initiate the replica set; False if what listens on the port does not speak (yet)."""
        members = [{"_id": 0, "host": f"127.0.0.1:{self._port}"}]
        with MongoClient[dict[str, Any]](
            "127.0.0.1", self._port, directConnection=True, serverSelectionTimeoutMS=1_000
        ) as client:
            try:
                client.admin.command("hello")
            except ServerSelectionTimeoutError:
                return False
            client.admin.command("replSetInitiate", {"_id": self._replica_set, "members": members})
            while not client.admin.command("hello").get("isWritablePrimary", False):
                self._pause_while_it_runs()
        return True

    def _pause_while_it_runs(self) -> None:
        report = self._reports.next()
        if report is None:
            self._pause()
        elif report["exit_code"] == _EXIT_PORT_IN_USE:
            raise _PortTakenError
        else:
            raise MongodStartError(f"mongod ended with status {report['exit_code']}", self._log_tail())

    def _pause(self) -> None:
        if self._abandoned.wait(_POLL_SECS):
            raise MongodStartError("the start of mongod was cancelled")
        if time.monotonic() > self._deadline:
            raise MongodStartError("mongod was not ready in time", self._log_tail())

    def _log_tail(self) -> tuple[str, ...]:
        if self._data_dir is None:
            return ()
        with contextlib.suppress(OSError):
            log = self._data_dir / mongod_guardian.LOG_FILE_NAME
            return tuple(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        return ()


class _Reports:
    """What a guardian says on its standard output, read without waiting."""

    def __init__(self, guardian: subprocess.Popen[bytes]) -> None:
        if guardian.stdout is None:
            raise AssertionError("a guardian is started with a pipe")
        self._descriptor = guardian.stdout.fileno()
        self._unread = b""
        os.set_blocking(self._descriptor, False)

    def next(self) -> dict[str, Any] | None:
        """Return the next report, or None if there is none yet.

        Raises:
            MongodStartError: If the guardian reports that it failed, or ended without a word.
        """
        with contextlib.suppress(BlockingIOError):
            received = os.read(self._descriptor, 65_536)
            if not received and not self._unread:
                raise MongodStartError("the process that looks after mongod ended without a word")
            self._unread += received
        line, newline, rest = self._unread.partition(b"\n")
        if not newline:
            return None
        self._unread = rest
        report: dict[str, Any] = json.loads(line)
        if "error" in report:
            raise MongodStartError(str(report["error"]))
        return report


def _start_guardian(binary: MongodBinary, arguments: list[str]) -> subprocess.Popen[bytes]:
    request = {
        "parent_pid": os.getpid(),
        "mongod": str(binary.path),
        "copy": not binary.executable,
        "temp_root": tempfile.gettempdir(),
        "arguments": arguments,
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter and file
        [sys.executable, "-I", "-S", mongod_guardian.__file__, json.dumps(request)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C and a closed terminal are the parent's business
    )


def _end_guardian(guardian: subprocess.Popen[bytes], owner_pid: int) -> None:
    """Make *guardian* clean up, and wait for it; in a forked child only let go of it."""
    for pipe in (guardian.stdin, guardian.stdout):
        if pipe is not None:
            pipe.close()
    if os.getpid() != owner_pid:
        guardian.returncode = 0  # not our child: nothing to wait for
        return
    guardian.terminate()  # a forked child may hold the pipe open
    try:
        guardian.wait(_GUARDIAN_STOP_SECS)
    except subprocess.TimeoutExpired:
        guardian.kill()  # the kernel ends mongod with it, the next guardian removes the directory
        guardian.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _said(log_line: str) -> str:
    """Return what a line of mongod's structured log says, or the line if it is plain text."""
    try:
        entry = json.loads(log_line)
        return f"{entry['msg']} {entry.get('attr', {}).get('error', '')}".strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return log_line.strip()
