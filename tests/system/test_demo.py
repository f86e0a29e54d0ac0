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
from typer.testing import CliRunner

from medici_py.embedded import EmbeddedMongo
from stablesats.cli import app

Start = Callable[..., Awaitable[Any]]

WITHOUT_WHEEL = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "fiftyone" else find_spec(name, *rest)
from stablesats.cli import main
main()
"""

PROGRESS = "journals/s"  # ends every line of figures, one every three seconds
FAST = ("--days", "1", "--speed", "7200", "--payments", "500")  # the day in twelve seconds
STARTED = "hedging engine started (pid "


def summary_of(command: Any) -> dict[str, Any]:
    """The JSON that the demo printed, which must be all of its standard output."""
    read: dict[str, Any] = json.loads("\n".join(command.out))
    return read


@pytest.mark.parametrize(
    ("arguments", "trades", "orders"),
    [
        pytest.param(("--speed", "17280", "--payments", "400"), 390, 1, id="few payments"),
        pytest.param(("--speed", "8640"), 6_000, 3, id="all payments", marks=pytest.mark.slow),
    ],
)
async def test_a_day_is_replayed_to_a_balanced_and_hedged_end(
    stablesats: Start, tmp_path: Path, arguments: tuple[str, ...], trades: int, orders: int
) -> None:
    """Every check holds, the exit code is 0, and neither a process nor a file is left."""
    command = await stablesats("demo", *arguments, "--json")
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
    assert figures["every trade booked once"]["trades_fed"] >= trades
    assert figures["every order intended and sent once"]["orders"] > orders
    assert os.listdir(tmp_path) == []


async def test_parts_killed_in_the_middle_come_back_and_converge_without_a_double_order(
    stablesats: Start,
) -> None:
    """``kill -9`` of the engine twice and of the exporter: no order was sent twice, and all figures agree.

    The exporter's successor reads a fresh snapshot. Hedging settings of the shell are not the demo's.
    """
    command = await stablesats("demo", *FAST, "--json", STABLESATS_HEDGING__LOW_BOUND_RATIO_SHORTING="2")
    await command.line(PROGRESS, occurrence=1)
    os.kill(command.pid_of("exporter"), signal.SIGKILL)
    for kill in (1, 2):
        await command.line(PROGRESS, occurrence=kill + 1)
        await command.line(STARTED, occurrence=kill)
        os.kill(command.pid_of("hedging engine"), signal.SIGKILL)
    assert await command.wait() == 0, "\n".join(command.err)
    summary = summary_of(command)
    assert summary["engine_starts"] == 3
    assert all(check["ok"] for check in summary["checks"])
    orders = next(check for check in summary["checks"] if check["name"].startswith("every order"))
    assert orders["repeated"] == []
    assert orders["unknown"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_demo_says_so_in_one_line_and_leaves_nothing(
    stablesats: Start, processes: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C in the middle: one line, exit code 130, no orphan process, no leftover data."""
    command = await stablesats("demo", *FAST)
    await command.line(PROGRESS)
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
    await command.line(PROGRESS)
    children = [command.pid_of(part) for part in ("hedging engine", "OKX simulator", "exporter")]
    command.process.kill()
    await command.wait()
    await eventually(lambda: not any(processes.exists(pid) for pid in children))
    await eventually(lambda: not processes.mentioning(str(tmp_path)))
    await eventually(lambda: os.listdir(tmp_path) == [])


async def test_serving_demo_can_be_scraped_until_it_is_stopped(stablesats: Start) -> None:
    """``--serve`` keeps the exporter up after the summary; Ctrl-C then ends with the checks' exit code."""
    command = await stablesats("demo", "--speed", "43200", "--payments", "100", "--serve")
    serving = await command.line("still serving")
    url = serving.split()[2].rstrip(";")
    body = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read().decode())
    assert "stablesats_liabilities_cents " in body
    command.process.send_signal(signal.SIGINT)
    assert await command.wait() == 0


async def test_a_given_replica_set_is_used_and_left_as_it_was(
    stablesats: Start, mongodb: EmbeddedMongo
) -> None:
    """``--mongodb-uri``: the demo works in a database of its own, not in the URI's, and drops it."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        before = set(await client.list_database_names())
        uri = mongodb.uri.replace("/?", "/stablesats_demo_in_uri?")
        command = await stablesats(
            "demo", "--speed", "43200", "--payments", "100", "--json", "--mongodb-uri", uri
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
def test_bad_flags_are_usage_errors(arguments: tuple[str, ...]) -> None:
    """Exit code 2, as for every command-line tool, and nothing was started."""
    result = CliRunner().invoke(app, ("demo", *arguments), prog_name="stablesats")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert any(word in result.stderr for word in ("Error", "Invalid", "No such option"))
