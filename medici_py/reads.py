"""How a read is asked for and done: its keyword arguments, and what the server answers to a bad question."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from medici_py.driver import Session, adopt_session, refuses_filter, refusing_standalone
from medici_py.query import LegQuery, filter_refused
from medici_py.store import ReadOptions


class Reads(TypedDict, total=False):
    """The keyword arguments that every read takes.

    ``session`` joins the caller's session. ``read_preference`` defaults to the database's own.
    ``read_concern`` defaults to one majority-committed snapshot, so that an answer never holds half a
    journal; inside a transaction the transaction decides.
    """

    session: Session | None
    read_preference: Any
    read_concern: ReadConcern | None


def read_options(reads: Reads) -> ReadOptions:
    """Return what *reads* say.

    Raises:
        TypeError: If there is one that no read takes. Python itself lets it pass, and a bound that is passed
            over would answer another question.
    """
    if unknown := sorted(reads.keys() - Reads.__annotations__.keys()):
        raise TypeError(
            f"unexpected keyword argument {unknown[0]!r}; beside its own, a read takes "
            f"{', '.join(Reads.__annotations__)}"
        )
    return ReadOptions(
        session=adopt_session(reads.get("session")),
        read_preference=reads.get("read_preference"),
        read_concern=reads.get("read_concern"),
    )


@contextmanager
def asking(query: LegQuery) -> Iterator[None]:
    """Turn the server's answers to a question that it cannot be asked into our errors.

    Raises:
        UnsupportedDeploymentError: If it is a standalone, which has no snapshots.
        InvalidQueryError: If it cannot read the conditions of *query*.
    """
    try:
        with refusing_standalone():
            yield
    except OperationFailure as exc:
        if query.conditions and refuses_filter(exc):
            raise filter_refused(query, exc) from exc
        raise
