"""The process that owns a private ``mongod`` and outlives whoever asked for it by a moment.

Run by file path in a session of its own (``python -I -S mongod_guardian.py <json>``), with nothing but
the standard library, it makes the data directory, starts mongod as its child and holds the read end
of a pipe, its standard input. It stops mongod and removes the directory when

* the pipe ends or the parent process is gone, however it went (also by ``SIGKILL``),
* it receives ``SIGTERM``, ``SIGINT`` or ``SIGHUP``.

If the guardian itself is killed the kernel kills mongod (``PR_SET_PDEATHSIG``, Linux), and the next
guardian removes the directory: it is marked as owned by a ``flock`` that both hold, so a directory whose
lock is free belongs to nobody. A directory gets its recognisable name only once it is locked.

It answers on standard output with a JSON document a line: ``{"pid": ..., "data_dir": ...}`` once mongod was
started, ``{"exit_code": ...}`` when mongod ended by itself, ``{"error": ...}`` if it could not be started.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DATA_DIR_PREFIX = "medici-mongod-"
LOG_FILE_NAME = "mongod.log"
_PARENT_CHECK_SECS = (
    0.5  # a forked child of the parent may hold the pipe open, so the pipe alone is not trusted
)
_PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h


def main(request: str) -> int:
    """Start mongod as *request* says, wait for a reason to stop, leave nothing behind.

    Args:
        request: JSON object with ``parent_pid``, ``mongod`` (path), ``copy`` (whether mongod must be
            copied to become executable), ``temp_root`` and ``arguments`` (without ``--dbpath``).

    Returns:
        The exit status: 0, or 1 if mongod could not be started.
    """
    options = json.loads(request)
    wake_fd = _wake_on_signals()
    try:
        data_dir, lock_fd = _make_data_dir(Path(options["temp_root"]))
    except OSError as exc:
        _report({"error": f"cannot make a data directory in {options['temp_root']}: {exc.strerror or exc}"})
        return 1
    try:
        return _run(options, data_dir, lock_fd, wake_fd)
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _run(options: dict[str, object], data_dir: Path, lock_fd: int, wake_fd: int) -> int:
    try:
        mongod = _start_mongod(options, data_dir, lock_fd)
    except (OSError, subprocess.SubprocessError) as exc:
        _report({"error": f"cannot run {options['mongod']}: {exc}"})
        return 1
    try:
        _report({"pid": mongod.pid, "data_dir": str(data_dir)})
        _sweep_abandoned(data_dir.parent)
        _wait_for_reason_to_stop(mongod, wake_fd, options["parent_pid"])
    finally:
        _stop(mongod)
    return 0


def _wake_on_signals() -> int:
    """Turn the signals of interest into readable bytes, so that none interrupts a half-done step."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    return read_fd


def _make_data_dir(temp_root: Path) -> tuple[Path, int]:
    unnamed = Path(tempfile.mkdtemp(prefix=f".{DATA_DIR_PREFIX}", dir=temp_root))
    lock_fd = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    named = temp_root / f"{DATA_DIR_PREFIX}{os.getpid()}-{unnamed.name.rpartition('-')[2]}"
    unnamed.rename(named)
    return named, lock_fd


def _start_mongod(options: dict[str, object], data_dir: Path, lock_fd: int) -> subprocess.Popen[bytes]:
    mongod = Path(str(options["mongod"]))
    if options["copy"]:
        mongod = Path(shutil.copyfile(mongod, data_dir / "mongod"))
        mongod.chmod(0o700)
    database_dir = data_dir / "db"
    database_dir.mkdir()
    arguments = options["arguments"]
    if not isinstance(arguments, list):
        raise TypeError("arguments must be a list")
    with (data_dir / LOG_FILE_NAME).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - the caller names the program
            [str(mongod), "--dbpath", str(database_dir), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock_fd,),
            preexec_fn=_die_with_guardian(),  # noqa: PLW1509 - one thread only
        )


def _die_with_guardian() -> Callable[[], None] | None:
    """Return what the child runs before it becomes mongod, or None where the kernel offers nothing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    guardian_pid = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guardian_pid:  # it died before the tie was made
            os._exit(1)

    return tie


def _wait_for_reason_to_stop(mongod: subprocess.Popen[bytes], wake_fd: int, parent_pid: object) -> None:
    lifeline = sys.stdin.fileno()
    reported = False
    while os.getppid() == parent_pid:
        if not reported and mongod.poll() is not None:
            # The directory stays until the parent lets go: it may want to read the log.
            _report({"exit_code": mongod.returncode})
            reported = True
        readable, _, _ = select.select([lifeline, wake_fd], [], [], _PARENT_CHECK_SECS)
        if lifeline in readable and not os.read(lifeline, 512):
            return
        if wake_fd in readable and set(os.read(wake_fd, 512)) - {signal.SIGCHLD}:
            return


def _stop(mongod: subprocess.Popen[bytes]) -> None:
    mongod.kill()  # Its data goes with it: an orderly shutdown would take a second and save nothing.
    mongod.wait()


def _sweep_abandoned(temp_root: Path) -> None:
    """Remove the data directories of guardians that were killed; those in use are locked."""
    for leftover in temp_root.glob(f"{DATA_DIR_PREFIX}*"):
        with contextlib.suppress(OSError):  # someone else's, or swept by another guardian meanwhile
            _remove_if_abandoned(leftover)


def _remove_if_abandoned(leftover: Path) -> None:
    lock_fd = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock_fd).st_uid != os.getuid():
            return
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(leftover, ignore_errors=True)
    finally:
        os.close(lock_fd)


def _report(document: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: the wait ends at once
        os.write(sys.stdout.fileno(), json.dumps(document).encode() + b"\n")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
