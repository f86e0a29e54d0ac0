"""What every test may use."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from medici_py.embedded import EmbeddedMongo
from medici_py.mongod_binary import find_mongod

pytest_plugins = ["medici_py.testing"]

MEMORY = Path("/dev/shm")  # Linux's file system in memory
MEMORY_BYTES = 4 << 30  # what the files of a run need at most, several times over
QUICK_EXAMPLES = 40
START_WITHIN_SECS = 60
PREPARATIONS = frozenset({"bank", "ledger"})  # the fixtures that prepare a database always alike
READERS_OF_THE_PAST = ("change", "durable", "live", "missed", "moving", "subscription")
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
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job, and what it starts, would not heed the Ctrl-C of tests.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_roomy(folder: Path) -> bool:
    """Whether programs may be run from a folder, and there is space."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC and shutil.disk_usage(folder).free >= MEMORY_BYTES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, the longest come first, so that none runs alone at the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path.parent.name != "system")


class Databases:
    """Databases of one server, an empty one for each test; those that were prepared are handed out again.

    To make collections and indexes takes a server longer than most tests do, and to drop them it waits for a
    tenth of a second. What is handed out again has exactly the collections and indexes it was prepared with,
    and no row in them. If anything of it was changed, dropped or made again, another takes its place.
    """

    RESTING = 4
    """So many tests later at the earliest: whatever a test left under way has come to its end."""

    def __init__(self, mongo: EmbeddedMongo) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(mongo.uri)
        self._is_ours = mongo.owned
        self._prepared: dict[str, dict[str, Any]] = {}
        self._resting: defaultdict[frozenset[str], deque[str]] = defaultdict(deque)
        self._dropping = ThreadPoolExecutor(1)

    def take(self, preparation: frozenset[str]) -> str:
        """The name of an empty database, with the collections of its preparation or with none."""
        resting = self._resting[preparation]
        while len(resting) >= self.RESTING:
            name = resting.popleft()
            if self._parts(name) == self._prepared[name]:
                for collection in self._prepared[name]:
                    self._client[name][collection].delete_many({})
                return name
            self._drop(name)
        return f"medici_test_{secrets.token_hex(8)}"

    async def prepare(
        self, database: AsyncDatabase[dict[str, Any]], make: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Make the collections of a database, unless an earlier test had them made."""
        if database.name not in self._prepared:
            await make(database)
            self.note_prepared(database.name)

    def note_prepared(self, name: str) -> None:
        """Remember what a database is made of, to hand it out again if it still is."""
        if self._is_ours and name not in self._prepared:
            self._prepared[name] = self._parts(name)

    def give_back(self, name: str, preparation: frozenset[str]) -> None:
        """The test is over: what cannot be used again is dropped."""
        if preparation and name in self._prepared:
            self._resting[preparation].append(name)
        else:
            self._drop(name)

    def close(self) -> None:
        """Wait for the drop that is under way; the others end with the server."""
        self._dropping.shutdown(cancel_futures=True)
        self._client.close()

    def _drop(self, name: str) -> None:
        """On a server that goes away with the run, nobody waits for it."""
        self._prepared.pop(name, None)
        if self._is_ours:
            self._dropping.submit(self._client.drop_database, name)
        else:
            self._client.drop_database(name)

    def _parts(self, name: str) -> dict[str, Any]:
        """Each collection with its options, its indexes and the names of their files, which are never used twice."""
        catalog = self._client.admin.aggregate([{"$listCatalog": {}}, {"$match": {"db": name}}])
        return {
            row["name"]: (
                row.get("ident"),
                row.get("idxIdent"),
                described.get("options"),
                [index["spec"] for index in described.get("indexes", ())],
            )
            for row in catalog
            for described in (row.get("md", {}),)  # which a view has not
        }


@contextlib.contextmanager
def _databases(mongo: EmbeddedMongo) -> Iterator[Databases]:
    databases = Databases(mongo)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def mongodb() -> Iterator[EmbeddedMongo]:
    """A MongoDB with transactions and change streams, one for the whole run."""
    with EmbeddedMongo(cache_size_gb=CACHE_GB) as mongo:
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
        yield mongo


@pytest.fixture(scope="session")
def databases(mongodb: EmbeddedMongo) -> Iterator[Databases]:
    """The databases of the run's server."""
    with _databases(mongodb) as databases:
        yield databases


@pytest.fixture(scope="session")
def faulty_databases(failing_mongodb: EmbeddedMongo) -> Iterator[Databases]:
    """The databases of the server whose commands can be made to fail."""
    with _databases(failing_mongodb) as databases:
        yield databases


@pytest.fixture
async def mongo_database(
    request: pytest.FixtureRequest, mongodb: EmbeddedMongo, databases: Databases
) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """An empty database for one test, which finds no trace of another one in it.

    Change streams may start in the past, where the last test's rows would be: their tests never get a
    database that was used before.
    """
    preparation = PREPARATIONS.intersection(request.fixturenames)
    if any(word in request.module.__name__ for word in READERS_OF_THE_PAST):
        preparation = frozenset()
    name = databases.take(preparation)
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        yield client[name]
    databases.give_back(name, preparation)


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
