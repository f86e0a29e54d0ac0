"""The command, as a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import Result
from typer.testing import CliRunner

from exporters.cli import app

DEADLINE_SECS = 60
USAGE = 2


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "exporters", *arguments]


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without the variables the command reads, plus *extra*; plain text output."""
    ignored = {"MONGODB_URI", "STABLESATS_STOP_ON_STDIN_EOF", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    return {**kept, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", **extra}


def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, which is expected to come by itself."""
    return subprocess.run(
        command(*arguments),
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECS,
        check=False,
    )


def usage(*arguments: str) -> Result:
    """What the command answers by its arguments alone, without a process: it does not come to do anything."""
    kept = {"MONGODB_URI": None, "FORCE_COLOR": None, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    return CliRunner().invoke(app, arguments, prog_name="stablesats-exporter", env=kept)


@contextmanager
def started(*arguments: str, **extra: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command and give it with its URL, once it printed that."""
    process = subprocess.Popen(
        command(*arguments),
        env=environment(**extra),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            announced = re.fullmatch(r"exporter: (http://\S+)\n", line)
            if announced is None:
                process.kill()
                pytest.fail(f"no URL but {line!r}, {process.communicate()}")
            yield process, announced[1]
        finally:
            process.kill()


def wait_until_ready(url: str) -> None:
    """Poll ``/readyz`` until it answers 200; fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=DEADLINE_SECS):
                return
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.02)
    pytest.fail("the exporter did not become ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_running_exporter_cleanly(mongodb, number: signal.Signals) -> None:
    """It prints one line on standard output, serves, and leaves with 0 and without another word."""
    with started("--mongodb-uri", mongodb.uri, "--database", "exporter_cli", "--port", "0") as (process, url):
        wait_until_ready(url)
        process.send_signal(number)
        assert process.wait(DEADLINE_SECS) == 0
        assert process.communicate() == ("", "")


def test_end_of_standard_input_ends_it_when_asked_for(mongodb) -> None:
    """A parent that dies takes its exporter along."""
    arguments = ("--database", "exporter_cli", "--port", "0")
    with started(*arguments, MONGODB_URI=mongodb.uri, STABLESATS_STOP_ON_STDIN_EOF="1") as (process, url):
        wait_until_ready(url)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_SECS) == 0


def test_listening_beyond_loopback_is_warned_about_in_json(mongodb) -> None:
    """Log lines go to standard error, in the format asked for."""
    arguments = ("--mongodb-uri", mongodb.uri, "--host", "0.0.0.0", "--port", "0", "--log-format", "json")
    with started(*arguments) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE_SECS)
    assert re.match(r'\{.*"event": "exporter\.exposed".*"level": "warning"', errors)


def test_occupied_port_is_one_line_and_exit_code_1(mongodb) -> None:
    """The line names the address and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--mongodb-uri", mongodb.uri, "--port", port)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: cannot listen on 127\.0\.0\.1 port {port}: .*; choose another --port .*\n", ended.stderr
    )


def test_standalone_mongod_is_one_line_and_exit_code_1(standalone_uri: str) -> None:
    """A standalone has no change streams; the line says so."""
    ended = run("--mongodb-uri", standalone_uri, "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"error: .*standalone.*\n", ended.stderr)


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("mongodb://dealer:secret@127.0.0.1:1/?replicaSet=rs0", r"error: cannot use MongoDB at .*\n"),
        ("http://127.0.0.1:27017/", r"error: not a MongoDB URI: .*\n"),
        ("mongodb://dealer:secret@127.0.0.1:port/", r"error: not a MongoDB URI: .*\n"),
        ("", r"error: not a MongoDB URI: .*\n"),
    ],
)
def test_uri_that_leads_nowhere_is_one_line_and_exit_code_1(uri: str, line: str) -> None:
    """Unreachable or malformed: said in one line, without the password."""
    ended = run("--mongodb-uri", uri, "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(line, ended.stderr)
    assert "secret" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--mongodb-uri"),
        (("--mongodb-uri", "mongodb://127.0.0.1/", "--port", "65536"), "--port"),
        (("--mongodb-uri", "mongodb://127.0.0.1/", "--port", "http"), "--port"),
        (("--mongodb-uri", "mongodb://127.0.0.1/", "--log-format", "xml"), "--log-format"),
        (("--verbose",), "--verbose"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_the_option(arguments: tuple[str, ...], named: str) -> None:
    """What cannot be meant is refused before anything is touched."""
    ended = usage(*arguments)
    assert (ended.exit_code, ended.stdout) == (USAGE, "")
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_names_every_option() -> None:
    """The help is complete and says where the password belongs."""
    ended = usage("--help")
    assert ended.exit_code == 0
    for option in ("--mongodb-uri", "--database", "--host", "--port", "--log-format", "MONGODB_URI"):
        assert option in ended.stdout
