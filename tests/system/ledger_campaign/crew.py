"""The processes of a campaign: two that book trades, two that follow the books."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pymongo.errors import PyMongoError

WORKER = Path(__file__).with_name("worker.py")
SUBSCRIBERS = AT_LEAST_ONCE, EXACTLY_ONCE = "hedging", "archive"
MEMBERS = ("ledger-1", "ledger-2", *SUBSCRIBERS)
WITHIN_SECS = 60.0


class Command(Protocol):
    """A running process, as the fixture ``stablesats`` starts it."""

    process: asyncio.subprocess.Process
    out: list[str]
    err: list[str]

    async def wait(self) -> int: ...


Start = Callable[..., Awaitable[Command]]
Said = dict[str, Any]


async def within(condition: Callable[[], Awaitable[bool]], what: str, secs: float = WITHIN_SECS) -> None:
    """Wait until *condition* holds; the server may be away meanwhile."""
    deadline = time.monotonic() + secs
    while True:
        with suppress(PyMongoError):
            if await condition():
                return
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Member:
    """A process of the campaign; a subscriber has a file in which it writes what it saw."""

    name: str
    command: Command
    log: Path

    @property
    def is_at_work(self) -> bool:
        return self.log.exists() or "ledger: ready" in self.command.out

    def send(self, number: signal.Signals) -> None:
        self.command.process.send_signal(number)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        await self.command.wait()


class Crew:
    """The processes; one that is killed is started again at once."""

    def __init__(self, start: Start, uri: str, database: str, files: Path, logs: Path) -> None:
        self._start_command = start
        self._uri = uri
        self._database = database
        self._files = files
        self._logs = logs
        self._members: dict[str, Member] = {}
        self._started = 0

    async def start(self, name: str) -> None:
        self._started += 1
        log = self._logs / f"{name}-{self._started:04}.log"
        if name.startswith("ledger"):
            command = await self._start_command(
                "run", "ledger", "--trades", str(self._files), "--mongodb-uri", self._uri,
                "--database", self._database,
            )  # fmt: skip
        else:
            command = await self._start_command(
                self._uri, self._database, str(log), name, program=(str(WORKER),)
            )
        self._members[name] = Member(name, command, log)

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    async def is_at_work(self, name: str) -> bool:
        await self.revive()
        return self[name].is_at_work

    async def revive(self) -> None:
        """Start those again that could not begin while the server was away; nobody else may end."""
        for name, member in list(self._members.items()):
            if member.command.process.returncode is not None:
                await member.command.wait()
                assert "cannot use MongoDB at" in member.command.err[-1], (name, member.command.err)
                await self.start(name)

    async def stop(self) -> None:
        """Tell all to stop, and let them finish what is under way."""
        for name in self._members:
            await within(partial(self.is_at_work, name), f"{name} listens to signals")
        for member in self._members.values():
            member.command.process.terminate()
        for name, member in self._members.items():
            assert await member.command.wait() == 0, (name, member.command.err)

    def last_words(self) -> str:
        """What those who run now have written to their standard error last."""
        return "\n".join(
            f"{name}: {line}" for name, member in self._members.items() for line in member.command.err[-20:]
        )

    def said(self, name: str) -> dict[Path, list[Said]]:
        """What each process of that name has written, without lines that its end cut short."""
        return {
            path: [
                json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")
            ]
            for path in self._logs.glob(f"{name}-*.log")
        }
