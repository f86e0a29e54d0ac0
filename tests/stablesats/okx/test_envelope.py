"""From the bytes of an answer to rows or a typed error."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx import (
    InsufficientMarginError,
    NewOrder,
    OkxAuthenticationError,
    OkxClockSkewError,
    OkxError,
    OkxOutcomeUnknownError,
    OkxProtocolError,
    OkxRateLimitedError,
    OkxRefusedError,
    OkxUnavailableError,
    OrderExpiredError,
    OrderNotFoundError,
    OrderSide,
    PositionNotFoundError,
    answers,
    calls,
)
from stablesats.okx.call import Call
from stablesats.okx.envelope import Answer, rows_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
READ = calls.positions("BTC-USD-SWAP")
ORDER = calls.market_order("BTC-USD-SWAP", OrderSide.SELL, 10, "a1", expires_at=NOON)
CLOSE = calls.close_position("BTC-USD-SWAP", "a1")


def answer(body: object, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=raw, sent_at=NOON, received_at=NOON)


def item(s_code: object, s_msg: str = "", code: str = "1") -> dict[str, object]:
    return {
        "code": code,
        "msg": "All operations failed" if code == "1" else "",
        "data": [{"clOrdId": "a1", "ordId": "", "sCode": s_code, "sMsg": s_msg}],
    }


def top(code: object, **others: object) -> dict[str, object]:
    return {"code": code, "msg": "text", "data": [], **others}


def test_rows_of_a_read() -> None:
    """Code 0 with a list of rows, unknown keys around it ignored; bare numbers are exact decimals."""
    body = b'{"code":"0","msg":"","data":[{"pos":"1","upl":0.1,"n":9007199254740993}],"inTime":"1"}'
    assert rows_of(answer(body), READ) == [{"pos": "1", "upl": Decimal("0.1"), "n": 9007199254740993}]


def test_no_rows_of_a_read() -> None:
    """An empty list under code 0 is an answer: there are none."""
    assert rows_of(answer({"code": "0", "msg": "", "data": []}), READ) == []


def test_accepted_item_of_a_write() -> None:
    """Code 0, and the item says so itself."""
    assert rows_of(answer(item("0", code="0")), ORDER)[0]["clOrdId"] == "a1"


@pytest.mark.parametrize("body", [top(0, data=[]), item(0, code="0")], ids=["code", "sCode"])
def test_codes_may_be_bare_numbers(body: dict[str, object]) -> None:
    """0 and "0" are the same verdict."""
    assert rows_of(answer(body), ORDER if body["data"] else READ) == body["data"]


REFUSED = [
    (top("51603"), 200, OrderNotFoundError),
    ({"code": "50011", "msg": "Too Many Requests"}, 429, OkxRateLimitedError),  # no `data` key at all
    ({"code": "50113", "msg": "Invalid Sign"}, 401, OkxAuthenticationError),
    (top("50102"), 401, OkxClockSkewError),
    (top("51000"), 400, OkxRefusedError),
    (b"<html>429 Too Many Requests</html>", 429, OkxRateLimitedError),
    (top("59999"), 200, OkxRefusedError),
]


@pytest.mark.parametrize("call", [READ, ORDER, CLOSE], ids=["read", "order", "close"])
@pytest.mark.parametrize(("body", "status", "error"), REFUSED)
def test_a_refusal_at_the_top(call: Call, body: object, status: int, error: type[OkxError]) -> None:
    """A certain refusal is the same error for a read and for a write; an empty list under it means nothing."""
    with pytest.raises(OkxRefusedError) as refused:
        rows_of(answer(body, status), call)
    assert type(refused.value) is error
    assert refused.value.http_status == status


@pytest.mark.parametrize("code", ["0", "1", "2"])
@pytest.mark.parametrize(
    ("s_code", "error"),
    [("51008", InsufficientMarginError), ("50037", OrderExpiredError), ("51000", OkxRefusedError)],
)
def test_a_refused_item(code: str, s_code: str, error: type[OkxError]) -> None:
    """The item's verdict counts, whatever the code above it says: 0 and 2 do not make it accepted."""
    with pytest.raises(OkxRefusedError, match="Order failed") as refused:
        rows_of(answer(item(s_code, "Order failed", code=code)), ORDER)
    assert type(refused.value) is error
    assert refused.value.code == s_code


def test_no_position_to_close() -> None:
    """Told at the top, with status 200."""
    with pytest.raises(PositionNotFoundError):
        rows_of(answer(top("51023")), CLOSE)


AMBIGUOUS = [
    (top("50001"), 503),  # temporarily unavailable: not said at which stage
    (top("50001"), 200),
    (top("50004"), 400),  # endpoint timed out
    (top("50013"), 429),  # systems are busy
    (top("50026"), 500),  # system error
    (top("51149"), 200),  # order timed out
    (top("51603"), 500),  # a certain code, but the server failed while answering
    (top("0"), 502),
    (b"<html>502 Bad Gateway</html>", 502),
    (b"", 504),
]


@pytest.mark.parametrize(("body", "status"), AMBIGUOUS)
def test_server_trouble_leaves_a_write_unknown(body: object, status: int) -> None:
    """Nothing in such an answer says that the order was not executed."""
    for call in (ORDER, CLOSE):
        with pytest.raises(OkxOutcomeUnknownError, match="client order id a1") as unknown:
            rows_of(answer(body, status), call)
        assert unknown.value.http_status == status


@pytest.mark.parametrize(("body", "status"), AMBIGUOUS)
def test_server_trouble_makes_a_read_worth_repeating(body: object, status: int) -> None:
    """For a read the same answers only mean: try again."""
    with pytest.raises(OkxUnavailableError):
        rows_of(answer(body, status), READ)


