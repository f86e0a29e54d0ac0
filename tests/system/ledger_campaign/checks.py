"""What must hold after a campaign, checked against the trades and the order of the commits."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

from bson import ObjectId

from medici_py import ChangePosition, JournalPosted, open_changes
from stablesats.ledger import Ledger
from stablesats.trades.trade_documents import QUARANTINE, USER_TRADES
from tests.system.ledger_campaign.campaign import Campaign
from tests.system.ledger_campaign.crew import AT_LEAST_ONCE, EXACTLY_ONCE, WITHIN_SECS, Start


async def in_commit_order(ledger: Ledger, after: ChangePosition) -> list[JournalPosted]:
    """Every journal from *after* on, as the stream of changes shows them."""
    journals = await ledger.database["medici_journals"].count_documents({})
    found: list[JournalPosted] = []
    async with open_changes(ledger.database, after=after) as changes:
        while len(found) < journals:
            change = await asyncio.wait_for(anext(changes), WITHIN_SECS)
            assert isinstance(change, JournalPosted)
            found.append(change)
    return found


async def check_trades(campaign: Campaign, committed: Sequence[JournalPosted]) -> None:
    """Every trade has the journals that its state says, and no other one has any."""
    journals: dict[str, list[tuple[str, ObjectId]]] = defaultdict(list)
    for change in committed:
        template, metadata = change.journal.template, change.journal.metadata
        assert template is not None
        if template.code != "ADJUST_EXCHANGE_ALLOCATION":
            assert metadata is not None
            journals[metadata["trade_id"]].append((template.code, change.journal.id))

    rows = {row["_id"]: row async for row in campaign.database[USER_TRADES].find()}
    assert set(rows) == set(campaign.flow.trades)
    for id_, row in rows.items():
        code = "USER_BUYS_USD" if campaign.flow.trades[id_].user_buys_usd else "USER_SELLS_USD"
        booked = (code, row.get("ledger_journal_id"))
        correction = (f"REVERT_{code}", row.get("correction_journal_id"))
        expected = {"booked": [booked], "reverted": [booked, correction], "cancelled": []}
        assert (row["state"] == "booked") == (id_ not in campaign.flow.reverted), row
        assert journals.pop(id_, []) == expected[row["state"]], row
    assert not journals
    states = Counter(row["state"] for row in rows.values())
    assert states["reverted"] > 0, "no trade that was booked was taken back"
    assert await campaign.database[QUARANTINE].find().to_list() == []


def check_at_least_once(campaign: Campaign, committed: Sequence[JournalPosted]) -> None:
    """Who becomes active goes on after what was acknowledged, in order, and nothing is left out."""
    said = campaign.crew.said(AT_LEAST_ONCE)
    places = {change.position.sort_key: place for place, change in enumerate(committed)}
    follows: dict[Path, int] = {}
    unseen = unacknowledged = 0
    lines = [(line["at"], process, line) for process, lines in said.items() for line in lines]
    for _, process, line in sorted(lines, key=itemgetter(0)):
        match line["event"]:
            case "began":
                follows.pop(process, None)
            case "seen":
                place = places[line["position"]]
                assert line["journal"] == str(committed[place].journal.id)
                if process in follows:
                    assert place == follows[process]
                else:
                    # Anything after was never shown to anybody; anything before was acknowledged, of which
                    # only one that was stopped in between cannot know.
                    assert place <= unseen
                    assert place >= unacknowledged or process in campaign.thawed
                follows[process] = place + 1
                unseen = max(unseen, place + 1)
            case "acknowledged":
                unacknowledged = max(unacknowledged, places[line["position"]] + 1)
    assert unseen == len(committed)


async def check_exactly_once(campaign: Campaign, committed: Sequence[JournalPosted]) -> None:
    """What the handler wrote is there once for each journal, in the order of the commits."""
    archived = campaign.database[EXACTLY_ONCE].find().sort("_id")
    assert [(row["_id"], row["journal"]) async for row in archived] == [
        (number, change.journal.id) for number, change in enumerate(committed, start=1)
    ]


async def check_books(campaign: Campaign, start: Start) -> None:
    """The books are sound, everything is allocated, and the command says what the trades come to."""
    for book in campaign.ledger.books:
        report = await book.verify()
        assert report.clean, report.differences
    expected = campaign.flow.balances
    owed = await campaign.ledger.liability_balances()
    assert owed.total_cents == -expected["STABLESATS_OMNIBUS", "USD"]
    assert owed.okex_allocation_cents + owed.bitfinex_allocation_cents == owed.total_cents
    assert owed.unallocated_cents == 0
    command = await start(
        "balances", "--json", "--mongodb-uri", campaign.mongod.uri, "--database", campaign.database.name
    )
    assert await command.wait() == 0
    printed = {
        (row["account"], row["currency"]): row["balance_minor"] for row in json.loads("\n".join(command.out))
    }
    assert {key: balance for key, balance in printed.items() if balance} == dict(expected)
