"""Ids are as unique as the driver's, and sort by their time as those do."""

import itertools
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from medici_py.object_ids import ObjectIds, new_object_id


def test_ids_of_threads_and_of_sources_are_all_different() -> None:
    """The counter is taken once, whoever takes it; two processes have five random bytes between them."""
    sources = [ObjectIds(), ObjectIds()]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: sources[number % 2].next(), range(20_000)))
    assert len(set(made)) == len(made)


def test_id_says_when_it_was_made() -> None:
    """To the second, as the driver's do."""
    before = datetime.now(UTC).replace(microsecond=0)
    made = new_object_id()
    assert isinstance(made, ObjectId)
    assert before <= made.generation_time <= before + timedelta(seconds=30)


def test_ids_of_one_second_differ_only_in_their_counter() -> None:
    """Which grows by one, and begins again after the greatest."""
    source = ObjectIds()
    made = [source.next().binary for _ in range(3)]
    assert len({one[4:9] for one in made}) == 1
    counters = [int.from_bytes(one[9:], "big") for one in made]
    steps = [(later - earlier) % 2**24 for earlier, later in itertools.pairwise(counters)]
    assert steps == [1, 1]


@pytest.mark.parametrize(("back_secs", "said_secs"), [(0.1, 1_000), (1, 1_000), (30, 1_000), (31, 969)])
def test_ids_keep_their_order_when_the_clock_is_set_back(back_secs: float, said_secs: int) -> None:
    """Unless by so much that it must have been wrong before."""
    clock = [1_000.0]
    source = ObjectIds(lambda: clock[0])
    first = source.next()
    clock[0] -= back_secs
    later = source.next()
    assert first.generation_time.timestamp() == 1_000
    assert later.generation_time.timestamp() == said_secs
    clock[0] += back_secs + 1
    assert source.next().generation_time.timestamp() == 1_001


def test_forked_child_makes_other_ids() -> None:
    """It would otherwise go on with its parent's counter and random bytes."""
    source = ObjectIds()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of a fork beside threads; this child does nothing that needs one.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.write(writing, source.next().binary)
        os._exit(0)
    os.waitpid(child, 0)
    of_child = os.read(reading, 12)
    os.close(reading)
    os.close(writing)
    assert len(of_child) == 12
    assert of_child[4:9] != source.next().binary[4:9]
