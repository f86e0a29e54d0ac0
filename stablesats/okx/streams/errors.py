"""What can go wrong with a stream.

- `OkxError`
    - `OkxStaleError`: there is no value that may be acted on; the message says why.
    - `OkxStreamRefusedError`: OKX said no.
        - `OkxLoginRefusedError`: to the key, the passphrase or the signature; the stream ends.
        - `OkxSubscriptionRefusedError`: to one channel; the others go on.
"""

from stablesats.okx.errors import MAX_QUOTED_CHARACTERS, OkxError


class OkxStaleError(OkxError):
    """No value has come yet, or none that is fresh enough to act on."""


class OkxStreamRefusedError(OkxError):
    """OKX refused something asked of it over a WebSocket.

    Attributes:
        code: OKX's code, such as ``"60018"``.
        message: OKX's text for it.
    """

    def __init__(self, what: str, *, code: str, message: str) -> None:
        self.code = code
        self.message = message[:MAX_QUOTED_CHARACTERS]
        super().__init__(f"OKX refused {what}: {self.message} (code {code})")


class OkxLoginRefusedError(OkxStreamRefusedError):
    """OKX does not accept key, passphrase or signature; check them, and demo against production."""


class OkxSubscriptionRefusedError(OkxStreamRefusedError):
    """OKX does not offer this channel, or not for this instrument."""
