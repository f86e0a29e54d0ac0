"""One WebSocket connection without its socket: login, subscriptions, errors, faults."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx_simulator import (
    CloseStream,
    DropPush,
    DuplicatePush,
    FaultScript,
    GarbagePush,
    ReorderPush,
    SimulatorConfig,
)
from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.chain_payments import WithdrawalRequest
from stablesats.okx_simulator.conversation import LOGIN_FAILED, Conversation
from stablesats.okx_simulator.endpoints import Answer
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.signatures import ApiKey
from stablesats.okx_simulator.subscriptions import StreamKind

D = Decimal
SWAP = "BTC-USD-SWAP"
TICKERS = {"channel": "tickers", "instId": SWAP}

values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "args", "id", "channel"]), inner, max_size=3)
    ),
)


class Talk:
    """A conversation and a clock; says things and reads the answers."""

    def __init__(self, exchange: Exchange, clock: Any, kind: StreamKind = StreamKind.PUBLIC) -> None:
        self.exchange = exchange
        self.clock = clock
        self.faults = FaultScript()
        self.executed: list[tuple[str, object, str]] = []
        self.conversation = Conversation(
            kind,
            exchange,
            ApiKey("sim-key", "sim-secret", "sim-pass"),
            connection_id="c0ffee",
            execute=self._execute,
            take_fault=self.faults.take_push,
        )

    def _execute(self, operation: str, arguments: object, expiry: str) -> Answer:
        if arguments == {}:
            raise RefusalError("51000", "instId")
        self.executed.append((operation, arguments, expiry))
        return Answer([{"sCode": "0"}], is_trade=True)

    def say(self, frame: Any) -> list[Any]:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        answers = self.conversation.receive(text, now=self.clock.now(), now_secs=self.clock.seconds)
        return [answer if answer == "pong" else json.loads(answer) for answer in answers]

    def login(self, **change: Any) -> Any:
        timestamp = str(change.get("timestamp", int(self.clock.now().timestamp())))
        mac = hmac.new(b"sim-secret", f"{timestamp}GET/users/self/verify".encode(), hashlib.sha256)
        fields = {
            "apiKey": "sim-key",
            "passphrase": "sim-pass",
            "timestamp": timestamp,
            "sign": base64.b64encode(mac.digest()).decode(),
        }
        [answer] = self.say({"op": "login", "args": [fields | change]})
        return answer

    def pushes(self, seconds: float = 1.0) -> list[str]:
        self.clock.advance(seconds)
        return self.conversation.due(self.clock.seconds)


@pytest.fixture
def public(exchange_factory: Callable[..., Exchange], clock: Any) -> Talk:
    return Talk(exchange_factory(), clock)


@pytest.fixture
def private(exchange_factory: Callable[..., Exchange], clock: Any) -> Talk:
    return Talk(exchange_factory(), clock, StreamKind.PRIVATE)


def test_ping_is_answered_with_pong(public: Talk) -> None:
    """Plain texts, no JSON."""
    assert public.say("ping") == ["pong"]


def test_subscription_is_acknowledged_with_its_argument_and_id(public: Talk) -> None:
    """One answer for each argument, then pushes with the same argument."""
    books = {"channel": "books", "instId": SWAP}
    answers = public.say({"id": "7", "op": "subscribe", "args": [TICKERS, books]})
    assert answers == [
        {"id": "7", "event": "subscribe", "arg": arg, "connId": "c0ffee"} for arg in (TICKERS, books)
    ]
    assert [json.loads(push)["arg"] for push in public.pushes()] == [TICKERS, books]
    assert public.say({"op": "unsubscribe", "args": [TICKERS]})[0]["event"] == "unsubscribe"
    public.exchange.feed.set_by_hand(D(1), D(1))
    assert [json.loads(push)["arg"] for push in public.pushes()] == [books]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("garbage", "60012"),
        ("[]", "60012"),
        ("[" * 3000, "60012"),
        ("", "60012"),
        ({"args": []}, "60012"),
        ({"op": "dance"}, "60019"),
        ({"op": "subscribe"}, "60013"),
        ({"op": "subscribe", "args": []}, "60013"),
        ({"op": "subscribe", "args": [7]}, "60013"),
        ({"op": "subscribe", "args": [{"channel": "nothing"}]}, "60018"),
        ({"op": "subscribe", "args": [{"channel": "account"}]}, "60018"),
        ({"op": "login", "args": [{}]}, "60028"),
        ({"op": "order", "args": [{}]}, "60028"),
    ],
)
def test_frame_that_makes_no_sense_is_an_error_event(public: Talk, frame: Any, code: str) -> None:
    """OKX's own code; the connection goes on."""
    [answer] = public.say(frame)
    assert (answer["event"], answer["code"], answer["connId"]) == ("error", code, "c0ffee")
    assert public.conversation.close_code is None
    assert public.say("ping") == ["pong"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60) | values.map(json.dumps))
