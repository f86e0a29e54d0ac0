"""What an entry may have to wait for while somebody else's open transaction has it. Pure."""

from collections.abc import Hashable, Iterable

from medici_py.decisions import Unit
from medici_py.posting_plan import Plan


def claims(unit: Unit) -> tuple[Hashable, ...]:
    """Return what *unit* may have to wait for, each once; units with one in common wait for the same.

    A conflict does not say what it is about. These are the likely causes: what bounds look at, write locks,
    keys. An entry that pays into a bounded account of somebody else's transaction meets that, too.
    """
    return tuple(dict.fromkeys(claim for plan in unit for claim in _claims_of(plan)))


def _claims_of(plan: Plan) -> Iterable[Hashable]:
    book = plan.book
    if plan.guards and not plan.guards_by_rows:
        # It locks its accounts and all above them, some of which all such entries of the book share.
        yield ("book", book)
    elif plan.guards or plan.locks:
        yield from (("row", book, guard.path, guard.dims) for guard in plan.guards)
        yield from (("lock", book, account) for account in plan.locks)
    elif plan.key is not None:
        yield ("key", book, plan.key.text)
