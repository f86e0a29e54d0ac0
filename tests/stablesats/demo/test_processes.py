"""Parts as child processes: ready, dying, dying too often, never left behind."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from stablesats.demo.processes import Child, ChildSpec, PartFailedError

READY_THEN_WAIT = "import sys; print('part: ready at', 7, flush=True); sys.stdin.read()"
SILENT_END = "import sys; print('boom', file=sys.stderr); sys.exit(3)"
DEADLINE_SECS = 60
T = TypeVar("T")


def part(code: str, *, restart: bool = True) -> tuple[Child, list[str]]:
    said: list[str] = []
    spec = ChildSpec(name="part", arguments=["-c", code], ready_prefix="part:", restart=restart)
    return Child(spec, report=said.append), said


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def in_time(work: Awaitable[T]) -> T:
    return await asyncio.wait_for(work, DEADLINE_SECS)


def pid_in(line: str) -> int:
    return int(line.rsplit(" ", 1)[1].rstrip(")"))


async def test_start_waits_for_the_ready_line_and_hands_out_its_text() -> None:
    """What follows the prefix is the answer, for example a URL."""
    child, said = part(READY_THEN_WAIT)
    assert await child.start() == "ready at 7"
    assert said == [f"part started (pid {pid_in(said[0])})"]
    await child.stop()


async def test_a_part_that_ends_instead_of_getting_ready_is_named_with_its_last_words() -> None:
    """The reason stands in the error, not in a log nobody sees."""
    child, _ = part(SILENT_END)
    with pytest.raises(PartFailedError, match="the part did not start: boom"):
        await child.start()


async def test_a_part_that_dies_is_started_again() -> None:
    """And counted."""
    child, said = part(READY_THEN_WAIT)
    await child.start()
    supervision = asyncio.create_task(child.supervise())
    os.kill(pid_in(said[0]), signal.SIGKILL)
    await until(lambda: child.starts == 2 and said[-1].startswith("part started"))
    assert said[1] == "the part ended with exit code -9; starting it again"
    await child.stop()
    await in_time(supervision)


async def test_a_part_that_must_not_be_restarted_ends_the_supervision() -> None:
    """The exchange's state dies with it."""
    child, said = part(READY_THEN_WAIT, restart=False)
    await child.start()
    os.kill(pid_in(said[0]), signal.SIGKILL)
    with pytest.raises(PartFailedError, match="ended with exit code -9"):
        await in_time(child.supervise())


async def test_a_part_that_keeps_dying_ends_the_supervision() -> None:
    """Five restarts are enough to know."""
    child, _ = part("print('part: on', flush=True)")
    await child.start()
    with pytest.raises(PartFailedError, match="ended with exit code 0"):
        await in_time(child.supervise())
    assert child.starts == 6


async def test_last_words_reach_past_blank_lines() -> None:
    """Chained tracebacks have them, and what matters comes last."""
    child, _ = part("import sys; print('first\\n\\nlast', file=sys.stderr); sys.exit(1)")
    with pytest.raises(PartFailedError, match=r"first \| last"):
        await child.start()


async def test_a_part_that_talks_a_lot_is_not_blocked_by_its_pipe() -> None:
    """A megabyte in one line, twice, on both streams: read and forgotten."""
    flood = "import sys; [print('x' * 2**20, file=f, flush=True) for f in (sys.stderr, sys.stdout)]"
    child, _ = part(f"{flood}; print('part: on', flush=True); {flood}; sys.stdin.read()")
    assert await in_time(child.start()) == "on"
    await child.stop()


async def test_the_operators_own_settings_are_not_handed_to_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks at the end count on the settings that the demo gives."""
    monkeypatch.setenv("STABLESATS_HEDGING__LOW_BOUND_RATIO_SHORTING", "2")
    child, _ = part(
        "import os, sys; print('part:', [k for k in os.environ if 'RATIO' in k], flush=True); sys.stdin.read()"
    )
    assert await child.start() == "[]"
    await child.stop()


async def test_stop_kills_what_ignores_the_polite_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM first, SIGKILL when that does not help."""
    monkeypatch.setattr("stablesats.demo.processes._STOP_WITHIN_SECS", 0.2)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('part: x', flush=True); time.sleep(600)"
    child, said = part(stubborn)
    await child.start()
    await in_time(child.stop())
    with pytest.raises(ProcessLookupError):
        os.kill(pid_in(said[0]), 0)
