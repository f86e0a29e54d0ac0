"""The commands' small print: versions, help, bad settings. What they do is in tests/system."""

import asyncio
import json
import os
import signal
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from click.testing import Result
from typer.testing import CliRunner

from stablesats.cli import app
from stablesats.okx_simulator import BitcoinNetwork


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    output: str
    stderr: str


async def run(*arguments: str, **environment: str) -> Ended:
    """Run a command as a process: it sets up logging and signal handlers, which are a process's own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stablesats", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def answer(*arguments: str) -> Result:
    """What a command answers by its arguments alone, without a process: it does not come to do anything."""
    return CliRunner().invoke(app, arguments, prog_name="stablesats", env={"TERM": "dumb", "COLUMNS": "200"})


async def test_version_names_the_program() -> None:
    """One line."""
    result = await run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("stablesats ")


@pytest.mark.parametrize(
    "command",
    [
        ("demo",),
        ("run", "engine"),
        ("run", "ledger"),
        ("okx-simulator",),
        ("okx",),
        ("balances",),
        ("run",),
        (),
    ],
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """``--help`` works everywhere."""
    result = answer(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("run", "engine", "--config", "/nonexistent.yml"), {}, "/nonexistent.yml"),
        (("run", "engine"), {"STABLESATS_HEDGING__POLL_INTERVAL_SECS": "soon"}, "hedging.poll_interval_secs"),
        (("run", "ledger", "--trades", "/nonexistent"), {}, "/nonexistent"),
        (("run", "ledger", "--once", "--trades", "/dev/null"), {}, "/dev/null"),
        (("okx-simulator", "--replay", "/nonexistent.csv"), {}, "/nonexistent.csv"),
        (("okx-simulator", "--lever", "0"), {}, "lever"),
        (("okx-simulator", "--replay", "/nonexistent.jsonl"), {}, "/nonexistent.jsonl"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    """Exit code 1 and no traceback, before anything is begun."""
    # Logging is a process's own: set up here, it would outlive the test.
    monkeypatch.setattr("stablesats.cli.configure_logging", lambda _: None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = answer(*arguments)
    assert result.exit_code == 1
    assert_one_line(result.stderr, named)


async def test_state_that_cannot_be_read_is_one_line_that_names_it() -> None:
    """As a process, for it is read when the service begins."""
    result = await run("okx-simulator", "--port", "0", "--state", "/dev/null")
    assert result.exit_code == 1
    assert_one_line(result.stderr, "/dev/null")


def assert_one_line(stderr: str, named: str) -> None:
    """An error, and nothing else."""
    assert stderr.count("\n") == 1
    assert stderr.startswith("error: ")
    assert named in stderr


def test_help_names_the_networks_there_are() -> None:
    """They are written out, so that ``--help`` need not wait for the simulator to be imported."""
    assert f"[{'|'.join(BitcoinNetwork)}]" in answer("okx-simulator", "--help").output


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("--price", "cheap", "not a number"), ("--bitcoin-network", "lightning", "none of main, test, regtest")],
)
def test_value_that_is_none_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str, named: str
) -> None:
    """Exit code 2, and the option is named, with what it takes."""
    monkeypatch.setattr("stablesats.cli.configure_logging", lambda _: None)
    result = answer("okx-simulator", option, value)
    assert result.exit_code == 2
    assert option in result.stderr
    assert named in result.stderr


@pytest.mark.parametrize(
    "useless",
    [
        ("--paused",),
        ("--replay-from", "2021-04-18"),
        ("--replay-until", "2021-04-18"),
        ("--replay-speed", "60"),
        ("--replay-venue", "bybit"),
        ("--replay-instrument", "BTCUSD"),
        ("--tls-certificate", "here.pem"),
    ],
)
def test_simulator_refuses_an_option_that_would_do_nothing(useless: tuple[str, ...]) -> None:
    """Exit code 2: without a replay or a TLS port it would be ignored."""
    result = answer("okx-simulator", *useless)
    assert result.exit_code == 2
    assert useless[0] in result.stderr


def test_ledger_needs_trades() -> None:
    """Exit code 2, and the option is named."""
    result = answer("run", "ledger")
    assert result.exit_code == 2
    assert "--trades" in result.stderr


async def test_simulator_serves_both_ports_and_keeps_its_state(tmp_path: Path) -> None:
    """It prints its addresses, writes the certificate that makes the second one work, and goes on next time."""
    state, certificate = tmp_path / "state.json", tmp_path / "simulator.pem"
    options = ("--port", "0", "--tls-port", "0", "--tls-certificate", str(certificate), "--state", str(state),
               "--fill-delay-ms", "5", "--transfer-ms", "5", "--block-ms", "5")  # fmt: skip
    for cash in ("10", "12.5"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stablesats", "okx-simulator", *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            lines = [(await asyncio.wait_for(process.stdout.readline(), 60)).decode() for _ in range(2)]
            plain, secure = (line.removeprefix("okx-simulator: ").strip() for line in lines)
            context = ssl.create_default_context(cafile=str(certificate))
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{plain}/admin/state") as answer:
                    assert (await answer.json())["cash_btc"] == cash
                async with session.get(f"{secure}/api/v5/public/time", ssl=context) as answer:
                    assert (await answer.json())["code"] == "0"
                async with session.post(f"{plain}/admin/deposit", json={"trading_btc": "2.5"}) as answer:
                    assert answer.status == 200
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
    assert json.loads(state.read_text())["account"]["deposited_btc"] == "15.0"
