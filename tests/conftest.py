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
from hypothesis import settings
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
    settings.register_profile("quick", max_examples=QUICK_EXAMPLES)
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


def _acknowledge_unjournaled(mongo: EmbeddedMongo) -> None:
    """Let the majority acknowledge before its journal is flushed: no test outlives these servers.

    What has to survive the death of a server is tested on servers that are set up as everybody's are.
    """
    if not mongo.owned:
        return
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        configuration = client.admin.command("replSetGetConfig")["config"]
        configuration["version"] += 1
        configuration["writeConcernMajorityJournalDefault"] = False
        client.admin.command("replSetReconfig", configuration)
        # The server has no snapshot to read again until something was written under the new settings.
        client.admin.command("appendOplogNote", data={}, writeConcern={"w": "majority"})


@pytest.fixture(scope="session")
def mongodb() -> Iterator[EmbeddedMongo]:
    """A MongoDB with transactions and change streams, one for the whole run."""
    with EmbeddedMongo(cache_size_gb=CACHE_GB) as mongo:
        _acknowledge_unjournaled(mongo)
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
        _acknowledge_unjournaled(mongo)
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
