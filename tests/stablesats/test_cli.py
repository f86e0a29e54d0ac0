"""The commands' small print: versions, help, bad settings. What they do is in tests/system."""

import asyncio
import os
import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    exit_code: int
    output: str
    stderr: str


async def run(*arguments: str, **environment: str) -> Result:
    """Run a command as a process: it sets up logging and signal handlers, which are a process's own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stablesats", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


async def test_version_names_the_program() -> None:
    """One line."""
    result = await run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("stablesats ")


@pytest.mark.parametrize(
    "command", [("demo",), ("run", "engine"), ("okx-simulator",), ("balances",), ("run",), ()]
)
async def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """``--help`` works everywhere."""
    result = await run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("run", "engine", "--config", "/nonexistent.yml"), {}, "/nonexistent.yml"),
        (("run", "engine"), {"STABLESATS_HEDGING__POLL_INTERVAL_SECS": "soon"}, "hedging.poll_interval_secs"),
        (("okx-simulator", "--replay", "/nonexistent.csv"), {}, "/nonexistent.csv"),
        (("okx-simulator", "--lever", "0"), {}, "lever"),
    ],
)
async def test_a_bad_setting_is_one_line_that_names_it(
    arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    """Exit code 1 and no traceback."""
    result = await run(*arguments, **environment)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert named in result.stderr


async def test_a_number_that_is_none_is_a_usage_error() -> None:
    """Exit code 2, and the option is named."""
    result = await run("okx-simulator", "--price", "cheap")
    assert result.exit_code == 2
    assert "--price" in result.stderr
