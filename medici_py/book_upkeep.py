"""`BookUpkeep`: the jobs that go through a whole book, to audit it or to renew what is kept of its legs."""

import datetime as dt
from collections.abc import Callable

from medici_py.book_settings import BookSettings
from medici_py.book_state import BookState
from medici_py.entry_rules import EntryRules
from medici_py.journal_poster import JournalPoster
from medici_py.rebuild import RebuildProgress, RebuildReport, rebuild_balances
from medici_py.rollups import RollUpProgress, RollUpReport, roll_up
from medici_py.verify import VerifyProgress, VerifyReport, verify_book


class BookUpkeep:
    """Runs the jobs of one book, each safe while others post.

    A job that may change how the book is kept has this process ask for it again, whatever becomes of the job.

    Args:
        settings: The book.
        rules: Where its legs store the dimensions.
        poster: Writes its journals; of the same database.
        clock: The time up to which a roll-up goes.
    """

    def __init__(
        self,
        settings: BookSettings,
        rules: EntryRules,
        poster: JournalPoster,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._poster = poster
        self._clock = clock

    async def verify(self, progress: Callable[[VerifyProgress], None] | None) -> VerifyReport:
        """Hold the book against its own journals; see `verify_book`."""
        return await verify_book(
            self._poster.store,
            self._settings.name,
            precision=self._settings.precision,
            fields=self._rules.dimension_fields,
            transaction_model=self._settings.transaction_model,
            journal_model=self._settings.journal_model,
            progress=progress,
        )

    async def rebuild_balances(self, progress: Callable[[RebuildProgress], None] | None) -> RebuildReport:
        """Make the running balances what the legs give, or drop them; see `medici_py.rebuild`."""
        try:
            return await rebuild_balances(
                self._poster.store,
                self._settings.name,
                running_balances=self._settings.running_balances,
                fields=self._rules.dimension_fields,
                precision=self._settings.precision,
                progress=progress,
            )
        finally:
            self._poster.desk.forget_state(self._settings.name)

    async def roll_up(self, progress: Callable[[RollUpProgress], None] | None) -> RollUpReport:
        """Roll the entries up to last midnight; see `medici_py.rollups`."""
        try:
            return await roll_up(
                self._poster.store,
                BookState(self._settings.name, running_balances=True),
                precision=self._settings.precision,
                now=self._clock(),
                progress=progress,
            )
        finally:
            self._poster.desk.forget_state(self._settings.name)
