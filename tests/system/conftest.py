"""Whole commands as processes, the way an operator runs them."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# What a campaign checks stands beside its test, and is to say as much when it fails.
pytest.register_assert_rewrite("tests.system.ledger_campaign")

DEADLINE_SECS = 90


@dataclass
class Command:
    """A running ``stablesats`` command; collects what it prints."""

    process: asyncio.subprocess.Process
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def wait(self) -> int:
        """Wait for its end and for the last of its output."""
        code = await asyncio.wait_for(self.process.wait(), DEADLINE_SECS)
        await asyncio.gather(*self.readers)
        return code

    async def line(self, containing: str, *, occurrence: int = 1) -> str:
        """Wait for a line, on either stream, that contains a text; for the n-th one if asked."""

        def found() -> str | None:
            lines = [line for line in [*self.out, *self.err] if containing in line]
            return lines[occurrence - 1] if len(lines) >= occurrence else None

        await wait_until(lambda: found() is not None or self.process.returncode is not None)
        line = found()
        assert line is not None, f"no line with {containing!r} before the end:\n" + "\n".join(
            self.out + self.err
        )
        return line

    def pid_of(self, part: str) -> int:
        """The pid of the newest process of a part, as the demo reports it."""
        started = [line for line in [*self.out, *self.err] if line.startswith(f"{part} started (pid ")]
        return int(started[-1].rsplit(" ", 1)[1].rstrip(")"))


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], within_secs: float = DEADLINE_SECS
) -> None:
    """Wait until a condition holds, and fail if it does not in time."""
    deadline = time.monotonic() + within_secs
    while True:
        holds = condition()
        if isinstance(holds, Awaitable):
            holds = await holds
        if holds:
            return
        assert time.monotonic() < deadline, "the condition did not come to hold in time"
        await asyncio.sleep(0.05)


class Processes:
    """The processes of this machine."""

    def exists(self, pid: int) -> bool:
        """Whether a process lives (a zombie does not count)."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def mentioning(self, text: str) -> list[int]:
        """Pids of living processes whose command line contains a text."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if text in (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(int(folder.name))
        return [pid for pid in found if pid != os.getpid() and self.exists(pid)]


@pytest.fixture
def processes() -> Processes:
    """Look at the processes of this machine."""
    return Processes()


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Wait for a condition, with a deadline."""
    return wait_until


@pytest.fixture
async def stablesats(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Command]]]:
    """Start commands that keep their temporary files in the test's folder; kill what still runs at the end."""
    commands: list[Command] = []

    async def start(
        *arguments: str, program: tuple[str, ...] = ("-m", "stablesats"), **environment: str
    ) -> Command:
        inherited = {key: value for key, value in os.environ.items() if key != "MONGODB_URI"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**inherited, "TMPDIR": str(tmp_path), **environment},
            start_new_session=True,
        )  # fmt: skip
        command = Command(process)

        async def read(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
            assert stream is not None
            while line := await stream.readline():
                lines.append(line.decode(errors="replace").rstrip("\n"))

        command.readers = [
            asyncio.create_task(read(process.stdout, command.out)),
            asyncio.create_task(read(process.stderr, command.err)),
        ]
        commands.append(command)
        return command

    yield start
    for command in commands:
        if command.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(command.process.pid, signal.SIGKILL)
        await command.wait()
