"""What a durable subscription asks for, as it is stored beside its position. Pure.

A position means nothing for other events: whoever uses the name of a subscription has to ask for the same.
"""

from typing import Any

from medici_py.change_events import JournalPosted, JournalVoided
from medici_py.change_filter import ChangeFilter

DEFAULT_KINDS: tuple[type, ...] = (JournalPosted, JournalVoided)


def filter_document(wanted: ChangeFilter) -> dict[str, Any]:
    """Return what is stored: what asks for the same has an equal document."""
    paths = None if wanted.paths is None else [list(path) for path in sorted(set(wanted.paths))]
    return {
        "books": sorted(book.shape.name for book in wanted.books),
        "accounts": paths,
        "kinds": sorted(kind.__name__ for kind in wanted.kinds),
        "template": wanted.template,
    }
