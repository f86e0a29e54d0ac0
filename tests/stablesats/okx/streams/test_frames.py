"""The texts that go over the WebSocket."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx import OkxCredentials
from stablesats.okx.streams import channel, frames
from stablesats.okx.streams.frames import (
    LoggedIn,
    Notice,
    Other,
    Pong,
    Push,
    Refused,
    Subscribed,
    Unreadable,
    Unsubscribed,
    read_frame,
)

TICKERS = {"channel": "tickers", "instId": "BTC-USD-SWAP"}
ERROR = {"event": "error", "code": "60018", "msg": "Wrong URL", "connId": "a"}


def test_login_is_signed_for_the_second() -> None:
    """Source: the vector in OKX's terms, made with this secret."""
    secret = "22582BD0CFF14C41EDBF1AB98506286D"
    credentials = OkxCredentials(api_key="key", secret_key=secret, passphrase="phrase")
    text = frames.login_text(credentials, datetime(2024, 1, 10, 8, 55, 47, 999_000, UTC))
    assert json.loads(text) == {
        "op": "login",
        "args": [
            {
                "apiKey": "key",
                "passphrase": "phrase",
                "timestamp": "1704876947",
                "sign": "5/36BgGV6m/6pmdc20zdqk0mzF5ZalmzzPD2fo3wavU=",
            }
        ],
    }
    assert secret not in text


def test_subscriptions() -> None:
    """One channel a request, so that each answer is about one."""
    tickers = channel.tickers("BTC-USD-SWAP")
    assert json.loads(frames.subscribe_text(tickers, "s1")) == {
        "id": "s1",
        "op": "subscribe",
        "args": [TICKERS],
    }
    assert json.loads(frames.unsubscribe_text(tickers, "2")) == {
        "id": "2",
        "op": "unsubscribe",
        "args": [TICKERS],
    }


@pytest.mark.parametrize(
    ("sent", "frame"),
    [
        ("pong", Pong()),
        ({"event": "login", "code": "0", "msg": "", "connId": "a"}, LoggedIn()),
        ({"event": "login", "code": "60009", "msg": "Login failure"}, Refused("60009", "Login failure", "")),
        ({"event": "subscribe", "arg": TICKERS, "connId": "a"}, Subscribed(TICKERS, "")),
        ({"id": "s1", "event": "subscribe", "arg": TICKERS}, Subscribed(TICKERS, "s1")),
        ({"event": "unsubscribe", "arg": TICKERS}, Unsubscribed(TICKERS)),
        (ERROR, Refused("60018", "Wrong URL", "")),
        ({**ERROR, "id": "s1", "code": 60018}, Refused("60018", "Wrong URL", "s1")),
        ({"event": "notice", "code": "64008", "msg": "soon"}, Notice("64008", "soon")),
        ({"event": "channel-conn-count", "channel": "orders", "connCount": "2"}, Other("channel-conn-count")),
        ({"arg": TICKERS, "data": [{"a": 1}]}, Push(TICKERS, "", False, ({"a": 1},))),
        ({"arg": TICKERS, "action": "update", "data": []}, Push(TICKERS, "update", False, ())),
        ({"arg": TICKERS, "eventType": "snapshot", "data": []}, Push(TICKERS, "", True, ())),
        (
            {"arg": TICKERS, "eventType": "snapshot", "curPage": 1, "lastPage": True, "data": []},
            Push(TICKERS, "", True, ()),
        ),
        # One page of several does not hold all there is.
        (
            {"arg": TICKERS, "eventType": "snapshot", "curPage": 1, "lastPage": False, "data": []},
            Push(TICKERS, "", False, ()),
        ),
        ({"arg": TICKERS, "eventType": "event_update", "data": []}, Push(TICKERS, "", False, ())),
    ],
)
def test_what_a_frame_says(sent: object, frame: frames.Frame) -> None:
    """Each shape that OKX documents."""
    assert read_frame(sent if isinstance(sent, str) else json.dumps(sent)) == frame


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping",
        "{",
        "[]",
        "null",
        "NaN",
        '{"arg":{"channel":"tickers"},"data":[{"px":NaN}]}',
        "[" * 100_000,
        "{}",
        '{"event":"surprise"}',
        '{"event":"subscribe"}',
        '{"arg":[],"data":[]}',
        '{"arg":{}}',
        '{"arg":{},"data":{}}',
        '{"arg":{},"data":[1]}',
        "<html>502</html>",
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_anything_else_is_unreadable(text: str) -> None:
    """Counted and reported, never a crash; quoted only in part."""
    frame = read_frame(text)
    assert isinstance(frame, Unreadable)
    assert len(frame.why) < 300


def test_a_bare_number_stays_exact() -> None:
    """No binary float on the way."""
    frame = read_frame('{"arg":{},"data":[{"px":0.1}]}')
    assert isinstance(frame, Push)
    assert frame.rows[0]["px"] == Decimal("0.1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["event", "arg", "data", "code", "msg", "id", "action", "eventType"])


@settings(deadline=None)
@given(document=st.dictionaries(KEYS, json_values) | json_values)
def test_no_frame_raises(document: object) -> None:
    """Whatever OKX sends, it is one of the known kinds or unreadable."""
    assert isinstance(read_frame(json.dumps(document)), frames.Frame)


@settings(deadline=None)
@given(text=st.text())
def test_no_text_raises(text: str) -> None:
    """Nor anything that is no JSON."""
    assert isinstance(read_frame(text), frames.Frame)
