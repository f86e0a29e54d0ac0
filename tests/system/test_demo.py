"""The demo as a newcomer and as an adversary runs it: to the end, killed, interrupted, misused."""

import asyncio
import json
import os
import signal
import socket
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from medici_py.embedded import EmbeddedMongo

Start = Callable[..., Awaitable[Any]]

WITHOUT_WHEEL = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "fiftyone" else find_spec(name, *rest)
from stablesats.cli import main
main()
"""

PROGRESS = "journals/s"  # ends every line of figures, one every three seconds
FAST = ("--days", "1", "--speed", "8640", "--payments", "1500")  # the day in ten seconds


def summary_of(command: Any) -> dict[str, Any]:
    """The JSON that the demo printed, which must be all of its standard output."""
    read: dict[str, Any] = json.loads("\n".join(command.out))
    return read


async def test_a_day_is_replayed_to_a_balanced_and_hedged_end(stablesats: Start, tmp_path: Path) -> None:
    """Every check holds, the exit code is 0, and neither a process nor a file is left."""
    command = await stablesats("demo", "--speed", "8640", "--json")
    assert await command.wait() == 0, "\n".join(command.err)
    summary = summary_of(command)
    assert summary["ok"] is True
    assert {check["name"] for check in summary["checks"]} == {
        "books balanced",
        "every trade booked once",
        "exposure inside the bounds",
        "position mirrored in the ledger",
        "every order intended and sent once",
        "exporter agrees with the ledger",
    }
    figures = {check["name"]: check for check in summary["checks"]}
    assert figures["every trade booked once"]["trades_fed"] > 6_000
    assert figures["every order intended and sent once"]["orders"] > 3
    assert os.listdir(tmp_path) == []


async def test_engine_killed_in_the_middle_comes_back_and_converges_without_a_double_order(
    stablesats: Start,
) -> None:
    """``kill -9`` of the engine twice: the position converges and no order was sent twice."""
    command = await stablesats("demo", *FAST, "--json")
    for frame in (2, 3):
        await command.line(PROGRESS, occurrence=frame)
        os.kill(command.pid_of("hedging engine"), signal.SIGKILL)
    assert await command.wait() == 0, "\n".join(command.err)
    summary = summary_of(command)
    assert summary["engine_starts"] == 3
    assert all(check["ok"] for check in summary["checks"])
    orders = next(check for check in summary["checks"] if check["name"].startswith("every order"))
    assert orders["repeated"] == []
    assert orders["unknown"] == []


async def test_exporter_killed_in_the_middle_serves_again_and_agrees(stablesats: Start) -> None:
    """``kill -9`` of the exporter: its successor reads a fresh snapshot and shows the same figures at the end."""
    command = await stablesats("demo", *FAST, "--json", STABLESATS_HEDGING__LOW_BOUND_RATIO_SHORTING="2")
    await command.line(PROGRESS, occurrence=2)
    os.kill(command.pid_of("exporter"), signal.SIGKILL)
    assert await command.wait() == 0, "\n".join(command.err)
    assert all(check["ok"] for check in summary_of(command)["checks"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_demo_says_so_in_one_line_and_leaves_nothing(
    stablesats: Start, processes: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C in the middle: one line, exit code 130, no orphan process, no leftover data."""
    command = await stablesats("demo", *FAST)
    await command.line(PROGRESS, occurrence=2)
    children = [command.pid_of(part) for part in ("hedging engine", "OKX simulator", "exporter")]
    command.process.send_signal(number)
    assert await command.wait() == 130
    assert command.out[-1] == "interrupted: stopping everything"
    assert command.err == []
    assert not any(processes.exists(pid) for pid in children)
    assert processes.mentioning(str(tmp_path)) == []
    assert os.listdir(tmp_path) == []


