"""The conversation of one connection, without any connection."""

import contextlib
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx.streams import (
    Freshness,
    OkxStaleError,
    OkxSubscriptionRefusedError,
    OrderFeed,
    Slot,
    StreamTiming,
    channel,
    push_values,
)
from stablesats.okx.streams.session import Action, Drop, GiveUp, Send, StreamSession
from stablesats.okx.streams.sinks import BookSink, OrdersSink, ValueSink
from stablesats.okx.streams.slot import Clocks

SWAP = "BTC-USD-SWAP"
TIMING = StreamTiming()
UNHURRIED = StreamTiming(book_quiet_secs=math.inf)
FRESH = Freshness(60.0)
TICKERS = channel.tickers(SWAP)
BOOKS = channel.books(SWAP)
ORDERS = channel.orders(SWAP)
LOGGED_IN = {"event": "login", "code": "0", "msg": ""}


class Conversation:
    """A session under a clock that moves when told."""

    def __init__(
        self, clock, *, login: bool = False, orders: bool = False, timing: StreamTiming = TIMING
    ) -> None:
        slot = Slot("ticker", FRESH, clock.clocks)
        self.ticker = ValueSink(TICKERS, slot, push_values.ticker_in, outlives_connection=True)
        self.book = BookSink(BOOKS, Slot("book", FRESH, clock.clocks))
        self.orders = OrdersSink(ORDERS, OrderFeed())
        self.clock = clock
        self.session = StreamSession(
            [self.orders] if orders else [self.ticker, self.book],
            timing=timing,
            login_text=(lambda: '{"op":"login"}') if login else None,
            jitter=lambda: 1.0,
        )

    def start(self) -> list[Action]:
        return self.session.start(self.clock.secs)

    def take(self, message: object) -> list[Action]:
        text = message if isinstance(message, str) else json.dumps(message)
        return self.session.take(text, self.clock.secs)

    def acknowledge(self, *actions: Action) -> list[Action]:
        answered: list[Action] = []
        for request in map(request_of, actions):
            if request["op"] == "subscribe":
                answer = {"id": request["id"], "event": "subscribe", "arg": request["args"][0]}
                answered += self.take(answer)
        return answered

    def begin(self) -> None:
        """Subscribed to everything, the first pushes received."""
        self.acknowledge(*self.start())
        self.take(ticker_push())
        self.take(book_push("snapshot", -1, 1))
        assert self.session.is_ready

    def advance_to_tick(self) -> list[Action]:
        self.clock.advance(self.session.next_tick_secs - self.clock.secs)
        return self.session.tick(self.clock.secs)


def request_of(action: Action) -> Any:
    assert isinstance(action, Send)
    return json.loads(action.text)


def ticker_push() -> dict[str, Any]:
    return {"arg": TICKERS.argument(), "data": [{"instId": SWAP, "last": "50000", "ts": "1767268800000"}]}


def book_push(action: str, previous: int, sequence: int) -> dict[str, Any]:
    row = {"bids": [["50000", "1", "0", "1"]], "asks": [], "ts": "1767268800000"}
    numbers = {"prevSeqId": previous, "seqId": sequence, "checksum": 0}
    return {"arg": BOOKS.argument(), "action": action, "data": [row | numbers]}


@pytest.fixture
def talk(clock) -> Conversation:
    return Conversation(clock)


@pytest.fixture
def unhurried(clock) -> Conversation:
    """One that leaves a quiet book alone."""
    return Conversation(clock, timing=UNHURRIED)


def test_it_subscribes_to_each_channel_by_itself(talk: Conversation) -> None:
    """So that a refusal is about one of them."""
    requests = [request_of(action) for action in talk.start()]
    assert [request["args"] for request in requests] == [[TICKERS.argument()], [BOOKS.argument()]]
    assert len({request["id"] for request in requests}) == 2


