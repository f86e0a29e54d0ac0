"""The three secrets of an OKX API key."""

from pydantic import SecretStr

from stablesats.errors import ConfigurationError


class OkxCredentials:
    """API key, secret key and passphrase; none of them shows in a repr, a log line or a traceback.

    Immutable. Read a value with ``credentials.passphrase.get_secret_value()``, and only where it is used.
    """

    __slots__ = ("api_key", "passphrase", "secret_key")

    api_key: SecretStr
    secret_key: SecretStr
    passphrase: SecretStr

    def __init__(
        self, *, api_key: str | SecretStr, secret_key: str | SecretStr, passphrase: str | SecretStr
    ) -> None:
        """Check that each is text that fits an HTTP header.

        Raises:
            ConfigurationError: If one is empty, begins or ends with a blank, or holds a control or a
                non-ASCII character. The message names the field, never its content.
        """
        given = {
            "api_key": _hidden(api_key),
            "secret_key": _hidden(secret_key),
            "passphrase": _hidden(passphrase),
        }
        # No plain text may stay a local variable, not even of a good field: tracebacks may print those.
        del api_key, secret_key, passphrase
        for name, secret in given.items():
            if not _fits_a_header(secret.get_secret_value()):
                raise ConfigurationError(
                    f"OKX {name} is empty, begins or ends with a blank, or holds a control or a non-ASCII "
                    "character; copy it again from OKX's API page"
                )
            object.__setattr__(self, name, secret)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"OkxCredentials is immutable; {name} cannot be set")

    def __repr__(self) -> str:
        return "OkxCredentials(api_key='***', secret_key='***', passphrase='***')"


def _hidden(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)


def _fits_a_header(text: str) -> bool:
    # Blanks inside a passphrase are fine; at its ends HTTP would strip them.
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()
