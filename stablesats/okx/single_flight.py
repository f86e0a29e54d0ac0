"""One question for all who ask it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from stablesats.okx.errors import OkxError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Told(Generic[T]):
    value: T


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.asking = asyncio.Lock()
        self.outcome: _Told[T] | OkxError | None = None


class SingleFlight(Generic[T]):
    """Gives everybody who asks while the question is under way the same answer, or the same error.

    For one event loop. Nothing runs by itself: the first who comes asks, and the others wait. If the one who
    asks is cancelled, the next in line asks again.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        """Prepare the question that *ask* puts; an `OkxError` that it raises is shared like an answer."""
        self._ask = ask
        self._flight: _Flight[T] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether somebody is asking at this moment."""
        return self._flight is not None and self._flight.asking.locked()

    async def answer(self) -> T:
        """Return the answer to the question that is under way, or else to one put now.

        Raises:
            OkxError: As the question raises.
        """
        flight = self._flight = self._flight or _Flight()
        async with flight.asking:
            if flight.outcome is None:
                flight.outcome = await self._put()
                self._flight = None
        if isinstance(flight.outcome, OkxError):
            raise flight.outcome.with_traceback(None)
        return flight.outcome.value

    async def _put(self) -> _Told[T] | OkxError:
        try:
            return _Told(await self._ask())
        except OkxError as exc:
            return exc