def test_it_logs_in_before_it_subscribes(clock) -> None:
    """Private channels are refused without."""
    talk = Conversation(clock, login=True)
    assert [request_of(action)["op"] for action in talk.start()] == ["login"]
    assert [request_of(action)["op"] for action in talk.take(LOGGED_IN)] == ["subscribe", "subscribe"]
    assert talk.take(LOGGED_IN) == []


def test_what_is_sent_shows_no_secret(clock) -> None:
    """Its repr may end in a log line or a traceback."""
    assert "login" not in repr(Conversation(clock, login=True).start())


@pytest.mark.parametrize("code", ["60005", "60007", "60024", "60032"])
def test_a_login_that_can_never_pass_ends_it(clock, code: str) -> None:
    """Wrong key, signature or passphrase: trying again would only lock us out."""
    talk = Conversation(clock, login=True)
    talk.start()
    (action,) = talk.take({"event": "error", "code": code, "msg": "no"})
    assert isinstance(action, GiveUp)
    assert action.error.code == code


@pytest.mark.parametrize("code", ["60004", "60006", "60009", "60014", "63999"])
def test_a_login_that_may_pass_the_next_time_is_made_anew(clock, code: str) -> None:
    """A wrong time, too many requests, trouble at OKX."""
    talk = Conversation(clock, login=True)
    talk.start()
    (action,) = talk.take({"event": "error", "code": code, "msg": "not now"})
    assert isinstance(action, Drop)


@pytest.mark.parametrize("login", [True, False])
def test_without_an_answer_the_connection_is_dropped(clock, login: bool) -> None:
    """To a login or to a subscription."""
    talk = Conversation(clock, login=login)
    talk.start()
    (action,) = talk.advance_to_tick()[:1]
    assert isinstance(action, Drop)
    assert "no answer to the " in action.reason


def test_a_push_before_the_answer_to_its_subscription_is_not_taken(talk: Conversation) -> None:
    """It belongs to the subscription before this one."""
    talk.start()
    talk.take(ticker_push())
    with pytest.raises(OkxStaleError):
        talk.ticker.slot.latest()


def test_a_channel_that_is_refused_fails_alone(talk: Conversation) -> None:
    """The others go on."""
    tickers, books = talk.start()
    refusal = {"event": "error", "code": "60018", "msg": "wrong channel", "id": request_of(tickers)["id"]}
    assert talk.take(refusal) == []
    talk.acknowledge(books)
    talk.take(book_push("snapshot", -1, 1))
    with pytest.raises(OkxSubscriptionRefusedError, match="wrong channel"):
        talk.ticker.slot.latest()
    assert talk.book.slot.latest().sequence == 1


@pytest.mark.parametrize(
    "error", [{"code": "60018"}, {"code": "60018", "id": "99"}, {"code": "60014", "id": "1"}, {"code": "1"}]
)
def test_an_error_that_cannot_be_settled_makes_the_connection_anew(talk: Conversation, error) -> None:
    """It names no request of ours, or is about a moment."""
    talk.start()
    (action,) = talk.take({"event": "error", "msg": "trouble", **error})
    assert isinstance(action, Drop)


def test_an_announced_close_is_no_failure(talk: Conversation) -> None:
    """OKX restarts its servers; it says so a minute before."""
    talk.begin()
    assert talk.take({"event": "notice", "code": "64008", "msg": "soon"}) == [
        Drop("OKX announces: soon (code 64008)", planned=True)
    ]


def test_a_silent_connection_is_pinged_and_then_dropped(unhurried: Conversation) -> None:
    """Before OKX's own limit of 30 s."""
    unhurried.begin()
    began = unhurried.clock.secs
    assert unhurried.advance_to_tick() == [Send("ping")]
    (action,) = unhurried.advance_to_tick()
    assert isinstance(action, Drop)
    assert "silent" in action.reason
    assert unhurried.clock.secs - began < 30


def test_a_pong_or_any_message_shows_that_okx_is_there(unhurried: Conversation) -> None:
    """The next ping is due only after another silence."""
    unhurried.begin()
    for message in ("pong", ticker_push()):
        assert unhurried.advance_to_tick() == [Send("ping")]
        assert unhurried.take(message) == []
    assert unhurried.session.next_tick_secs == unhurried.clock.secs + TIMING.heartbeat_secs


