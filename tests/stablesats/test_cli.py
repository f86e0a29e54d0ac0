"""The commands' small print: versions, help, bad settings. What they do is in tests/system."""

import asyncio

import pytest
from typer.testing import CliRunner, Result

from stablesats.cli import app


async def run(*arguments: str, **environment: str) -> Result:
    """Run a command in a thread of its own: it brings its own event loop, and signal handlers need the main one."""
    runner = CliRunner(env={"MONGODB_URI": "", **environment})
    return await asyncio.to_thread(runner.invoke, app, list(arguments))


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
