"""Our side: the bench's journals posted through a `medici_py.Book`."""

from pymongo import AsyncMongoClient

from benchmarks.commands import CommandCounter
from benchmarks.journals import AMOUNT, BOOK, CASH, MEMO, Database, Document, wallet
from benchmarks.load import Load, Post, run_load
from benchmarks.rounds import Round
from medici_py import Book

_CALIBRATION_JOURNALS_A_POSTER = 8


def open_book(database: Database, *, group_commit: bool = True) -> Book:
    """Open the bench's book as an application would, running balances on."""
    return Book(BOOK, database, running_balances=True, group_commit=group_commit)


def posting_to(book: Book) -> Post:
    """Return what posts one journal to *book*."""

    async def post(number: int) -> int:
        await book.entry(MEMO).debit(CASH, AMOUNT).credit(wallet(number), AMOUNT).commit()
        return 1

    return post


async def counted_load(uri: str, database_name: str, load: Load) -> tuple[Round, CommandCounter]:
    """Post *load* through a client of its own; return what was done and the commands it took."""
    counter = CommandCounter()
    async with (
        AsyncMongoClient[Document](uri, event_listeners=[counter]) as client,
        open_book(client[database_name]) as book,
    ):
        await run_load(posting_to(book), Load(posters=1, journals=1))  # connects, and finds its stripe
        counter.clear()
        return await run_load(posting_to(book), load), counter


async def shared_batch(uri: str, database_name: str, posters: int) -> int:
    """Return how many journals group commit puts into a transaction when so many post."""
    load = Load(posters, journals=_CALIBRATION_JOURNALS_A_POSTER * posters)
    done, commands = await counted_load(uri, database_name, load)
    return max(1, round(done.journals / commands.transactions))
