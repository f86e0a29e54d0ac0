"""Trades are booked and followed by processes that are killed all the time, on a server that is killed, too.

Two processes read the same trade files, as an operator would start them, and two durable subscribers follow
the books. What must hold at the end is checked against the trades themselves, and against the order of the
commits, which the test reads from the stream of changes.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from medici_py import ChangePosition, JournalPosted, open_changes
from medici_py.embedded import EmbeddedMongo
from stablesats.data import PAYMENT_FLOW, SELL_OFF_2017
from stablesats.ledger import Ledger
from stablesats.okx_simulator import read_quotes
from stablesats.trades import UserTrade
from stablesats.trades.payment_flow import DealerQuote, read_payments, schedule, trade_for
from stablesats.trades.trade_documents import QUARANTINE, TRADE_REVERTS, USER_TRADES
from stablesats.trades.trade_store import trade_text

WORKER = Path(__file__).with_name("ledger_campaign_worker.py")
SUBSCRIBERS = AT_LEAST_ONCE, EXACTLY_ONCE = "hedging", "archive"
MEMBERS = ("ledger-1", "ledger-2", *SUBSCRIBERS)
LINES_A_FILE = 400
AT_WORK_SHARE = 0.9
AT_WORK_SECS = 0.4
WITHIN_SECS = 60.0

SEED = int(os.environ.get("LEDGER_CAMPAIGN_SEED", time.time_ns() % 2**32))


class Command(Protocol):
    """A running process, as the fixture ``stablesats`` starts it."""

    process: asyncio.subprocess.Process
    out: list[str]
    err: list[str]

    async def wait(self) -> int: ...


Start = Callable[..., Awaitable[Command]]
Said = dict[str, Any]


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


class KillableMongod:
    """A private server that can be killed, and started again with what is on its disk."""

    def __init__(self, mongo: EmbeddedMongo) -> None:
        assert mongo.pid is not None
        self.uri = mongo.uri
        self._pid = mongo.pid
        command = Path(f"/proc/{mongo.pid}/cmdline").read_bytes().split(b"\0")
        self._command = [part.decode() for part in command if part]
        self._restarted: subprocess.Popen[bytes] | None = None

    async def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        if self._restarted is not None:
            await asyncio.to_thread(self._restarted.wait)
        deadline = time.monotonic() + WITHIN_SECS
        while Path(f"/proc/{self._pid}").exists():
            assert time.monotonic() < deadline, "the killed mongod is still there"
            await asyncio.sleep(0.01)

    def start(self) -> None:
        """Start it again; it ends with this process, whatever happens."""
        tied = ["setpriv", "--pdeathsig", "KILL", *self._command]
        self._restarted = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._pid = self._restarted.pid

    def stop(self) -> None:
        """End what was started here; the rest is the fixture's."""
        if self._restarted is not None:
            self._restarted.kill()
            self._restarted.wait()


