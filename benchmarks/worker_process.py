"""A process that does one side's work, asked by lines of JSON: Node's medici, or a further Python writer.

A request is ``{"operation": ..., "arguments": {...}}`` on its standard input, the answer one line on its
standard output: ``{"result": ...}`` or ``{"error": ...}``. One request at a time.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.load import Load
from benchmarks.rounds import Round

ROOT = Path(__file__).parents[1]
NODE_MEDICI = ROOT / ".tools" / "node-medici"
NODE_WORKER = Path(__file__).with_name("node_worker.mjs")

_LINE_LIMIT_BYTES = 64 * 1024 * 1024
_GOODBYE_SECS = 20.0


class WorkerError(Exception):
    """A worker answered with an error, or ended."""


class WorkerProcess:
    """A running worker; made by `python_worker` and `node_worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Run one operation of the worker and return its answer.

        Raises:
            WorkerError: If the worker failed or is gone.
        """
        self._requests.write(json.dumps({"operation": operation, "arguments": arguments}).encode() + b"\n")
        await self._requests.drain()
        line = await self._answers.readline()
        if not line:
            raise WorkerError(f"the worker ended during {operation!r}; its own words are above")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{operation!r} failed: {answer['error']}")
        return answer["result"]

    async def post(self, load: Load) -> Round:
        """Post *load*; the worker's own clock measures."""
        return Round(**await self.call("post", **asdict(load)))

    async def close(self) -> None:
        """End the worker: it leaves when nobody can ask any more."""
        self._requests.close()
        try:
            await asyncio.wait_for(self._process.wait(), _GOODBYE_SECS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def python_worker(uri: str, database: str) -> AsyncIterator[WorkerProcess]:
    """Start a further Python process with a client and a book of its own."""
    async with _started(sys.executable, "-m", "benchmarks.python_worker") as worker:
        await worker.call("open", uri=uri, database=database)
        yield worker


@asynccontextmanager
async def node_worker(uri: str, database: str, *, monitored: bool = False) -> AsyncIterator[WorkerProcess]:
    """Start a Node process with medici connected to *database*.

    Args:
        uri: The server.
        database: Its database; collections and indexes are created as medici does it.
        monitored: Whether the driver counts the commands it sends.

    Raises:
        WorkerError: If node or medici is missing.
    """
    if shutil.which("node") is None or not (NODE_MEDICI / "node_modules" / "medici").is_dir():
        raise WorkerError("node or its medici is missing: run scripts/fetch-node-medici")
    async with _started("node", str(NODE_WORKER), str(NODE_MEDICI)) as worker:
        await worker.call("open", uri=uri, database=database, monitored=monitored)
        yield worker


@asynccontextmanager
async def _started(*command: str) -> AsyncIterator[WorkerProcess]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=_LINE_LIMIT_BYTES,
    )
    worker = WorkerProcess(process)
    try:
        yield worker
    finally:
        await worker.close()
