"""OKX's request signature: pure, so that it can be checked against fixed vectors.

Sign at the last moment, after any wait: OKX refuses a timestamp more than 30 s from its own clock.

Source: OKX API v5, "REST Authentication".
"""

import base64
import hmac
from datetime import UTC, datetime

from pydantic import SecretStr

from stablesats.okx.credentials import OkxCredentials


def timestamp_text(at: datetime) -> str:
    """Write *at* (aware) as OKX signs it, UTC cut to milliseconds: ``2020-12-08T09:08:57.715Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def prehash(*, timestamp: str, method: str, request_target: str, body: str) -> str:
    """Return the text that is signed.

    Args:
        timestamp: As in the header, see `timestamp_text`.
        method: ``GET`` or ``POST``.
        request_target: Path **with** query, exactly the bytes sent, without host.
        body: Exactly the text sent; empty for GET.
    """
    return f"{timestamp}{method}{request_target}{body}"


def signature(secret_key: SecretStr, text: str) -> str:
    """Return base64(HMAC-SHA256(secret key, text))."""
    # The clear text of the key stays out of local variables: tracebacks may print those.
    digest = hmac.digest(secret_key.get_secret_value().encode("ascii"), text.encode("utf-8"), "sha256")
    return base64.b64encode(digest).decode("ascii")


def signed_headers(
    credentials: OkxCredentials, *, at: datetime, method: str, request_target: str, body: str
) -> dict[str, str]:
    """Return the four authentication headers of one request, signed for the server time *at*."""
    timestamp = timestamp_text(at)
    text = prehash(timestamp=timestamp, method=method, request_target=request_target, body=body)
    return {
        "OK-ACCESS-KEY": credentials.api_key.get_secret_value(),
        "OK-ACCESS-SIGN": signature(credentials.secret_key, text),
        "OK-ACCESS-TIMESTAMP": timestamp,
        "OK-ACCESS-PASSPHRASE": credentials.passphrase.get_secret_value(),
    }


LOGIN_PATH = "/users/self/verify"


def stream_login(credentials: OkxCredentials, *, at: datetime) -> dict[str, str]:
    """Return the arguments of a WebSocket login at the server time *at*, whole seconds since 1970.

    Source: OKX API v5, "WebSocket, Login".
    """
    timestamp = str(int(at.timestamp()))
    text = prehash(timestamp=timestamp, method="GET", request_target=LOGIN_PATH, body="")
    return {
        "apiKey": credentials.api_key.get_secret_value(),
        "passphrase": credentials.passphrase.get_secret_value(),
        "timestamp": timestamp,
        "sign": signature(credentials.secret_key, text),
    }