@pytest.fixture
def mongod() -> Iterator[KillableMongod]:
    """A server for this test alone.

    A killed client's open transaction keeps what it has written locked until MongoDB ends it, after 60 s by
    default: here soon, so that the others get something done in the time there is.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(
        environment=environment, set_parameters={"transactionLifetimeLimitSeconds": 2}
    ) as mongo:
        server = KillableMongod(mongo)
        try:
            yield server
        finally:
            server.stop()


@dataclass
class Flow:
    """Lines of trade files, and what they mean once all of them were done.

    Attributes:
        lines: Trades, some of them again, and requests to take some back, some with a correction after it.
        trades: Every trade, by id.
        reverted: The ids of those that are to be taken back.
    """

    lines: list[str] = field(default_factory=list)
    trades: dict[str, UserTrade] = field(default_factory=dict)
    reverted: set[str] = field(default_factory=set)

    def trade(self, trade: UserTrade) -> None:
        self.trades[trade.id] = trade
        self.lines.append(trade_text(trade))

    def revert(self, trade: UserTrade, *, corrected: bool) -> None:
        """Take a trade back; *corrected* makes another one of the same payments."""
        self.reverted.add(trade.id)
        self.lines.append(json.dumps({"revert": trade.id}))
        if corrected:
            self.trade(replace(trade, id=f"{trade.id}-corrected", buy_amount=trade.buy_amount + 1))

    def repeat_any(self, rng: random.Random) -> None:
        self.lines.append(trade_text(rng.choice(list(self.trades.values()))))

    @property
    def balances(self) -> Counter[tuple[str, str]]:
        """Credit minus debit of each account once everything is booked and allocated."""
        found: Counter[tuple[str, str]] = Counter()
        for trade in self.trades.values():
            if trade.id not in self.reverted:
                sign = 1 if trade.user_buys_usd else -1
                found["STABLESATS_BTC_WALLET", "BTC"] += sign * trade.sats
                found["EXTERNAL_OMNIBUS", "BTC"] -= sign * trade.sats
                found["OKEX_ALLOCATION", "USD"] += sign * trade.cents
                found["STABLESATS_OMNIBUS", "USD"] -= sign * trade.cents
        return found


def recorded_trades(count: int) -> Iterator[UserTrade]:
    """Trades that the recorded payments make at the prices of a recorded day."""
    begins, ends = SELL_OFF_2017.window(1)
    quotes = read_quotes(SELL_OFF_2017.path, begins, ends)
    payments = read_payments(PAYMENT_FLOW)
    users_cents = made = 0
    for number, due in enumerate(schedule(payments, begins, ends)):
        quote = quotes[number * len(quotes) // len(payments)]
        prices = DealerQuote(quote.bid_usd, quote.ask_usd)
        trade = trade_for(due.payment, at=due.at, quote=prices, users_cents=users_cents)
        if trade is not None and made < count:
            users_cents += trade.cents if trade.user_buys_usd else -trade.cents
            made += 1
            yield replace(trade, btc_tx_id=f"btc-{trade.id}", usd_tx_id=f"usd-{trade.id}")
    assert made == count


def flow_of(count: int, rng: random.Random) -> Flow:
    """Lines with *count* recorded trades; about every tenth is taken back, at once or a hundred later."""
    flow = Flow()
    recent: list[UserTrade] = []
    for trade in recorded_trades(count):
        flow.trade(trade)
        recent = [*recent[-99:], trade]
        if rng.random() < 0.1:
            taken_back = rng.choice([trade, recent[0]])
            if taken_back.id not in flow.reverted:
                flow.revert(taken_back, corrected=rng.random() < 0.5)
        if rng.random() < 0.05:
            flow.repeat_any(rng)
    return flow


class TradeFiles:
    """A folder of trade files that grows a piece at a time; pieces do not end where lines do."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        self.folder = folder
        folder.mkdir()
        self._texts = [
            "".join(f"{line}\n" for line in lines[first : first + LINES_A_FILE])
            for first in range(0, len(lines), LINES_A_FILE)
        ]
        self._written = 0
        self._size = sum(map(len, self._texts))

    def grow_to(self, share: float) -> None:
        """Write on until *share* of everything stands in the files."""
        wanted, begins = int(share * self._size), 0
        for number, text in enumerate(self._texts):
            first, last = (min(max(at - begins, 0), len(text)) for at in (self._written, wanted))
            if first < last:
                with (self.folder / f"trades-{number:03}.jsonl").open("a") as file:
                    file.write(text[first:last])
            begins += len(text)
        self._written = wanted


async def within(condition: Callable[[], Awaitable[bool]], what: str, secs: float = WITHIN_SECS) -> None:
    """Wait until *condition* holds; the server may be away meanwhile."""
    deadline = time.monotonic() + secs
    while True:
        with suppress(PyMongoError):
            if await condition():
                return
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Member:
    """A process of the campaign; a subscriber has a file in which it writes what it saw."""

    name: str
    command: Command
    log: Path

    @property
    def is_at_work(self) -> bool:
        return self.log.exists() or "ledger: ready" in self.command.out

    def send(self, number: signal.Signals) -> None:
        self.command.process.send_signal(number)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        await self.command.wait()


