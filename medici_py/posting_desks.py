"""Where the desk is that everybody in this process shares who posts into one database."""

import asyncio
import weakref
from dataclasses import dataclass

from medici_py.driver import belongings
from medici_py.posting_desk import PostingDesk
from medici_py.store import Store


def desk_of(store: Store) -> PostingDesk:
    """Return the desk that everybody shares who posts into this database, in this process and event loop.

    Two books share one if their client and the codec options of their databases are the same.
    """
    loop = asyncio.get_running_loop()
    desks: list[_Place] = belongings(store.client, "desks", list)
    desks[:] = [place for place in desks if not place.is_over()]
    for place in desks:
        if place.serves(loop, store):
            return place.desk
    place = _Place(weakref.ref(loop), PostingDesk(store))
    desks.append(place)
    return place.desk


@dataclass(frozen=True, slots=True)
class _Place:
    loop: "weakref.ref[asyncio.AbstractEventLoop]"
    desk: PostingDesk

    def is_over(self) -> bool:
        loop = self.loop()
        return loop is None or loop.is_closed()

    def serves(self, loop: asyncio.AbstractEventLoop, store: Store) -> bool:
        mine = self.desk.store
        return (
            self.loop() is loop
            and mine.database.name == store.database.name
            and mine.codec_options == store.codec_options
        )
