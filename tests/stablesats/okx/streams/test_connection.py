"""One connection: what must not leave with an error."""

import asyncio
import time
import traceback

import pytest

from stablesats.okx.streams import StreamTiming
from stablesats.okx.streams.connection import converse
from stablesats.okx.streams.session import Drop, StreamSession


class BrokenSocket:
    """Sends nothing: it raises, or without an error waits for ever."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.sending = asyncio.Event()

    async def send_str(self, text: str) -> None:
        self.sending.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()
        assert text


def session_that_logs_in(login: str) -> StreamSession:
    return StreamSession([], timing=StreamTiming(), login_text=lambda: login, jitter=lambda: 0.0)


async def test_a_login_that_cannot_be_sent_ends_the_connection(secrets: tuple[str, ...]) -> None:
    """By what went wrong; the text of the login is in no message."""
    session = session_that_logs_in(" ".join(secrets))
    end = await converse(BrokenSocket(ConnectionResetError("gone")), session, time.monotonic)
    assert end == Drop("a message could not be sent: gone")


@pytest.mark.parametrize("error", [None, ZeroDivisionError()], ids=["cancelled", "defect"])
async def test_no_traceback_holds_the_text_of_a_login(
    secrets: tuple[str, ...], error: Exception | None
) -> None:
    """Some log formats print the local variables of every frame."""
    socket = BrokenSocket(error)
    ends: list[BaseException] = []

    async def talk() -> None:
        session = session_that_logs_in(" ".join(secrets))
        try:
            await converse(socket, session, time.monotonic)
        except BaseException as exc:
            ends.append(exc)
            raise

    talking = asyncio.create_task(talk())
    await socket.sending.wait()
    if error is None:
        talking.cancel()
    await asyncio.wait({talking})
    (end,) = ends
    assert isinstance(end, asyncio.CancelledError if error is None else ZeroDivisionError)
    assert talking.cancelled() or talking.exception() is end
    assert end.__traceback__ is not None
    below_this_test = end.__traceback__.tb_next
    printed = traceback.TracebackException(type(end), end, below_this_test, capture_locals=True)
    shown = "".join(printed.format())
    assert "session = " in shown
    assert not any(secret in shown for secret in secrets)
