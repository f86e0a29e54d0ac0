"""Trades as their sources give them, and the collections they are stored in."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator
from pymongo.asynchronous.database import AsyncDatabase

from medici_py import Book, Transaction
from medici_py.documents import Amount
from stablesats.ledger import STABLESATS_BOOK, Ledger
from stablesats.ledger.facade import DIMENSIONS
from stablesats.trades import Place, ReceivedTrade, RevertRequest, Unit, UserTrade
from stablesats.trades.trade_collections import TradeDocuments, bind_documents
from stablesats.trades.trade_store import TradeStore

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)

ReceivedFactory = Callable[..., ReceivedTrade]


def _below_a_million(amount: Decimal) -> Decimal:
    if amount >= 1_000_000:
        raise ValueError("a leg of a million or more")
    return amount


@pytest.fixture
def received() -> ReceivedFactory:
    """``received("t1", btc="b1")``: a user pays 1,000,000 sats for 500 cents, unless told otherwise."""

    def make(
        trade_id: str,
        *,
        cents: int = 500,
        sats: int = 1_000_000,
        sells: bool = False,
        at: datetime = NOON,
        btc: str | None = None,
        usd: str | None = None,
        line: int = 1,
        traceparent: str | None = None,
    ) -> ReceivedTrade:
        dollars, bitcoin = (Unit.USD_CENT, cents), (Unit.SATOSHI, sats)
        bought, sold = (bitcoin, dollars) if sells else (dollars, bitcoin)
        trade = UserTrade(
            id=trade_id,
            timestamp=at,
            buy_unit=bought[0],
            buy_amount=bought[1],
            sell_unit=sold[0],
            sell_amount=sold[1],
            btc_tx_id=btc,
            usd_tx_id=usd,
        )
        return ReceivedTrade(trade, Place("trades.jsonl", line), traceparent)

    return make


@pytest.fixture
def revert() -> Callable[[str], RevertRequest]:
    """``revert("t1")``: take that trade back."""
    return lambda trade_id: RevertRequest(trade_id, Place("trades.jsonl", 1))


@pytest.fixture
async def documents(mongo_database: AsyncDatabase[dict[str, Any]]) -> TradeDocuments:
    """The trade collections, prepared."""
    return await bind_documents(mongo_database, make_indexes=True)


@pytest.fixture
def store(documents: TradeDocuments) -> TradeStore:
    return TradeStore(documents)


@pytest.fixture
def rows_of(mongo_database: AsyncDatabase[dict[str, Any]]) -> Callable[[str], Any]:
    """Rows of a collection as MongoDB has them, in the order of their ids."""

    async def read(collection: str) -> list[dict[str, Any]]:
        return [row async for row in mongo_database[collection].find({}).sort("_id")]

    return read


class _SmallLeg(Transaction):
    """A leg that the book refuses if it is of a million or more."""

    credit: Annotated[Amount, AfterValidator(_below_a_million)]
    branch: str | None = None  # legs are tried on models that have a field of their own


@pytest.fixture
def strict_ledger(ledger: Ledger) -> Ledger:
    """The same books, which refuse every trade with a leg of a million or more."""
    strict = Ledger(ledger.database)
    strict.stablesats = Book(
        STABLESATS_BOOK, ledger.database, precision=0, dimensions=DIMENSIONS, transaction_model=_SmallLeg
    )
    return strict


@pytest.fixture
def trade_file(tmp_path: Path) -> Path:
    """An empty trade file."""
    path = tmp_path / "trades.jsonl"
    path.touch()
    return path
