"""Client and exchange without sockets and in no time: whatever was lost on the way, the book is found again."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx.market_messages import OrderBook
from stablesats.okx.streams import Freshness, Slot, StreamTiming, channel
from stablesats.okx.streams.session import Action, Drop, Send, StreamSession
from stablesats.okx.streams.sinks import BookSink
from stablesats.okx.streams.slot import Clocks
from stablesats.okx_simulator import FaultScript, SimulatorConfig
from stablesats.okx_simulator.conversation import Conversation
from stablesats.okx_simulator.endpoints import Answer
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.faults import (
    CloseStream,
    DropPush,
    DuplicatePush,
    Fault,
    GarbagePush,
    ReorderPush,
)
from stablesats.okx_simulator.signatures import ApiKey
from stablesats.okx_simulator.subscriptions import StreamKind

SWAP = "BTC-USD-SWAP"
FAULTS: list[tuple[Fault, str]] = [
    (DropPush(), "0.15"),
    (DuplicatePush(), "0.1"),
    (ReorderPush(), "0.2"),
    (GarbagePush(), "0.1"),
    (CloseStream(), "0.05"),
]
STEP_SECS = 0.01
TROUBLED_SECS = 1.5
# A book without news for so long is fetched anew.
QUIET_SECS = 2.0
TIMING = StreamTiming(
    answer_within_secs=1.0,
    pause_first_secs=0.02,
    pause_max_secs=0.1,
    stable_after_secs=0.2,
    book_quiet_secs=QUIET_SECS,
)
# A lost snapshot is noticed when the answer is overdue.
FOUND_WITHIN_SECS = 3.0


@dataclass
class Line:
    """One direction of a connection: nothing overtakes, and everything takes a while."""

    dice: Random
    texts: deque[tuple[float, str]] = field(default_factory=deque)

    def send(self, text: str, now_secs: float) -> None:
        before_secs = self.texts[-1][0] if self.texts else 0.0
        self.texts.append((max(before_secs, now_secs + self.dice.choice([0.0, 0.01, 0.05])), text))

    def arrived(self, now_secs: float) -> list[str]:
        texts = []
        while self.texts and self.texts[0][0] <= now_secs:
            texts.append(self.texts.popleft()[1])
        return texts


def no_orders(_operation: str, _arguments: object) -> Answer:
    raise AssertionError("nobody trades here")


class World:
    """An exchange, a reader of its book and the lines between them, moved step by step."""

    def __init__(self, seed: int) -> None:
        self.secs = 0.0
        self.dice = Random(seed)
        self.exchange = Exchange(SimulatorConfig(seed=seed), now=self.now, monotonic=lambda: self.secs)
        self.faults = FaultScript(seed)
        clocks = Clocks(monotonic=lambda: self.secs, now=self.now)
        self.book: Slot[OrderBook] = Slot("book", Freshness(60.0), clocks)
        self.sink = BookSink(channel.books(SWAP), self.book)
        self.connect()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.secs)

    def connect(self) -> None:
        self.to_exchange, self.to_client = Line(self.dice), Line(self.dice)
        self.conversation = Conversation(
            StreamKind.PUBLIC,
            self.exchange,
            ApiKey("sim-key", "sim-secret", "sim-pass"),
            connection_id="c0ffee",
            execute=no_orders,
            take_fault=self.faults.take_push,
            rate_limits=False,
        )
        self.session = StreamSession([self.sink], timing=TIMING, login_text=None, jitter=self.dice.random)
        self.carry_out(self.session.start(self.secs))

    def carry_out(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.to_exchange.send(action.text, self.secs)
            else:
                assert isinstance(action, Drop)
                self.sink.interrupt(action.reason)
                self.connect()

    def move(self, secs: float) -> None:
        until_secs = self.secs + secs
        while self.secs < until_secs:
            self.secs += STEP_SECS
            self.move_exchange()
            self.move_client()

    def move_exchange(self) -> None:
        for text in self.to_exchange.arrived(self.secs):
            for answer in self.conversation.receive(text, now=self.now(), now_secs=self.secs):
                self.to_client.send(answer, self.secs)
        if self.conversation.close_code is None:
            for push in self.conversation.due(self.secs):
                self.to_client.send(push, self.secs)

    def move_client(self) -> None:
        session = self.session
        for text in self.to_client.arrived(self.secs):
            self.carry_out(session.take(text, self.secs))
            if self.session is not session:
                return
        if self.conversation.close_code is not None and not self.to_client.texts:
            self.carry_out([Drop("OKX closed the connection")])
        elif self.secs >= session.next_tick_secs:
            self.carry_out(session.tick(self.secs))

    def set_price(self, bid_usd: int) -> None:
        self.exchange.feed.set_by_hand(Decimal(bid_usd), Decimal(bid_usd + 1))

    def lose_and_change_at_random(self) -> None:
        """A while in which messages are lost, doubled and reordered; then no more."""
        for fault, probability in FAULTS:
            self.faults.add_random("ws/books", fault, probability=Decimal(probability))
        while self.secs < TROUBLED_SECS:
            self.set_price(50_000 + self.dice.randrange(7))
            self.move(self.dice.choice([0.01, 0.05, 0.2]))
        self.faults.clear()

    def is_book_true(self) -> bool:
        """Whether the reader sees the exchange's book."""
        kept, (true, sequence) = self.book.latest(), self.exchange.book_tape.current()
        return kept.sequence == sequence and [
            (level.price_usd, level.size_contracts) for level in (*kept.bids, *kept.asks)
        ] == [(level.price_usd, level.contracts) for level in (*true.bids, *true.asks)]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_the_book_is_found_again_with_the_next_change(seed: int) -> None:
    """Once nothing is lost any more and one more change has come, no loss before it can stay unnoticed."""
    world = World(seed)
    world.lose_and_change_at_random()
    world.set_price(51_000)
    world.move(FOUND_WITHIN_SECS)
    assert world.is_book_true()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_the_book_of_a_quiet_market_is_found_again_without_another_change(seed: int) -> None:
    """The loss of the last update shows in nothing that comes; OKX's heartbeat would take a minute."""
    world = World(seed)
    world.lose_and_change_at_random()
    world.move(QUIET_SECS + FOUND_WITHIN_SECS)
    assert world.is_book_true()
