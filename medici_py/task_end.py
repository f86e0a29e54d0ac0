"""How a background task is ended, so that it is over for certain."""

import asyncio
from typing import Any

_AGAIN_SECS = 5.0  # longer than the clean-up of any task of ours


async def end_task(task: asyncio.Future[Any], *, again_secs: float = _AGAIN_SECS) -> None:
    """Cancel *task* and return once it is over; what came of it is dropped. Idempotent.

    It is cancelled until it heeds that: before Python 3.12 `asyncio.wait_for`, through which PyMongo sends
    what it writes, forgets a cancellation that arrives together with what it waited for.

    Args:
        task: The task.
        again_secs: How long to wait before it is cancelled again; longer than its clean-up takes.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=again_secs)
    if not task.cancelled():
        task.exception()  # Looked at, so that nobody logs it: what is cancelled may fail.