def test_nothing_that_is_said_breaks_a_connection(text: str) -> None:
    """Every frame has an answer, and none raises."""
    now = datetime(2026, 9, 1, tzinfo=UTC)
    exchange = Exchange(SimulatorConfig(), now=lambda: now, monotonic=lambda: 0.0)
    conversation = Conversation(
        StreamKind.PUBLIC,
        exchange,
        ApiKey("k", "s", "p"),
        connection_id="1",
        execute=lambda _operation, _arguments, _expiry: Answer([]),
        take_fault=lambda _channel: None,
    )
    assert conversation.receive(text, now=now, now_secs=0.0)


def test_private_channels_need_a_login(private: Talk) -> None:
    """60011 before, an acknowledgement and the count of connections after."""
    subscribe = {"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]}
    assert private.say(subscribe)[0]["code"] == "60011"
    assert private.login() == {"event": "login", "code": "0", "msg": "", "connId": "c0ffee"}
    acknowledged, counted = private.say(subscribe)
    assert (acknowledged["event"], counted["event"], counted["connCount"]) == (
        "subscribe", "channel-conn-count", "1",
    )  # fmt: skip
    assert private.login()["code"] == "60031"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"apiKey": "another"}, "60005"),
        ({"passphrase": "another"}, "60024"),
        ({"sign": "another"}, "60007"),
        ({"timestamp": "now"}, "60004"),
        ({"timestamp": 1}, "60006"),
        ({"sign": ""}, "60027"),
    ],
)
def test_failed_login_ends_the_connection(private: Talk, change: dict[str, Any], code: str) -> None:
    """The error comes first, then close 4001."""
    assert private.login(**change)["code"] == code
    assert private.conversation.close_code == LOGIN_FAILED


def test_published_login_vector_is_accepted(private: Talk, clock: Any) -> None:
    """The test vector of the documentation, its timestamp being a number as python-okx sends it."""
    clock.wall = clock.wall.fromtimestamp(1704876947, clock.wall.tzinfo)
    secret = "22582BD0CFF14C41EDBF1AB98506286D"
    private.conversation._api_key = ApiKey("sim-key", secret, "sim-pass")
    fields = {
        "apiKey": "sim-key",
        "passphrase": "sim-pass",
        "timestamp": 1704876947,
        "sign": "5/36BgGV6m/6pmdc20zdqk0mzF5ZalmzzPD2fo3wavU=",
    }
    assert private.say({"op": "login", "args": [fields]})[0]["code"] == "0"


def test_private_pushes_name_the_account(private: Talk) -> None:
    """`uid` beside the argument."""
    private.login()
    private.say({"op": "subscribe", "args": [{"channel": "account"}]})
    [push] = private.pushes()
    assert json.loads(push)["arg"] == {"channel": "account", "uid": "44705892343619584"}


