"""How a service of this project starts, stops and fails, the same for every command.

A service is a coroutine function that takes a stop event. SIGTERM and SIGINT set the event, and so does
the end of standard input when ``STABLESATS_STOP_ON_STDIN_EOF=1``: a parent that starts services keeps
their standard input open, so that they stop with it however it dies.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

from pymongo.errors import PyMongoError

from medici_py.errors import MediciError
from medici_py.task_end import end_task
from stablesats.errors import ConfigurationError, StablesatsError

STOP_ON_STDIN_EOF: Final = "STABLESATS_STOP_ON_STDIN_EOF"

STOP_WITHIN_SECS: Final = 10.0
"""How long a service may take to end after it was told to stop."""


_CANCEL_WITHIN_SECS: Final = 5.0


class StoppedLateError(StablesatsError):
    """A service did not end in time after it was told to, and was cancelled."""


T = TypeVar("T")

Service = Callable[[asyncio.Event], Awaitable[int | None]]


def run_service(service: Service, *, stop_within_secs: float = STOP_WITHIN_SECS) -> int:
    """Run *service* until it returns or is told to stop, and answer the process's exit code.

    The service gets an event that is set by SIGTERM, SIGINT or (if asked for) the end of standard
    input; it is expected to finish soon after. A second signal cancels it, and so does its taking longer
    than *stop_within_secs*: a database or an exchange that is gone must not keep a process alive.

    Returns:
        What the service returned, 0 for None; 1 after an error that the package raised on purpose or
        that MongoDB gave, whose `error_text` then stands on standard error; 128 and the number of the signal
        after a second one: 130 for SIGINT, 143 for SIGTERM.
    """
    try:
        return asyncio.run(_supervise(service, stop_within_secs))
    except (StablesatsError, MediciError, PyMongoError) as error:
        print(f"error: {error_text(error)}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


def _leave(reason: str) -> NoReturn:
    """End the process here and now; parents, guardians and leases clean up as after any crash."""
    print(f"error: {reason}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(1)


def one_line(error: BaseException) -> str:
    """The message of *error* on one line, or its kind when it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def error_text(error: BaseException) -> str:
    """The message of *error* on one line; if it tells ``differences``, each below on a line of its own."""
    if not hasattr(error, "differences"):
        return one_line(error)
    message, *differences = str(error).splitlines()
    return "\n".join([message, *(f"  {difference}" for difference in differences)])


async def _supervise(service: Service, stop_within_secs: float) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(service(stop))

    received: list[int] = []

    def on_signal(number: int) -> None:
        # Only a second signal: one that follows the end of standard input is the first.
        if received:
            task.cancel()
        received.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    watcher = await _watch_stdin(stop) if os.environ.get(STOP_ON_STDIN_EOF) == "1" else None
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({task}, timeout=stop_within_secs)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_WITHIN_SECS)
        if not task.done():
            # A driver that ignores its cancellation would also keep asyncio.run from ending.
            _leave(f"what was under way ignored being told to stop for {stop_within_secs:g} s")
        return task.result() or 0
    except asyncio.CancelledError:
        if len(received) > 1:
            return 128 + received[-1]
        msg = f"what was under way did not end within {stop_within_secs:g} s of the stop, and was cut off"
        raise StoppedLateError(msg) from None
    finally:
        stopping.cancel()
        if watcher is not None:
            watcher.close()


async def _watch_stdin(stop: asyncio.Event) -> asyncio.ReadTransport:
    """Set *stop* once standard input ends: its writer is gone."""

    class _UntilEof(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
            stop.set()

    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.connect_read_pipe(_UntilEof, sys.stdin)
    except (ValueError, AttributeError) as error:  # a file, or closed
        msg = f"{STOP_ON_STDIN_EOF}=1 needs a pipe as standard input; unset it to run without one"
        raise ConfigurationError(msg) from error
    return transport


async def wait_or_stop(stop: asyncio.Event, timeout_secs: float) -> bool:
    """Wait for *stop*, but not longer than *timeout_secs*; answer whether it was set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), timeout_secs)
    return stop.is_set()


async def unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """Await *work*, but cancel it when *stop* is set, and wait for it to take that in; None then."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        stopping.cancel()
        await end_task(task)
