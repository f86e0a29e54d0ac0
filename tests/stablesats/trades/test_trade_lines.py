"""What a line says, and what is wrong with those that say nothing usable."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.trades import MalformedItem, Place, ReceivedTrade, RevertRequest, Unit, UserTrade
from stablesats.trades.trade_lines import KEPT_TEXT_CHARACTERS, LARGEST_LINE_BYTES, read_line

HERE = Place("trades.jsonl", 7)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FIELDS: dict[str, Any] = {
    "id": "t1",
    "timestamp": "2026-09-01T12:00:00Z",
    "buy_unit": "usd_cent",
    "buy_amount": 500,
    "sell_unit": "satoshi",
    "sell_amount": 1_000_000,
    "btc_tx_id": "btc-1",
    "usd_tx_id": "usd-1",
}
TRADE = UserTrade(
    id="t1",
    timestamp=datetime(2026, 9, 1, 12, tzinfo=UTC),
    buy_unit=Unit.USD_CENT,
    buy_amount=500,
    sell_unit=Unit.SATOSHI,
    sell_amount=1_000_000,
    btc_tx_id="btc-1",
    usd_tx_id="usd-1",
)


def line(**changes: Any) -> bytes:
    return json.dumps(FIELDS | changes).encode()


def without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in FIELDS.items() if name not in names}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        line(),
        line() + b"\r",
        b"\xef\xbb\xbf" + line(),
        line(timestamp="2026-09-01T14:00:00+02:00"),
        line(timestamp=1_788_264_000_000),
        line(memo="not ours", nested={"also": ["not", "ours"]}),
        line(memo="x").replace(b'"x"', b"1e9999999999999999999"),
    ],
    ids=["plain", "CR LF", "byte order mark", "other zone", "milliseconds", "foreign keys", "huge number"],
)
def test_trade_is_read(raw: bytes) -> None:
    """In any of the ways in which a backend may write it."""
    assert read_line(raw, HERE) == ReceivedTrade(TRADE, HERE)


@pytest.mark.parametrize("raw", [without("btc_tx_id", "usd_tx_id"), line(btc_tx_id=None, usd_tx_id=None)])
def test_trade_without_payments_is_read(raw: bytes) -> None:
    """It has neither of them; one alone would be half a trade."""
    found = read_line(raw, HERE)
    assert isinstance(found, ReceivedTrade)
    assert found.trade.reference is None


@pytest.mark.parametrize(
    "timestamp", [1_230_940_800_000, "1230940800000", "2009-01-03", "2009-01-03T01:00:00+01:00"]
)
def test_day_of_the_first_block_is_read_however_it_is_written(timestamp: object) -> None:
    """No trade is older."""
    assert isinstance(read_line(line(timestamp=timestamp), HERE), ReceivedTrade)


def test_revert_is_read() -> None:
    """It names the trade and nothing else."""
    assert read_line(b'{"revert": "t1"}', HERE) == RevertRequest("t1", HERE)


def test_trace_context_is_taken_along() -> None:
    """For whoever follows a trade from the backend on."""
    assert read_line(line(traceparent=PARENT), HERE) == ReceivedTrade(TRADE, HERE, PARENT)
    for unusable in (5, "", PARENT.upper(), PARENT + "\ud800", "x" * 10_000):
        assert read_line(line(traceparent=unusable), HERE) == ReceivedTrade(TRADE, HERE, None)


@pytest.mark.parametrize("raw", [b"", b"  ", b"\r", b"\t \r"])
def test_blank_line_says_nothing(raw: bytes) -> None:
    """And is no fault."""
    assert read_line(raw, HERE) is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not JSON: "),
        (b"hello", "not JSON: "),
        (line() + line(), "not JSON: "),
        (b"[1]", "not a JSON object but list"),
        (b"null", "not a JSON object but NoneType"),
        (b"\xff\xfe{}", "not UTF-8 (byte 0)"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"id": "t1", "id": "t2"}', "key 'id' stands there twice"),
        (line(memo="x").replace(b'"memo": "x"', b'"memo": {"a": 1, "a": 1}'), "key 'a' stands there twice"),
        (line().replace(b"500", b"NaN"), "NaN is no number"),
        (line().replace(b"500", b"-Infinity"), "-Infinity is no number"),
        (line().replace(b"500", b"9" * 5_000), "not JSON: "),
        (line().replace(b"500", b"9" * 30), "below 2^63"),
        (line(buy_amount=500.0), "buy_amount must be whole"),
        (line(buy_amount=0.5), "buy_amount must be whole"),
        (line(buy_amount="500"), "buy_amount must be whole"),
        (line(buy_amount=True), "buy_amount must be whole"),
        (line(buy_amount=None), "buy_amount must be whole"),
        (line(buy_amount=0), "above zero"),
        (line(sell_amount=-1), "above zero"),
        (line(buy_unit="satoshi"), "both sides are in satoshi"),
        (line(buy_unit="eur"), "buy_unit must be usd_cent or satoshi, got 'eur'"),
        (line(buy_unit=["usd_cent"]), "buy_unit must be usd_cent or satoshi"),
        (without("sell_unit", "sell_amount"), "a trade without sell_amount, sell_unit"),
        (without("id"), "a trade without id"),
        (b"{}", "a trade without buy_amount"),
        (line(id=1), "needs a text as its id"),
        (line(id=""), "needs a text as its id"),
        (line(id="x" * 257), "1 to 256 characters"),
        (line(id="\ud800"), "half a character"),
        (line(btc_tx_id=""), "btc_tx_id must be a text of 1 to 256 characters, got ''"),
        (line(usd_tx_id=5), "usd_tx_id must be a text"),
        (line(timestamp="2026-09-01T12:00:00"), "no time zone"),
        (line(timestamp="noon"), "timestamp: 'noon' is not ISO 8601"),
        (line(timestamp=None), "timestamp: None is no instant"),
        (line(timestamp=True), "timestamp: True is no instant"),
        (line(timestamp=1.5), "timestamp: "),
        (line(timestamp=10**15), "years 1 to 9999"),
        (
            line(timestamp=1_788_264_000),
            "1970-01-21 in milliseconds since 1970, which is what a number must be",
        ),
        (line(timestamp="1788264000"), "are these seconds?"),
        (line(timestamp=1_230_940_799_999), "1230940799999 is 2009-01-02"),
        (
            line(timestamp="2009-01-02T23:59:59.999Z"),
            "timestamp: 2009-01-02T23:59:59.999Z is before 2009-01-03",
        ),
        (line(timestamp="2009-01-03T00:00:00+01:00"), "is before 2009-01-03"),
        (line(timestamp="0001-01-01T00:00:00Z"), "is before 2009-01-03, the day of bitcoin's first block"),
        (line(buy_amount=1).replace(b'"buy_amount": 1', b'"buy_amount": 1e9999999999'), "must be whole"),
        (
            line(buy_amount=1).replace(b'"buy_amount": 1', b'"buy_amount": 1e9999999999999999999'),
            "must be whole",
        ),
        (without("usd_tx_id"), "a trade with one leg missing: no usd_tx_id"),
        (line(usd_tx_id=None), "a trade with one leg missing: no usd_tx_id"),
        (line(btc_tx_id=None), "a trade with one leg missing: no btc_tx_id"),
        (b'{"revert": ""}', "revert must be a text"),
        (b'{"revert": 5}', "revert must be a text"),
        (b'{"revert": null}', "revert must be a text"),
        (line(revert="t1"), "both a revert and a trade"),
        (b" " * LARGEST_LINE_BYTES + b"x", f"longer than {LARGEST_LINE_BYTES} bytes"),
    ],
)
def test_unusable_line_is_kept_with_its_reason(raw: bytes, reason: str) -> None:
    """Where it stood, what stood there, what is wrong: one line never stops the others."""
    found = read_line(raw, HERE)
    assert isinstance(found, MalformedItem)
    assert reason in found.reason
    assert found.place == HERE
    assert found.text == raw.decode(errors="replace")[:KEPT_TEXT_CHARACTERS]


@pytest.mark.parametrize(
    ("raw", "trade_id"),
    [
        (line(buy_amount=0), "t1"),
        (without("sell_unit"), "t1"),
        (line(revert="t2"), "t1"),
        (line(timestamp="noon"), "t1"),
        (line(id=""), None),
        (line(id=5), None),
        (line(id="x" * 257), None),
        (line(id="\ud800"), None),
        (without("id"), None),
        (b'{"revert": 5}', None),
        (b'{"revert": ["t1"]}', None),
        (b"[1]", None),
        (b'{"id": "t1"', None),
    ],
)
def test_unusable_line_names_its_trade_where_it_can(raw: bytes, trade_id: str | None) -> None:
    """For whoever looks for the trade and not for the line."""
    found = read_line(raw, HERE)
    assert isinstance(found, MalformedItem)
    assert found.trade_id == trade_id


@pytest.mark.parametrize(("traceparent", "kept"), [(PARENT, PARENT), (PARENT.upper(), None), (5, None)])
def test_unusable_line_keeps_its_trace(traceparent: object, kept: str | None) -> None:
    """The trace of whoever wrote it shows what became of it."""
    found = read_line(line(buy_amount=0, traceparent=traceparent), HERE)
    assert isinstance(found, MalformedItem)
    assert found.traceparent == kept


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_line_is_read_or_set_aside(raw: bytes) -> None:
    """Nothing that anybody writes into a file raises."""
    found = read_line(raw, HERE)
    assert found is None or isinstance(found, ReceivedTrade | RevertRequest | MalformedItem)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "revert", "traceparent"]), JSON))
def test_trade_with_anything_in_its_fields_is_sound_or_set_aside(changes: dict[str, Any]) -> None:
    """What comes through has whole amounts above zero in two units, and identifies itself."""
    found = read_line(line(**changes), HERE)
    match found:
        case ReceivedTrade(trade):
            assert type(trade.buy_amount) is int
            assert type(trade.sell_amount) is int
            assert trade.sats > 0
            assert trade.cents > 0
            assert {trade.buy_unit, trade.sell_unit} == set(Unit)
            assert trade.id
        case RevertRequest(trade_id):
            assert trade_id
        case _:
            assert isinstance(found, MalformedItem)
            assert found.reason