def test_order_operations_are_executed_and_answered_with_their_id(private: Talk) -> None:
    """One order, a batch, a refusal; none before the login."""
    assert private.say({"id": "1", "op": "order", "args": [{"sz": "1"}]})[0]["code"] == "60011"
    private.login()
    [one] = private.say({"id": "1", "op": "order", "args": [{"sz": "1"}]})
    batch = {"id": "2", "op": "batch-orders", "args": [{"sz": "1"}, {"sz": "2"}]}
    private.say(batch | {"expTime": "1597026383085"})
    [refused] = private.say({"id": "3", "op": "cancel-order", "args": [{}]})
    assert (one["id"], one["op"], one["code"]) == ("1", "order", "0")
    assert refused["code"] == "51000"
    assert private.executed == [
        ("order", {"sz": "1"}, ""),
        ("batch-orders", [{"sz": "1"}, {"sz": "2"}], "1597026383085"),
    ]


def test_expiry_that_is_no_text_is_refused_with_the_id_of_the_operation(private: Talk) -> None:
    """51000 names the field, and nothing is executed; a number is as good as a text."""
    private.login()
    order = {"id": "1", "op": "order", "args": [{"sz": "1"}]}
    [refused] = private.say(order | {"expTime": ["1"]})
    assert (refused["id"], refused["code"], refused["msg"]) == ("1", "51000", "Parameter expTime error")
    private.say(order | {"expTime": 1597026383085})
    assert private.executed == [("order", {"sz": "1"}, "1597026383085")]


def test_more_requests_than_allowed_in_an_hour_are_refused(public: Talk, clock: Any) -> None:
    """The 481st; an hour later it goes on. A ping is no request."""
    for _ in range(480):
        public.say({"op": "subscribe", "args": [TICKERS]})
    assert public.say({"op": "subscribe", "args": [TICKERS]})[0]["code"] == "60014"
    assert public.say("ping") == ["pong"]
    clock.advance(3600)
    assert public.say({"op": "subscribe", "args": [TICKERS]})[0]["event"] == "subscribe"


def lasts(texts: list[str]) -> list[str]:
    """What each push says the price is; `?` for what cannot be read."""
    shown = []
    for text in texts:
        try:
            shown.append(json.loads(text)["data"][0]["last"])
        except json.JSONDecodeError:
            shown.append("?")
    return shown


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (DropPush(), [[], ["2"], ["3"]]),
        (DuplicatePush(), [["1", "1"], ["2"], ["3"]]),
        (ReorderPush(), [[], ["2", "1"], ["3"]]),
        (GarbagePush(), [["?"], ["2"], ["3"]]),
    ],
)
def test_pushes_get_lost_doubled_out_of_order_or_unreadable(
    public: Talk, fault: Any, expected: list[list[str]]
) -> None:
    """Once, as scripted; then all is well."""
    public.say({"op": "subscribe", "args": [TICKERS]})
    public.faults.add("ws/tickers", fault)
    seen = []
    for price in (1, 2, 3):
        public.exchange.feed.set_by_hand(D(price), D(price))
        seen.append(lasts(public.pushes()))
    assert seen == expected


def test_connection_can_be_closed_with_a_notice(public: Talk) -> None:
    """64008, then the code."""
    public.say({"op": "subscribe", "args": [TICKERS]})
    public.faults.add("ws/tickers", CloseStream(4006, notice=True))
    _, notice = public.pushes()
    assert (json.loads(notice)["event"], json.loads(notice)["code"]) == ("notice", "64008")
    assert public.conversation.close_code == 4006


def test_thirty_first_connection_of_a_channel_loses_it_again(
    exchange_factory: Callable[..., Exchange], clock: Any
) -> None:
    """It is acknowledged, then told how many there are; nothing is pushed."""
    private = Talk(exchange_factory(), clock, StreamKind.PRIVATE)
    private.login()
    for connections, event in ((30, "channel-conn-count"), (31, "channel-conn-count-error")):
        private.conversation._count_connections = lambda _channel, number=connections: number  # type: ignore[misc]
        acknowledged, counted = private.say({"op": "subscribe", "args": [{"channel": "account"}]})
        assert acknowledged["event"] == "subscribe"
        assert (counted["event"], counted["connCount"]) == (event, str(connections))
    assert not private.conversation.subscriptions