def test_a_gap_in_the_book_fetches_it_anew(talk: Conversation) -> None:
    """At once; until the new snapshot there is no book, and what comes of the old one is not taken."""
    talk.begin()
    actions = talk.take(book_push("update", 7, 8))
    assert [request_of(action)["op"] for action in actions] == ["unsubscribe", "subscribe"]
    with pytest.raises(OkxStaleError, match="updates are missing"):
        talk.book.slot.latest()
    assert talk.take(book_push("update", 8, 9)) == []
    talk.acknowledge(*actions)
    assert talk.take(book_push("update", 9, 10)) == []
    talk.take(book_push("snapshot", -1, 11))
    assert talk.book.slot.latest().sequence == 11
    assert (talk.book.gaps, talk.session.resubscriptions) == (1, 1)
    assert talk.ticker.slot.latest().last_usd == 50_000


def test_a_refused_unsubscription_is_not_taken_for_a_refused_subscription(talk: Conversation) -> None:
    """Each request has an id of its own; what OKX means is not clear, so the connection is made anew."""
    talk.begin()
    end, _ = talk.take(book_push("update", 7, 8))
    refusal = {"event": "error", "code": "60018", "msg": "not subscribed", "id": request_of(end)["id"]}
    (action,) = talk.take(refusal)
    assert isinstance(action, Drop)


def test_gaps_in_a_row_are_answered_ever_more_slowly(talk: Conversation) -> None:
    """OKX allows 480 subscriptions an hour: a broken channel must not use them up."""
    talk.begin()
    actions = talk.take(book_push("update", 7, 8))
    pauses = []
    for _ in range(4):
        talk.acknowledge(*actions)
        talk.take(book_push("snapshot", -1, 1))
        assert talk.take(book_push("update", 7, 8)) == []
        gap_at = talk.clock.secs
        actions = talk.advance_to_tick()
        assert [request_of(action)["op"] for action in actions] == ["unsubscribe", "subscribe"]
        pauses.append(talk.clock.secs - gap_at)
    assert pauses == [1, 2, 4, 8]


def test_after_a_calm_while_a_gap_is_answered_at_once_again(talk: Conversation) -> None:
    """It is no longer one in a row."""
    talk.begin()
    for _ in range(2):
        actions = talk.take(book_push("update", 7, 8))
        assert len(actions) == 2
        talk.acknowledge(*actions)
        talk.take(book_push("snapshot", -1, 1))
        talk.clock.advance(TIMING.stable_after_secs)


def test_a_lost_first_push_is_asked_for_again(talk: Conversation) -> None:
    """OKX sends it at once; silence means that it was lost."""
    talk.acknowledge(*talk.start())
    talk.take(ticker_push())
    actions = talk.advance_to_tick()
    assert [request_of(action)["args"][0]["channel"] for action in actions] == ["books", "books"]


def test_updates_without_their_snapshot_do_not_stand_in_for_it(talk: Conversation) -> None:
    """The snapshot was lost, the updates were not: without it they say nothing."""
    talk.acknowledge(*talk.start())
    talk.take(ticker_push())
    for number in range(5):
        talk.take(book_push("update", number, number + 1))
    actions = talk.advance_to_tick()
    assert [request_of(action)["args"][0]["channel"] for action in actions] == ["books", "books"]


def test_a_quiet_book_is_fetched_anew_again_and_again(talk: Conversation) -> None:
    """A lost update shows in nothing before the next; it is no failure, so the pauses do not grow."""
    talk.begin()
    for fetched in range(1, 5):
        talk.clock.advance(TIMING.book_quiet_secs - 0.01)
        talk.take(ticker_push())
        assert talk.session.tick(talk.clock.secs) == []
        talk.clock.advance(0.01)
        requests = talk.session.tick(talk.clock.secs)
        assert [(request_of(action)["op"], request_of(action)["args"]) for action in requests] == [
            ("unsubscribe", [BOOKS.argument()]),
            ("subscribe", [BOOKS.argument()]),
        ]
        assert talk.book.slot.latest().sequence == fetched
        talk.acknowledge(*requests)
        assert talk.book.slot.latest().sequence == fetched
        talk.take(book_push("snapshot", -1, fetched + 1))
        assert talk.book.slot.latest().sequence == fetched + 1
    assert talk.session.resubscriptions == 0
    assert talk.session.is_ready


