"""OKX's request signature."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from stablesats.okx.credentials import OkxCredentials
from stablesats.okx.signing import prehash, signature, signed_headers, timestamp_text

SECRET = SecretStr("22582BD0CFF14C41EDBF1AB98506286D")
ORDER = '{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"sell","ordType":"market","sz":"10"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "2020-12-08T09:08:57.715ZGET/api/v5/account/balance?ccy=BTC",
            "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY=",
        ),
        (
            f"2020-12-08T09:08:57.715ZPOST/api/v5/trade/order{ORDER}",
            "naynxkw4UkHoV/ophBEzkLuP8x2ZLPF4JrHwIsoLVIw=",
        ),
        ("1704876947GET/users/self/verify", "5/36BgGV6m/6pmdc20zdqk0mzF5ZalmzzPD2fo3wavU="),
    ],
)
def test_signature_of_a_known_text(text: str, expected: str) -> None:
    """base64(HMAC-SHA256(secret, text)), for a GET, a POST and a WebSocket login."""
    assert signature(SECRET, text) == expected


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2020, 12, 8, 9, 8, 57, 715_999, UTC), "2020-12-08T09:08:57.715Z"),
        (datetime(2020, 12, 8, 9, 8, 57, 0, UTC), "2020-12-08T09:08:57.000Z"),
        (datetime(2020, 12, 8, 11, 8, 57, 0, timezone(timedelta(hours=2))), "2020-12-08T09:08:57.000Z"),
    ],
)
def test_timestamp_is_utc_with_milliseconds(at: datetime, text: str) -> None:
    """Always three digits, cut and not rounded, whatever zone the clock has."""
    assert timestamp_text(at) == text


def test_headers_of_a_request() -> None:
    """The four headers OKX documents, signed over timestamp, method, target and body."""
    credentials = OkxCredentials(api_key="key", secret_key=SECRET, passphrase="phrase")
    assert signed_headers(
        credentials,
        at=datetime(2020, 12, 8, 9, 8, 57, 715_000, UTC),
        method="POST",
        request_target="/api/v5/trade/order",
        body=ORDER,
    ) == {
        "OK-ACCESS-KEY": "key",
        "OK-ACCESS-SIGN": "naynxkw4UkHoV/ophBEzkLuP8x2ZLPF4JrHwIsoLVIw=",
        "OK-ACCESS-TIMESTAMP": "2020-12-08T09:08:57.715Z",
        "OK-ACCESS-PASSPHRASE": "phrase",
    }


@given(
    at=st.datetimes(timezones=st.just(UTC)),
    method=st.sampled_from(["GET", "POST"]),
    target=st.from_regex(r"/[a-z0-9/-]{1,30}(\?[A-Za-z0-9=&-]{0,30})?", fullmatch=True),
    body=st.text(max_size=200),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
)
def test_signature_covers_every_part_as_sent(
    at: datetime, method: str, target: str, body: str, secret: str
) -> None:
    """The signed text is the four parts in order, unchanged, as UTF-8."""
    stamp = timestamp_text(at)
    signed = signature(
        SecretStr(secret), prehash(timestamp=stamp, method=method, request_target=target, body=body)
    )
    expected = hmac.new(secret.encode(), (stamp + method + target + body).encode(), hashlib.sha256)
    assert base64.b64decode(signed) == expected.digest()
