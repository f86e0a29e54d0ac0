"""Who may call: the reference's test vectors and every way to fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.signatures import ApiKey, SignedRequest, authenticate

KEY = ApiKey("the-key", "22582BD0CFF14C41EDBF1AB98506286D", "the-passphrase")
NOW = datetime(2020, 12, 8, 9, 8, 57, 715_000, tzinfo=UTC)
GET = SignedRequest("GET", "/api/v5/account/balance?ccy=BTC", b"")
POST = SignedRequest(
    "POST",
    "/api/v5/trade/order",
    b'{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"sell","ordType":"market","sz":"10"}',
)
HEADERS = {
    "OK-ACCESS-KEY": "the-key",
    "OK-ACCESS-PASSPHRASE": "the-passphrase",
    "OK-ACCESS-SIGN": "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY=",
    "OK-ACCESS-TIMESTAMP": "2020-12-08T09:08:57.715Z",
}


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (GET, "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="),
        (POST, "naynxkw4UkHoV/ophBEzkLuP8x2ZLPF4JrHwIsoLVIw="),
    ],
)
@pytest.mark.parametrize("skew_secs", [-30, 0, 30])
def test_published_vectors_are_accepted_within_thirty_seconds(
    request_: SignedRequest, signature: str, skew_secs: int
) -> None:
    """The bound itself is inside."""
    now = NOW + timedelta(seconds=skew_secs)
    assert authenticate(request_, HEADERS | {"OK-ACCESS-SIGN": signature}, KEY, now=now) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"OK-ACCESS-KEY": ""}, "50103"),
        ({"OK-ACCESS-PASSPHRASE": ""}, "50104"),
        ({"OK-ACCESS-SIGN": ""}, "50106"),
        ({"OK-ACCESS-TIMESTAMP": ""}, "50107"),
        ({"OK-ACCESS-TIMESTAMP": "1607418537"}, "50112"),
        ({"OK-ACCESS-TIMESTAMP": "2020-12-08T09:08:57.715"}, "50112"),
        ({"OK-ACCESS-TIMESTAMP": "2020-12-08T09:08:27.714Z"}, "50102"),
        ({"OK-ACCESS-TIMESTAMP": "2020-12-08T09:09:27.716Z"}, "50102"),
        ({"OK-ACCESS-KEY": "another"}, "50111"),
        ({"OK-ACCESS-PASSPHRASE": "another"}, "50105"),
        ({"OK-ACCESS-SIGN": "naynxkw4UkHoV/ophBEzkLuP8x2ZLPF4JrHwIsoLVIw="}, "50113"),
        ({"OK-ACCESS-SIGN": "\udcff"}, "50113"),
    ],
)
def test_each_way_to_fail_has_its_code_and_status_401(change: dict[str, str], code: str) -> None:
    """Headers, then clock, then key, passphrase and signature; the answer has no data key."""
    with pytest.raises(RefusalError) as refused:
        authenticate(GET, HEADERS | change, KEY, now=NOW)
    assert (refused.value.code, refused.value.http_status, refused.value.has_data) == (code, 401, False)


@pytest.mark.parametrize(
    "request_",
    [
        SignedRequest("POST", GET.target, b""),
        SignedRequest("GET", "/api/v5/account/balance?ccy=ETH", b""),
        SignedRequest("GET", "/api/v5/account/balance?ccy=BT%43", b""),
        SignedRequest("GET", GET.target, b" "),
        SignedRequest("GET", "/\udcff", b""),
    ],
)
def test_changing_anything_that_is_signed_breaks_the_signature(request_: SignedRequest) -> None:
    """Method, raw target and body bytes; an equal query in another encoding is another target."""
    with pytest.raises(RefusalError) as refused:
        authenticate(request_, HEADERS, KEY, now=NOW)
    assert refused.value.code == "50113"


def test_secrets_are_not_in_the_repr() -> None:
    """A key may end up in a log line."""
    assert repr(KEY) == "ApiKey(key='the-key')"
