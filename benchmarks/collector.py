"""Python's garbage collector, set as ``docs/medici_py/posting.md`` advises whoever posts a lot."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_AS_IT_COMES = gc.get_threshold()


def quieten_collector() -> None:
    """Keep what is loaded out of the collector's sight, and let it look more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@contextmanager
def collector_as_it_comes() -> Iterator[None]:
    """Undo `quieten_collector` for a while."""
    gc.unfreeze()
    gc.set_threshold(*_AS_IT_COMES)
    try:
        yield
    finally:
        quieten_collector()
