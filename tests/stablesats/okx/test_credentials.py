"""The secrets of an API key."""

import traceback

import pytest
from pydantic import SecretStr

from stablesats.errors import ConfigurationError
from stablesats.okx import OkxCredentials


def test_secrets_do_not_show(credentials: OkxCredentials, secrets: tuple[str, ...]) -> None:
    """Neither the value nor one of its fields prints a secret."""
    shown = f"{credentials!r} {credentials} {credentials.api_key!r} {credentials.secret_key} {credentials.passphrase}"
    assert not any(secret in shown for secret in secrets)


def test_secrets_are_there_when_asked_for_by_name() -> None:
    """Plain text and `SecretStr` are both taken."""
    credentials = OkxCredentials(api_key="k", secret_key=SecretStr("s"), passphrase="with blanks inside")
    assert credentials.api_key.get_secret_value() == "k"
    assert credentials.secret_key.get_secret_value() == "s"
    assert credentials.passphrase.get_secret_value() == "with blanks inside"


@pytest.mark.parametrize("field", ["api_key", "secret_key", "passphrase"])
@pytest.mark.parametrize("value", ["", " hidden", "hidden\n", "hid\r\nden", "hiddén", "hid\x00den"])
def test_a_value_that_no_header_can_carry_is_refused_by_name(field: str, value: str) -> None:
    """The message names the field and never shows what it holds."""
    values = {"api_key": "k", "secret_key": "s", "passphrase": "p", field: value}
    with pytest.raises(ConfigurationError, match=f"OKX {field} is empty, begins or ends") as refused:
        OkxCredentials(**values)
    assert "hid" not in str(refused.value).replace("holds", "")


@pytest.mark.parametrize("field", ["api_key", "secret_key", "passphrase"])
def test_a_refusal_holds_no_secret_in_its_frames(secrets: tuple[str, ...], field: str) -> None:
    """Some log formats print the local variables of a traceback, also those of the fields that are fine."""
    values = dict(zip(("api_key", "secret_key", "passphrase"), secrets, strict=True))
    values[field] += "\n"
    with pytest.raises(ConfigurationError) as refused:
        OkxCredentials(**values)
    ours = [
        frame
        for frame in traceback.TracebackException.from_exception(refused.value, capture_locals=True).stack
        if frame.filename != __file__
    ]
    assert ours
    assert not any(secret in str(frame.locals) for frame in ours for secret in secrets)


def test_credentials_are_immutable(credentials: OkxCredentials) -> None:
    """A client that was made with them keeps signing with them."""
    with pytest.raises(AttributeError, match="immutable"):
        credentials.api_key = SecretStr("other")