@pytest.fixture
def business(exchange_factory: Callable[..., Exchange], clock: Any) -> Talk:
    return Talk(exchange_factory(funding_btc=D(1), block_ms=None), clock, StreamKind.BUSINESS)


def test_every_change_of_a_deposit_is_pushed(business: Talk) -> None:
    """Nothing at first; then as it appears, is credited, and is final; another channel's changes are not its own."""
    business.login()
    [acknowledged] = business.say({"op": "subscribe", "args": [{"channel": "deposit-info", "ccy": "BTC"}]})
    assert acknowledged["arg"] == {"channel": "deposit-info", "ccy": "BTC"}
    assert business.pushes() == []
    wallet, clock = business.exchange.wallet, business.exchange.clock
    deposit = wallet.receive(D("0.25"), at=clock.now(), now_secs=clock.monotonic())
    withdraw(business.exchange)
    wallet.mine()
    wallet.mine()
    pushed = [json.loads(text) for text in business.pushes()]
    rows = [push["data"][0] for push in pushed]
    assert [(row["depId"], row["state"], row["actualDepBlkConfirm"]) for row in rows] == [
        (deposit.deposit_id, "0", "0"), (deposit.deposit_id, "1", "1"), (deposit.deposit_id, "2", "2"),
    ]  # fmt: skip
    assert pushed[0]["arg"].keys() == {"channel", "ccy", "uid"}
    assert (rows[0]["amt"], rows[0]["to"], rows[0]["subAcct"]) == ("0.25", wallet.addresses[0], "")
    assert business.pushes() == []


def test_every_change_of_a_withdrawal_is_pushed(business: Talk) -> None:
    """Waiting, broadcast with its transaction, successful; what was before the subscription is not."""
    withdraw(business.exchange, "before")
    business.login()
    business.say({"op": "subscribe", "args": [{"channel": "withdrawal-info"}]})
    withdraw(business.exchange, "after")
    business.exchange.wallet.mine()
    rows = [json.loads(text)["data"][0] for text in business.pushes()]
    assert [(row["clientId"], row["state"], bool(row["txId"])) for row in rows] == [
        ("after", "0", False), ("before", "1", True), ("after", "1", True)
    ]  # fmt: skip
    assert (rows[0]["fee"], rows[0]["toAddrType"], rows[0]["pTime"]) == (
        "0.00005", "1", str(int(business.clock.now().timestamp() * 1000)),
    )  # fmt: skip


def withdraw(exchange: Exchange, client_id: str = "") -> None:
    address = deposit_address(9, 9)
    exchange.withdraw(
        WithdrawalRequest(amount_btc=D("0.1"), address=address, client_id=client_id, is_internal=False)
    )


@pytest.mark.parametrize(
    ("kind", "argument", "code"),
    [
        (StreamKind.BUSINESS, {"channel": "deposit-info", "ccy": "ETH"}, "60018"),
        (StreamKind.BUSINESS, {"channel": "account"}, "60018"),
        (StreamKind.BUSINESS, {"channel": "candle1m", "instId": SWAP}, "60018"),
        (StreamKind.PRIVATE, {"channel": "withdrawal-info"}, "60018"),
    ],
)
def test_channel_of_another_address_does_not_exist(
    exchange_factory: Callable[..., Exchange], clock: Any, kind: StreamKind, argument: Any, code: str
) -> None:
    """Nor does a currency that is not held here."""
    talk = Talk(exchange_factory(), clock, kind)
    talk.login()
    [answer] = talk.say({"op": "subscribe", "args": [argument]})
    assert answer["code"] == code


def test_payments_are_for_their_owner(business: Talk) -> None:
    """60011 before the login."""
    [answer] = business.say({"op": "subscribe", "args": [{"channel": "deposit-info"}]})
    assert answer["code"] == "60011"