def test_a_book_with_news_is_not_fetched_anew(talk: Conversation) -> None:
    """Each update says that none before it is missing, and so does a heartbeat."""
    talk.begin()
    for sequence in range(1, 5):
        talk.clock.advance(TIMING.book_quiet_secs - 0.01)
        assert talk.take(book_push("update", sequence, sequence + 1)) == []
        assert talk.session.tick(talk.clock.secs) == []


def test_a_snapshot_of_a_quiet_book_that_does_not_come_is_asked_for_again(talk: Conversation) -> None:
    """The book before it ages meanwhile, until nobody acts on it."""
    talk.begin()
    talk.clock.advance(TIMING.book_quiet_secs)
    talk.take(ticker_push())
    talk.acknowledge(*talk.session.tick(talk.clock.secs))
    age_secs = talk.book.slot.age_secs
    talk.take(book_push("update", 1, 2))
    talk.clock.advance(TIMING.answer_within_secs)
    talk.take(ticker_push())
    requests = talk.session.tick(talk.clock.secs)
    assert [request_of(action)["op"] for action in requests] == ["unsubscribe", "subscribe"]
    assert talk.book.slot.age_secs == age_secs + TIMING.answer_within_secs
    assert talk.session.resubscriptions == 1


@pytest.mark.parametrize("books", [1, 3])
def test_quiet_books_share_what_okx_takes_of_subscriptions_in_an_hour(clock, books: int) -> None:
    """480 on a connection, their ends among them."""
    channels = [channel.books(f"A{number}-USD-SWAP") for number in range(books)]
    sinks = [BookSink(one, Slot("book", FRESH, clock.clocks)) for one in channels]
    session = StreamSession(sinks, timing=TIMING, login_text=None, jitter=lambda: 1.0)
    requests, sent = session.start(clock.secs), 0
    until_secs = clock.secs + 3600
    while clock.secs < until_secs:
        sent += sum(map(is_request, requests))
        for action in requests:
            answer_request(session, action, clock.secs)
        clock.advance(max(0.0, session.next_tick_secs - clock.secs))
        requests = session.tick(clock.secs)
        assert not any(isinstance(action, Drop) for action in requests)
    assert 300 < sent <= 400


def is_request(action: Action) -> bool:
    return isinstance(action, Send) and action.text != "ping"


def answer_request(session: StreamSession, action: Action, now_secs: float) -> None:
    if not is_request(action):
        session.take("pong", now_secs)
        return
    request = request_of(action)
    (argument,) = request["args"]
    session.take(json.dumps({"id": request["id"], "event": request["op"], "arg": argument}), now_secs)
    if request["op"] == "subscribe":
        push = book_push("snapshot", -1, 1) | {"arg": argument}
        session.take(json.dumps(push), now_secs)


def test_orders_have_no_first_push(clock) -> None:
    """Nothing is missing when nothing comes: only the heartbeat is due."""
    talk = Conversation(clock, orders=True)
    talk.acknowledge(*talk.start())
    assert talk.session.next_tick_secs == clock.secs + TIMING.heartbeat_secs


async def test_an_unreadable_frame_makes_the_reader_of_orders_reconcile(clock) -> None:
    """It may have been a fill."""
    talk = Conversation(clock, orders=True)
    talk.acknowledge(*talk.start())
    assert talk.take("<html>") == []
    assert talk.session.take_binary(clock.secs) == []
    assert talk.session.unreadable == 2
    events = talk.orders.feed.events()
    reasons = [(await anext(events)).reason for _ in range(3)]
    assert [reason[:30] for reason in reasons] == [
        "the subscription has just begun: earlier"[:30],
        "OKX sent what it does not document"[:30],
        "OKX sent what it does not document"[:30],
    ]


