"""What the callers of units are told: their journals, those that stood before, or why there are none."""

from collections.abc import Sequence

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from medici_py.decisions import KeyTaken, Refused, Replays, Unit, Verdict, all_stand
from medici_py.documents import Journal
from medici_py.entry_key import difference_text, stored_content
from medici_py.errors import ConsistencyError, DuplicateEntryError, MediciError, UnknownOutcomeError
from medici_py.journal_header import stored_header
from medici_py.posting import Written
from medici_py.posting_plan import Plan, leg_contents
from medici_py.store import Store

Journals = tuple[Journal, ...]


class Answers:
    """Makes answers of verdicts, and looks up the first journals of entries that stood before. Stateless."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def about(
        self, units: Sequence[Unit], written: Written, session: AsyncClientSession | None
    ) -> list[Journals | Exception]:
        """Return the journals, or the error, of each of *units*, on which *written* has the verdicts.

        Args:
            units: What was judged.
            written: What was made of them.
            session: The session whose transaction is still open, if any.

        Raises:
            PyMongoError: If a first journal could not be looked up in that transaction.
        """
        answers: list[Journals | Exception] = []
        for unit, verdict in zip(units, written.verdicts, strict=True):
            if all_stand(verdict):
                answers.append(tuple([written.journals[plan.journal_id] for plan in unit]))
                continue
            try:
                answers.append(await self._answer(unit, verdict, written, session))
            except PyMongoError as exc:
                if session is not None:
                    raise  # Its transaction may be tried again.
                # A first journal could not be looked up: that is this unit's trouble, not its neighbours'.
                unknown = UnknownOutcomeError(str(exc))
                unknown.__cause__ = exc
                answers.append(unknown)
            except Exception as exc:  # noqa: BLE001 - or could not be read; the caller gets it
                answers.append(exc)
        return answers

    async def _answer(
        self, unit: Unit, verdict: Verdict, written: Written, session: AsyncClientSession | None
    ) -> Journals | Exception:
        match verdict:
            case Refused():
                return verdict.error
            case KeyTaken():
                return await self._key_taken(unit, verdict, session)
            case _:
                journals: list[Journal] = []
                for plan, answer in zip(unit, verdict, strict=True):
                    if not isinstance(answer, Replays):
                        journals.append(written.journals[plan.journal_id])
                        continue
                    first = written.journals.get(answer.journal)
                    if first is None:  # Of an earlier transaction.
                        first = await self._standing(plan, answer.journal, session)
                    if first is None:
                        return _gone(plan, answer.journal)
                    journals.append(first.model_copy(update={"replayed": plan.key is not None}))
                return tuple(journals)

    async def _standing(
        self, plan: Plan, journal_id: ObjectId, session: AsyncClientSession | None
    ) -> Journal | None:
        journals = self._store.journals if session else self._store.latest_journals
        found = await journals.find_one({"_id": journal_id, "book": plan.book}, session=session)
        return None if found is None else plan.entry.rules.journal_model.from_document(found)

    async def _key_taken(self, unit: Unit, taken: KeyTaken, session: AsyncClientSession | None) -> Exception:
        plan, used = taken.plan, taken.used
        beside = next((one for one in unit if one.journal_id == used.journal), None)
        if beside is not None:
            # The unit is refused, so that the database never has the other one.
            user = "another entry of the same batch"
            first_memo, first_legs = beside.entry.memo, leg_contents(beside.entry)
            first_header = beside.entry.header_content
        else:
            first = await self._standing(plan, used.journal, session)
            if first is None:
                return _gone(plan, used.journal)
            user = f"journal {used.journal}, which is another entry"
            legs = self._store.transactions if session else self._store.latest_transactions
            stored = legs.find({"_journal": used.journal, "book": plan.book}, session=session)
            first_memo, first_legs = first.memo, [stored_content(leg, first.memo) async for leg in stored]
            first_header = stored_header(first)
        difference = difference_text(
            memo=plan.entry.memo,
            legs=leg_contents(plan.entry),
            date=plan.entry.date,
            used=used,
            first_memo=first_memo,
            first_legs=first_legs,
            header=plan.entry.header_content,
            first_header=first_header,
        )
        key = plan.entry.key
        return DuplicateEntryError(
            f"Entry {plan.entry.memo!r} refused: its key {key!r} was used in book {plan.book!r} by {user}: "
            f"this one {difference}. Nothing was written.",
            field="key",
            value=key,
        )


def _gone(plan: Plan, journal: ObjectId) -> MediciError:
    key = plan.entry.key
    return ConsistencyError(
        f"Entry {plan.entry.memo!r}: its key {key!r} names journal {journal}, which book {plan.book!r} no "
        "longer has; somebody has deleted it by hand. Restore it, or delete the key in medici_py_keys."
    )
