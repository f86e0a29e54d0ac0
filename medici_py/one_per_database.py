"""What a database has one of in a process and event loop: a desk to post at, a hub of its changes."""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from medici_py.driver import belongings
from medici_py.store import Store

T = TypeVar("T")


def one_per_database(store: Store, kind: str, make: Callable[[Store], T]) -> T:
    """Return the one of its *kind* for this database, in this process and event loop; *make* it if need be.

    Two books share one if their client and the codec options of their databases are the same.
    """
    loop = asyncio.get_running_loop()
    places: list[_Place[T]] = belongings(store.client, kind, list)
    places[:] = [place for place in places if not place.is_over()]
    for place in places:
        if place.serves(loop, store):
            return place.held
    place = _Place(weakref.ref(loop), store, make(store))
    places.append(place)
    return place.held


@dataclass(frozen=True, slots=True)
class _Place(Generic[T]):
    loop: "weakref.ref[asyncio.AbstractEventLoop]"
    store: Store
    held: T

    def is_over(self) -> bool:
        loop = self.loop()
        return loop is None or loop.is_closed()

    def serves(self, loop: asyncio.AbstractEventLoop, store: Store) -> bool:
        return (
            self.loop() is loop
            and self.store.database.name == store.database.name
            and self.store.codec_options == store.codec_options
        )
