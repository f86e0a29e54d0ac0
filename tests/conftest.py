"""What every test may use."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from medici_py.embedded import EmbeddedMongo
from medici_py.mongod_binary import find_mongod

pytest_plugins = ["medici_py.testing"]

MEMORY = Path("/dev/shm")  # Linux's file system in memory
MEMORY_BYTES = 4 << 30  # what the files of a run need at most, several times over
QUICK_EXAMPLES = 40
START_WITHIN_SECS = 60
CACHE_GB = 1.0  # in a smaller one a large transaction beside another is rolled back again and again


def pytest_configure(config: pytest.Config) -> None:
    """Make a run quick: temporary files in memory, and no module compiled at every start of a process.

    Databases are files, too: on a disk half of a run is waiting for it. Whoever sets ``TMPDIR`` decides
    otherwise. Where CI is set, or a profile of hypothesis named, properties are tried with more examples.
    """
    # As hypothesis' own profile for CI: on a loaded machine an example may well take more than 200 ms.
    settings.register_profile(
        "quick",
        max_examples=QUICK_EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    if "CI" not in os.environ and not config.getoption("--hypothesis-profile", None):
        settings.load_profile("quick")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "TMPDIR" not in os.environ and _is_roomy(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # read the environment again


def _is_roomy(folder: Path) -> bool:
    """Whether programs may be run from a folder, and there is space."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC and shutil.disk_usage(folder).free >= MEMORY_BYTES


def _close_idle_files(mongo: EmbeddedMongo) -> None:
    """Let a server close what it has not used for some seconds, as it does only after ten minutes.

    It keeps the files of dropped collections for a while, and a run drops so many that it would come to its
    limit of open files, and stop.
    """
    if not mongo.owned:
        return
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        files = "file_manager=(close_idle_time=10,close_scan_interval=2,close_handle_minimum=250)"
        client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=files)


@pytest.fixture(scope="session")
def mongodb() -> Iterator[EmbeddedMongo]:
    """A MongoDB with transactions and change streams, one for the whole run."""
    with EmbeddedMongo(cache_size_gb=CACHE_GB) as mongo:
        _close_idle_files(mongo)
        yield mongo


@pytest.fixture(scope="session")
def failing_mongodb() -> Iterator[EmbeddedMongo]:
    """A private server whose commands can be made to fail (``configureFailPoint``).

    It soon gives up the transactions of clients that are gone: after five seconds, not after a minute.
    """
    # Never the server of MONGODB_URI: others may be using that one.
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(
        cache_size_gb=CACHE_GB,
        environment=environment,
        set_parameters={"enableTestCommands": True, "transactionLifetimeLimitSeconds": 5},
    ) as mongo:
        _close_idle_files(mongo)
        yield mongo


@pytest.fixture(scope="session")
def standalone_uri() -> Iterator[str]:
    """A mongod that is no member of a replica set: without transactions, without change streams."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="standalone-") as folder:
        options = ["--dbpath", folder, "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([str(find_mongod(os.environ).path), *options], **quiet) as server:
            try:
                _wait_for_listener(port)
                yield f"mongodb://127.0.0.1:{port}"
            finally:
                server.kill()


def _wait_for_listener(port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_SECS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    pytest.fail(f"no server listens on port {port}")
