"""Child processes of the demo: started, watched, started again when they die, and never left behind.

Every child keeps a pipe from this process as its standard input and stops when that ends
(`stablesats.lifecycle`), so that nothing survives the demo, not even a ``kill -9`` of it.
"""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stablesats.errors import StablesatsError
from stablesats.lifecycle import STOP_ON_STDIN_EOF

_READY_WITHIN_SECS: Final = 30.0
_STOP_WITHIN_SECS: Final = 10.0
_RESTART_PAUSE_SECS: Final = 0.3
_MOST_RESTARTS: Final = 5
_LAST_LINES: Final = 5
_CHUNK_BYTES: Final = 65_536


class PartFailedError(StablesatsError):
    """A part of the demo did not start or kept dying; carries its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A part of the demo.

    Attributes:
        name: What it is called in messages.
        arguments: After the Python interpreter.
        ready_prefix: The line of its standard output that says it is ready starts with this.
        environment: Added to this process's own.
        restart: Whether it may be started again after it died; else its death ends the demo.
    """

    name: str
    arguments: Sequence[str]
    ready_prefix: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    restart: bool = True


class Child:
    """One child process and its successors."""

    def __init__(self, spec: ChildSpec, *, report: Callable[[str], None]) -> None:
        """Prepare *spec*; *report* takes one line for every start and every death."""
        self._spec = spec
        self._report = report
        self._process: asyncio.subprocess.Process | None = None
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.starts = 0
        self.ready_text = ""

    async def start(self) -> str:
        """Start it and wait until it is ready.

        Returns:
            What its ready line says after the prefix, for example a URL.

        Raises:
            PartFailedError: If it ends or stays silent instead.
        """
        # The operator's own settings of the dealer are not for the demo's parts: its checks count on theirs.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STABLESATS_")}
        environment = {**inherited, **self._spec.environment, STOP_ON_STDIN_EOF: "1"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._spec.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            # A Ctrl-C in the terminal reaches only the demo, which then stops its children.
            start_new_session=True,
        )
        if self._stopping:  # while the process was being made
            await self._end_process()
        self.starts += 1
        self._last_lines.clear()
        stderr = asyncio.create_task(self._keep_last_lines(self._process))
        try:
            self.ready_text = await asyncio.wait_for(self._ready_line(self._process), _READY_WITHIN_SECS)
        except (TimeoutError, PartFailedError) as error:
            await self._end_process()
            await stderr
            msg = f"the {self._spec.name} did not start: {self._last_words() or error}"
            raise PartFailedError(msg) from error
        self._report(f"{self._spec.name} started (pid {self._process.pid})")
        self._tasks = [stderr, asyncio.create_task(self._drain_stdout(self._process))]
        return self.ready_text

    async def supervise(self) -> None:
        """Start it again whenever it dies, until it is stopped.

        Raises:
            PartFailedError: If it may not be started again, or has died too often.
        """
        while True:
            assert self._process is not None
            code = await self._process.wait()
            await asyncio.gather(*self._tasks)
            if self._stopping:
                return
            died = f"the {self._spec.name} ended with exit code {code}"
            if not self._spec.restart or self.starts > _MOST_RESTARTS:
                msg = f"{died}: {self._last_words()}"
                raise PartFailedError(msg)
            self._report(f"{died}; starting it again")
            await asyncio.sleep(_RESTART_PAUSE_SECS)
            await self.start()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL if that does not help in time."""
        self._stopping = True
        await self._end_process()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_WITHIN_SECS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ready_line(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        async for line in _lines(process.stdout):
            if line.startswith(self._spec.ready_prefix):
                return line.removeprefix(self._spec.ready_prefix).strip()
        msg = f"it ended with exit code {await process.wait()}"
        raise PartFailedError(msg)

    async def _drain_stdout(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for _ in _lines(process.stdout):
            pass

    async def _keep_last_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in _lines(process.stderr):
            if line.strip():
                self._last_lines.append(line.strip())

    def _last_words(self) -> str:
        return " | ".join(self._last_lines)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of *stream* until it ends, of any length: a pipe that is not read blocks its writer."""
    rest = b""
    while chunk := await stream.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
        rest = rest[-_CHUNK_BYTES:]
    if rest:
        yield rest.decode(errors="replace")