class Crew:
    """The processes; one that is killed is started again at once."""

    def __init__(self, start: Start, uri: str, database: str, files: Path, logs: Path) -> None:
        self._start_command = start
        self._uri = uri
        self._database = database
        self._files = files
        self._logs = logs
        self._members: dict[str, Member] = {}
        self._started = 0

    async def start(self, name: str) -> None:
        self._started += 1
        log = self._logs / f"{name}-{self._started:04}.log"
        if name.startswith("ledger"):
            command = await self._start_command(
                "run", "ledger", "--trades", str(self._files), "--mongodb-uri", self._uri,
                "--database", self._database,
            )  # fmt: skip
        else:
            command = await self._start_command(
                self._uri, self._database, str(log), name, program=(str(WORKER),)
            )
        self._members[name] = Member(name, command, log)

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    async def is_at_work(self, name: str) -> bool:
        await self.revive()
        return self[name].is_at_work

    async def revive(self) -> None:
        """Start those again that could not begin while the server was away; nobody else may end."""
        for name, member in list(self._members.items()):
            if member.command.process.returncode is not None:
                await member.command.wait()
                assert "cannot use MongoDB at" in member.command.err[-1], (name, member.command.err)
                await self.start(name)

    async def stop(self) -> None:
        """Tell all to stop, and let them finish what is under way."""
        for name in self._members:
            await within(partial(self.is_at_work, name), f"{name} listens to signals")
        for member in self._members.values():
            member.command.process.terminate()
        for name, member in self._members.items():
            assert await member.command.wait() == 0, (name, member.command.err)

    def last_words(self) -> str:
        """What those who run now have written to their standard error last."""
        return "\n".join(
            f"{name}: {line}" for name, member in self._members.items() for line in member.command.err[-20:]
        )

    def said(self, name: str) -> dict[Path, list[Said]]:
        """What each process of that name has written, without lines that its end cut short."""
        return {
            path: [
                json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")
            ]
            for path in self._logs.glob(f"{name}-*.log")
        }


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
        journals = await self.database["medici_journals"].count_documents({})
        await within(lambda: self.have_seen(journals), "both subscribers have seen everything")
        await self.crew.stop()

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


@pytest.fixture
async def campaign_of(
    mongod: KillableMongod, stablesats: Start, tmp_path: Path
) -> AsyncIterator[Callable[[Size], Campaign]]:
    """Make a campaign on that server."""
    async with AsyncMongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:

        def campaign(size: Size) -> Campaign:
            print(f"LEDGER_CAMPAIGN_SEED={SEED}")  # noqa: T201 - shown if the test fails
            rng = random.Random(SEED)
            ledger, flow = Ledger(client["campaign"]), flow_of(size.trades, rng)
            files = TradeFiles(tmp_path / "trades", flow.lines)
            crew = Crew(stablesats, mongod.uri, "campaign", files.folder, tmp_path)
            return Campaign(ledger, flow, files, crew, mongod, rng)

        yield campaign


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(trades=300, kills=10, freezes=1, server_kills=1, pause_secs=0.2), id="ten-kills"),
        pytest.param(
            Size(trades=2_500, kills=200, freezes=8, server_kills=3, pause_secs=0.1),
            id="hundreds-of-kills",
            marks=pytest.mark.slow,
        ),
    ],
)
async def test_trades_are_booked_and_followed_once_through_kills(
    campaign_of: Callable[[Size], Campaign], stablesats: Start, size: Size
) -> None:
    """Every trade is booked once, allocated, and seen by every subscriber in the order of the commits."""
    campaign = campaign_of(size)
    ledger = campaign.ledger
    async with open_changes(ledger.database) as changes:
        begin = changes.position
    for name in (AT_LEAST_ONCE, EXACTLY_ONCE):
        async with ledger.stablesats.subscribe(name):
            pass  # From now on, before there is anything.

    try:
        await campaign.run(size)
        await campaign.finish()
    except BaseException:
        print(campaign.crew.last_words())  # noqa: T201 - shown if the test fails
        raise

    committed = await in_commit_order(ledger, begin)
    await check_trades(campaign, committed)
    check_at_least_once(campaign, committed)
    await check_exactly_once(campaign, committed)
    await check_books(campaign, stablesats)
