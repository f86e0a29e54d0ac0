"""A campaign: what is done to the processes and to the server while trades come in."""

import asyncio
import itertools
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from stablesats.ledger import Ledger
from stablesats.trades.trade_documents import QUARANTINE, TRADE_REVERTS, USER_TRADES
from tests.system.ledger_campaign.crew import AT_LEAST_ONCE, EXACTLY_ONCE, MEMBERS, SUBSCRIBERS, Crew, within
from tests.system.ledger_campaign.flow import Flow, TradeFiles
from tests.system.ledger_campaign.mongod import KillableMongod

AT_WORK_SHARE = 0.9
AT_WORK_SECS = 0.4
LATE_REVERTS = 3


@dataclass(frozen=True)
class Size:
    """How much happens in a campaign.

    Attributes:
        trades: How many are recorded; some more are corrections.
        kills: How many processes are killed.
        freezes: How many subscribers are stopped until another one has taken over, and then go on.
        server_kills: How often the server is killed and started again.
        pause_secs: The longest pause between two of these.
    """

    trades: int
    kills: int
    freezes: int
    server_kills: int
    pause_secs: float


@dataclass
class Campaign:
    """One run: the books, the processes, the server under them, and what is done to all of them.

    Attributes:
        thawed: What those write who were stopped until another one had taken over.
    """

    ledger: Ledger
    flow: Flow
    files: TradeFiles
    crew: Crew
    mongod: KillableMongod
    rng: random.Random
    thawed: set[Path] = field(default_factory=set)

    @property
    def database(self) -> Any:
        return self.ledger.database

    async def run(self, size: Size) -> None:
        """Let the files grow while the processes are killed, and the server under them."""
        for name in MEMBERS:
            await self.crew.start(name)
        victims = itertools.chain.from_iterable(
            self.rng.sample(MEMBERS, len(MEMBERS)) for _ in itertools.count()
        )
        frozen = itertools.cycle(self.rng.sample(SUBSCRIBERS, len(SUBSCRIBERS)))
        deeds: list[Callable[[], Awaitable[None]]] = [lambda: self.kill(next(victims))] * size.kills
        deeds += [lambda: self.freeze(next(frozen))] * size.freezes
        self.rng.shuffle(deeds)
        for number in range(size.server_kills):
            deeds.insert(len(deeds) * (number + 1) // (size.server_kills + 1), self.kill_server)
        for number, deed in enumerate(deeds, start=1):
            self.files.grow_to(number / len(deeds))
            await asyncio.sleep(self.rng.uniform(0, size.pause_secs))
            await deed()

    async def kill(self, victim: str) -> None:
        """Kill a process, mostly at work, now and then while it still begins; start it again at once."""
        if self.rng.random() < AT_WORK_SHARE:
            await within(partial(self.crew.is_at_work, victim), f"{victim} gets to work")
            await asyncio.sleep(self.rng.uniform(0, AT_WORK_SECS))
        await self.crew[victim].kill()
        await self.crew.start(victim)

    async def freeze(self, victim: str) -> None:
        """Stop a subscriber until another one has taken over; then it goes on as if nothing had been."""
        await within(partial(self.is_active, victim), f"{victim} is active")
        frozen = self.crew[victim]
        frozen.send(signal.SIGSTOP)
        await self.crew.start(victim)
        await within(partial(self.is_active, victim), f"another {victim} takes over")
        self.thawed.add(frozen.log)
        frozen.send(signal.SIGCONT)
        await asyncio.sleep(self.rng.uniform(0, AT_WORK_SECS))
        await frozen.kill()

    async def is_active(self, subscriber: str) -> bool:
        """Whether the newest process of that name is the one that is given the events."""
        await self.crew.revive()
        lag = await self.ledger.stablesats.subscribe(subscriber).lag()
        return lag is not None and f":{self.crew[subscriber].command.process.pid}:" in (lag.holder or "")

    async def kill_server(self) -> None:
        """Cut its power, and switch it on again."""
        await self.mongod.kill()
        self.mongod.start()

    async def finish(self) -> None:
        """Wait until there is nothing left to do, and end everybody."""
        self.files.grow_to(1)
        await within(self.is_booked, "every trade is booked, taken back and allocated")
        self.take_back_late()
        await within(self.is_booked, "the last ones are taken back and allocated")
        journals = await self.database["medici_journals"].count_documents({})
        await within(lambda: self.have_seen(journals), "both subscribers have seen everything")
        await self.crew.stop()

    def take_back_late(self) -> None:
        """Request some more reverts: of trades that are booked for certain, whatever became of the others."""
        first = len(self.flow.lines)
        kept = [trade for trade in self.flow.trades.values() if trade.id not in self.flow.reverted]
        for trade in self.rng.sample(kept, LATE_REVERTS):
            self.flow.revert(trade, corrected=False)
        self.files.add_last(self.flow.lines[first:])

    async def is_booked(self) -> bool:
        await self.crew.revive()
        assert await self.database[QUARANTINE].find().to_list() == []
        states = Counter([row["state"] async for row in self.database[USER_TRADES].find({}, {"state": 1})])
        reverts = Counter([row["state"] async for row in self.database[TRADE_REVERTS].find({}, {"state": 1})])
        if states.total() < len(self.flow.trades) or reverts.total() < len(self.flow.reverted):
            return False
        owed = await self.ledger.liability_balances()
        return not states["received"] and not reverts["pending"] and owed.unallocated_cents == 0

    async def have_seen(self, journals: int) -> bool:
        said = self.crew.said(AT_LEAST_ONCE)
        seen = {line["journal"] for lines in said.values() for line in lines if line["event"] == "seen"}
        archived: int = await self.database[EXACTLY_ONCE].count_documents({})
        return journals == len(seen) == archived
