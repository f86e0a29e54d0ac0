"""One WebSocket connection: carries texts between the socket and the session, until one of them ends it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, assert_never

import aiohttp

from stablesats.okx.streams.session import Action, Drop, GiveUp, Send, StreamSession
from stablesats.okx.tracebacks import forget_frames

# The longest message is a snapshot of 400 levels a side, some 40 kilobytes.
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024

SEND_WITHIN_SECS: Final = 10.0

# What is due waits for what has already arrived, but not for a stream of messages that never ends.
LISTEN_SECS: Final = 0.02
MAX_HEARD_WHILE_DUE: Final = 200

End: TypeAlias = Drop | GiveUp


async def converse(
    socket: aiohttp.ClientWebSocketResponse, session: StreamSession, monotonic: Callable[[], float]
) -> End:
    """Talk until the connection is of no more use, and return why."""
    receiving: asyncio.Task[aiohttp.WSMessage] | None = None
    heard_while_due = 0
    try:
        end = await _carry_out(socket, session.start(monotonic()))
        while end is None:
            # Not `receive(timeout=...)`: that would take a quiet connection for a broken one.
            receiving = receiving or asyncio.ensure_future(socket.receive())
            wait_secs = max(LISTEN_SECS, session.next_tick_secs - monotonic())
            await asyncio.wait({receiving}, timeout=wait_secs)
            is_due = monotonic() >= session.next_tick_secs
            heard_while_due = heard_while_due + 1 if is_due else 0
            # What has arrived comes first: if we were held up, it may be the very answer that seems overdue.
            if receiving.done() and heard_while_due <= MAX_HEARD_WHILE_DUE:
                heard, receiving = receiving.result(), None
                actions = _hear(socket, session, heard, monotonic())
            else:
                heard_while_due = 0
                actions = session.tick(monotonic())
            end = await _carry_out(socket, actions)
        return end
    finally:
        if receiving is not None:
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving


def _hear(
    socket: aiohttp.ClientWebSocketResponse,
    session: StreamSession,
    message: aiohttp.WSMessage,
    now_secs: float,
) -> Sequence[Action]:
    match message.type:
        case aiohttp.WSMsgType.TEXT:
            return session.take(message.data, now_secs)
        case aiohttp.WSMsgType.BINARY:
            return session.take_binary(now_secs)
        case aiohttp.WSMsgType.ERROR:
            return [Drop(f"the connection broke: {socket.exception() or message.data}")]
        case _:
            return [Drop(f"OKX closed the connection (code {socket.close_code})")]


async def _carry_out(socket: aiohttp.ClientWebSocketResponse, actions: Sequence[Action]) -> End | None:
    for action in actions:
        match action:
            case Drop() | GiveUp():
                return action
            case Send():
                if (end := await _send(socket, action)) is not None:
                    return end
            case _:
                assert_never(action)
    return None


async def _send(socket: aiohttp.ClientWebSocketResponse, message: Send) -> Drop | None:
    try:
        async with asyncio.timeout(SEND_WITHIN_SECS):
            await socket.send_str(message.text)
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        # Without its frames, in which the text of a login is a local variable.
        return Drop(f"a message could not be sent: {str(exc) or type(exc).__name__}")
    except BaseException as exc:
        forget_frames(exc)
        raise
    return None
