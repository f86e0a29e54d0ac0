"""Where the desk is that everybody in this process shares who posts into one database."""

from medici_py.one_per_database import one_per_database
from medici_py.posting_desk import PostingDesk
from medici_py.store import Store


def desk_of(store: Store) -> PostingDesk:
    """Return the desk that everybody shares who posts into this database, in this process and event loop.

    Two books share one if their client and the codec options of their databases are the same.
    """
    return one_per_database(store, "desks", PostingDesk)