async def test_the_reader_of_orders_is_reminded_to_ask_for_what_may_be_lost(clock) -> None:
    """Every minute, also while other messages come; OKX numbers no changes of orders."""
    talk = Conversation(clock, orders=True)
    talk.acknowledge(*talk.start())
    events = talk.orders.feed.events()
    assert (await anext(events)).reason.startswith("the subscription has just begun")
    for _ in range(2):
        for _ in range(6):
            clock.advance(TIMING.reconcile_secs / 6)
            talk.take("pong")
        assert talk.session.next_tick_secs == clock.secs
        assert talk.session.tick(clock.secs) == []
        assert (await anext(events)).reason.startswith("it is time")
    assert "waiting=0" in repr(talk.orders.feed)


def test_before_its_subscription_stands_nobody_is_reminded(clock) -> None:
    """The answer to it says the same."""
    talk = Conversation(clock, orders=True)
    talk.start()
    clock.advance(TIMING.reconcile_secs)
    talk.take("pong")
    talk.session.tick(clock.secs)
    assert "waiting=0" in repr(talk.orders.feed)


def test_prices_are_reminded_of_nothing(unhurried: Conversation) -> None:
    """Their channels repeat themselves or are numbered."""
    unhurried.begin()
    unhurried.clock.advance(TIMING.reconcile_secs)
    unhurried.take("pong")
    assert unhurried.session.tick(unhurried.clock.secs) == []
    assert unhurried.ticker.slot.received == 1
    assert unhurried.book.slot.latest().sequence == 1


MESSAGES = st.sampled_from(
    [
        "pong",
        "garbage",
        json.dumps(LOGGED_IN),
        json.dumps({"event": "subscribe", "arg": TICKERS.argument()}),
        json.dumps({"event": "subscribe", "arg": BOOKS.argument()}),
        json.dumps({"event": "unsubscribe", "arg": BOOKS.argument()}),
        json.dumps({"event": "error", "code": "60018", "msg": "", "id": "1"}),
        json.dumps(ticker_push()),
        json.dumps(book_push("snapshot", -1, 1)),
        json.dumps(book_push("update", 1, 2)),
        json.dumps(book_push("update", 5, 6)),
    ]
)
STEPS = st.lists(st.one_of(MESSAGES, st.floats(min_value=0, max_value=40)), max_size=40)


@settings(deadline=None)
@given(steps=STEPS, login=st.booleans())
def test_whatever_comes_it_never_waits_for_ever_and_never_shows_a_doubtful_book(
    steps: list[str | float], login: bool
) -> None:
    """Some tick is always due within the heartbeat; a book that is shown has an unbroken chain."""
    clock = HeldSteps()
    talk = Conversation(clock, login=login)
    talk.start()
    for step in steps:
        actions = talk.take(step) if isinstance(step, str) else clock.pass_by(talk, step)
        assert talk.session.next_tick_secs <= clock.secs + TIMING.heartbeat_secs
        if any(isinstance(action, Drop | GiveUp) for action in actions):
            return
        with contextlib.suppress(OkxStaleError, OkxSubscriptionRefusedError):
            assert talk.book.slot.latest().sequence in (1, 2)


class HeldSteps:
    """A clock of its own for each example."""

    def __init__(self) -> None:
        self.secs = 0.0
        self.clocks = Clocks(monotonic=lambda: self.secs, now=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))

    def advance(self, secs: float) -> None:
        self.secs += secs

    def pass_by(self, talk: Conversation, secs: float) -> list[Action]:
        """Let time pass as the shell does: every tick that comes due is made."""
        until, actions = self.secs + secs, []
        while talk.session.next_tick_secs <= until:
            self.secs = max(self.secs, talk.session.next_tick_secs)
            actions += talk.session.tick(self.secs)
            if any(isinstance(action, Drop | GiveUp) for action in actions):
                break
        self.secs = max(self.secs, until)
        return actions