@pytest.mark.parametrize("s_code", ["50026", "51149", "50001", "50099"])
def test_an_ambiguous_item_leaves_the_order_unknown(s_code: str) -> None:
    """A timeout told per item is as ambiguous as one told at the top."""
    with pytest.raises(OkxOutcomeUnknownError) as unknown:
        rows_of(answer(item(s_code)), ORDER)
    assert unknown.value.code == s_code


def test_a_general_code_that_is_new_to_us_leaves_a_write_unknown_and_refuses_a_read() -> None:
    """It may stand for a timeout inside OKX; for a read there is nothing to lose by believing it."""
    with pytest.raises(OkxOutcomeUnknownError):
        rows_of(answer(top("50099")), CLOSE)
    with pytest.raises(OkxRefusedError):
        rows_of(answer(top("50099")), READ)


NOT_UNDERSTOOD = [
    (b"", 200),
    (b"not json", 200),
    (b"\xff\xfe", 200),
    (b"[" * 100_000, 200),
    (b'{"code":"0","data":[{"a":NaN}]}', 200),
    (b'{"code":"0","data":[' + b"9" * 5_000 + b"]}", 200),
    (b"[]", 200),
    (b'"0"', 200),
    ({"msg": "", "data": []}, 200),
    ({"code": "", "data": []}, 200),
    ({"code": True, "data": []}, 200),
    ({"code": None, "data": []}, 200),
    ({"code": "0", "msg": ""}, 200),  # no data key
    ({"code": "0", "data": {}}, 200),
    ({"code": "0", "data": None}, 200),
    ({"code": "0", "data": ["row"]}, 200),
    ({"code": "0", "data": []}, 404),  # the status contradicts the code
    (b"<html>moved</html>", 302),
    (b"<html>forbidden</html>", 403),
]


@pytest.mark.parametrize(("body", "status"), NOT_UNDERSTOOD)
def test_an_undocumented_answer_to_a_read_is_a_protocol_error(body: object, status: int) -> None:
    """No value is made up from it."""
    with pytest.raises(OkxProtocolError, match="GET /api/v5/account/positions in an undocumented way"):
        rows_of(answer(body, status), READ)


@pytest.mark.parametrize(("body", "status"), NOT_UNDERSTOOD)
def test_an_undocumented_answer_to_a_write_leaves_it_unknown(body: object, status: int) -> None:
    """The order may have been executed before the answer went wrong."""
    with pytest.raises(OkxOutcomeUnknownError):
        rows_of(answer(body, status), ORDER)


@pytest.mark.parametrize(
    "body",
    [
        top("1"),  # "all failed" without saying which
        top("2"),
        item("0", code="1"),  # the item contradicts the code above it
        {"code": "0", "data": [{"ordId": "1", "clOrdId": "a1"}]},  # accepted without a verdict
    ],
)
def test_a_write_without_a_clear_verdict_is_unknown(body: object) -> None:
    """Only a verdict on the item itself counts."""
    with pytest.raises(OkxOutcomeUnknownError):
        rows_of(answer(body), ORDER)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["0", "1", "2", "51603", "50026"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "msg", "data", "sCode", "sMsg", "ordId"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    body=st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()),
    status=st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500, 502, 503]),
    call=st.sampled_from([READ, ORDER, CLOSE]),
)
def test_every_answer_has_exactly_one_meaning(body: bytes, status: int, call: Call) -> None:
    """Rows, or an error of ours; a write never ends as a protocol error, and never as certain after a 5xx."""
    try:
        rows = rows_of(answer(body, status), call)
    except OkxProtocolError:
        assert not call.endpoint.write
    except OkxOutcomeUnknownError:
        assert call.endpoint.write
    except OkxRefusedError:
        assert status < 500 or not call.endpoint.write
    else:
        assert status == 200
        assert all(isinstance(row, dict) for row in rows)


BATCH = calls.batch_orders(
    "BTC-USD-SWAP",
    [NewOrder(side=OrderSide.SELL, size_contracts=1, client_order_id=own) for own in ("a1", "a2")],
    expires_at=NOON,
)


@pytest.mark.parametrize(("code", "s_codes"), [("0", "00"), ("1", "11"), ("2", "01")])
def test_a_batch_is_judged_item_by_item(code: str, s_codes: str) -> None:
    """All, none or some: each item says it for itself."""
    items = [{"clOrdId": f"a{n}", "sCode": s_code, "sMsg": ""} for n, s_code in enumerate(s_codes, 1)]
    assert rows_of(answer({"code": code, "msg": "", "data": items}), BATCH) == items


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"code": "50011", "msg": "Too Many Requests"}, 429, OkxRateLimitedError),
        (top("50102"), 401, OkxClockSkewError),
        (top("50026"), 500, OkxOutcomeUnknownError),
        (top("0"), 200, OkxOutcomeUnknownError),
        (top("1"), 200, OkxOutcomeUnknownError),
        (top("2", data=[{"sCode": "0"}, {}]), 200, OkxOutcomeUnknownError),
        (top("2", data=[{"sCode": "0"}, None]), 200, OkxOutcomeUnknownError),
    ],
)
def test_a_batch_without_verdicts_is_refused_or_unknown_as_a_whole(
    body: dict[str, object], status: int, error: type
) -> None:
    """A code of its own refuses it; anything else that has no verdict for each is unknown."""
    with pytest.raises(error):
        answers.batch_outcomes_of(rows_of(answer(body, status), BATCH), BATCH)
