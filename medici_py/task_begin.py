"""How a background task is begun, so that it is nobody's in particular."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def begin_task(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Begin *work*, which is done for everybody, in a task that inherits nothing of whoever began it.

    A task takes over the context variables of its maker: the deadline that one caller gave PyMongo with
    `pymongo.timeout` would end the work of all others, and their log lines and spans would carry its trace.

    Args:
        work: The coroutine.
        name: The task's name.
    """
    return asyncio.get_running_loop().create_task(work, name=name, context=Context())
