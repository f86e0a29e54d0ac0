"""A further Python process at work on a book: ``python -m benchmarks.python_worker``, asked by lines of JSON.

`benchmarks.worker_process` starts it and says how requests and answers look.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from benchmarks.change_holder import ChangeHolder
from benchmarks.collector import quieten_collector
from benchmarks.journals import AMOUNT, CASH, MEMO, Document, wallet
from benchmarks.library import open_book, posting_to
from benchmarks.load import Load, run_load
from medici_py import Book


class Worker:
    """One client, one book, and the operations that a bench may ask for."""

    def __init__(self, client: AsyncMongoClient[Document], book: Book) -> None:
        self._client = client
        self._book = book
        self._holder: ChangeHolder | None = None
        self._held_before = 0

    @classmethod
    def open(cls, uri: str, database: str) -> "Worker":
        client = AsyncMongoClient[Document](uri)
        return cls(client, open_book(client[database]))

    async def answer(self, operation: str, given: dict[str, Any]) -> Any:
        match operation:
            case "post":
                return await self._post(Load(**given))
            case "pace":
                return await self._pace(given["journals"], given["every_secs"])
            case "hold":
                return await self._hold(given["kind"])
            case "held":
                return await self._held(given["journals"])
            case "stream":
                return await self._stream(given["account"])
            case "list":
                return await self._list(given["account"])
            case _:
                raise ValueError(f"no operation {operation!r}")

    async def close(self) -> None:
        if self._holder is not None:
            await self._holder.close()
        await self._book.close()
        await self._client.close()

    async def _post(self, load: Load) -> dict[str, Any]:
        before = self._book.commit_stats.retries
        done = await run_load(posting_to(self._book), load)
        return asdict(replace(done, retries=self._book.commit_stats.retries - before))

    async def _pace(self, journals: int, every_secs: float) -> list[tuple[str, float, float]]:
        """Post one journal at a time; return each one's id, when it was asked for and when it stood."""
        began, posted = time.monotonic(), list[tuple[str, float, float]]()
        for number in range(journals):
            await asyncio.sleep(max(0.0, began + number * every_secs - time.monotonic()))
            asked = time.monotonic()
            entry = self._book.entry(MEMO).debit(CASH, AMOUNT).credit(wallet(number), AMOUNT)
            journal = await entry.commit()
            posted.append((str(journal.id), asked, time.monotonic()))
        return posted

    async def _hold(self, kind: str) -> None:
        self._holder = ChangeHolder(self._book, kind)
        await self._holder.open()
        self._held_before = peak_kib()

    async def _held(self, journals: int) -> dict[str, Any]:
        assert self._holder is not None
        await self._holder.until_read(journals)
        return {"growth_kib": peak_kib() - self._held_before, "waiting": self._holder.waiting}

    async def _stream(self, account: str) -> dict[str, Any]:
        await self._book.ledger(account, per_page=1)
        before, legs = peak_kib(), 0
        async for _ in self._book.stream(account):
            legs += 1
        return {"legs": legs, "growth_kib": peak_kib() - before}

    async def _list(self, account: str) -> dict[str, Any]:
        await self._book.ledger(account, per_page=1)
        before = peak_kib()
        page = await self._book.ledger(account)
        return {"legs": len(page.results), "growth_kib": peak_kib() - before}


def peak_kib() -> int:
    """Return the most memory this process has held, in KiB; unlike ru_maxrss without its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


async def serve() -> None:
    """Answer requests until there can be no more."""
    quieten_collector()
    worker: Worker | None = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        given = request["arguments"]
        if request["operation"] == "open":
            worker, result = Worker.open(**given), None
        else:
            assert worker is not None
            result = await worker.answer(request["operation"], given)
        print(json.dumps({"result": result}), flush=True)
    if worker is not None:
        await worker.close()


if __name__ == "__main__":
    asyncio.run(serve())