async def test_killed_demo_leaves_no_process_and_no_data(
    stablesats: Start, processes: Any, eventually: Any, tmp_path: Path
) -> None:
    """Not even ``kill -9`` of the demo leaves the parts, the database or its files behind."""
    command = await stablesats("demo", *FAST)
    await command.line(PROGRESS, occurrence=2)
    children = [command.pid_of(part) for part in ("hedging engine", "OKX simulator", "exporter")]
    command.process.kill()
    await command.wait()
    await eventually(lambda: not any(processes.exists(pid) for pid in children))
    await eventually(lambda: not processes.mentioning(str(tmp_path)))
    await eventually(lambda: os.listdir(tmp_path) == [])


async def test_serving_demo_can_be_scraped_until_it_is_stopped(stablesats: Start) -> None:
    """``--serve`` keeps the exporter up after the summary; Ctrl-C then ends with the checks' exit code."""
    command = await stablesats("demo", "--speed", "43200", "--payments", "300", "--serve")
    serving = await command.line("still serving")
    url = serving.split()[2].rstrip(";")
    body = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read().decode())
    assert "stablesats_liabilities_cents " in body
    command.process.send_signal(signal.SIGINT)
    assert await command.wait() == 0


async def test_a_given_replica_set_is_used_and_left_as_it_was(
    stablesats: Start, mongodb: EmbeddedMongo
) -> None:
    """``--mongodb-uri``: the demo works in a database of its own and drops it."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        before = set(await client.list_database_names())
        command = await stablesats(
            "demo", "--speed", "43200", "--payments", "300", "--json", "--mongodb-uri", mongodb.uri
        )
        assert await command.wait() == 0, "\n".join(command.err)
        assert (
            not {name for name in await client.list_database_names() if name.startswith("stablesats_demo")}
            - before
        )


def an_occupied_port() -> socket.socket:
    """A listening socket, for a port that is taken."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


async def one_error_line(command: Any) -> str:
    """The only line of standard error of a command that failed."""
    assert await command.wait() == 1
    assert len(command.err) == 1, command.err
    line: str = command.err[0]
    assert line.startswith("error: ")
    return line


async def test_occupied_metrics_port_is_one_line(stablesats: Start) -> None:
    """The part that could not start is named, with its reason."""
    with an_occupied_port() as listener:
        port = listener.getsockname()[1]
        line = await one_error_line(await stablesats("demo", "--metrics-port", str(port)))
    assert "exporter did not start" in line
    assert str(port) in line


async def test_too_many_days_are_one_line(stablesats: Start) -> None:
    """The limit is named."""
    line = await one_error_line(await stablesats("demo", "--days", "1000"))
    assert "22 days" in line


@pytest.mark.parametrize(
    ("uri", "named"),
    [("mongodb://user:hunter2@127.0.0.1:1/", "127.0.0.1:1"), ("nonsense://hunter2", "not a MongoDB URI")],
)
async def test_wrong_uri_is_one_line_without_the_password(stablesats: Start, uri: str, named: str) -> None:
    """Nobody there, or not a URI at all."""
    line = await one_error_line(await stablesats("demo", "--mongodb-uri", uri))
    assert named in line
    assert "hunter2" not in line.replace("nonsense://hunter2", "")


async def test_no_mongod_anywhere_names_the_three_ways(stablesats: Start) -> None:
    """Without MONGODB_URI, mongod on PATH and the wheel, the error says how to get one."""
    command = await stablesats("demo", program=("-c", WITHOUT_WHEEL), PATH="/nonexistent")
    line = await one_error_line(command)
    for way in ("MONGODB_URI", "PATH", "embedded"):
        assert way in line


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--days", "one"), ("--speed", "0"), ("--nonsense",)])
async def test_bad_flags_are_usage_errors(stablesats: Start, arguments: tuple[str, ...]) -> None:
    """Exit code 2, as for every command-line tool, and nothing was started."""
    command = await stablesats("demo", *arguments)
    assert await command.wait() == 2
    assert command.out == []
    assert any("Error" in line or "Invalid" in line or "No such option" in line for line in command.err)
