"""A URI that somebody gave us is checked before it is used, and never shown with its secrets."""

from __future__ import annotations

import socket

import pytest

from medici_py.embedded import EmbeddedMongo
from medici_py.errors import UnsupportedDeploymentError
from medici_py.mongo_uri import (
    InvalidMongoUriError,
    MongoUnreachableError,
    check_deployment,
    has_transactions,
    redact_uri,
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://localhost:27017/bank", "mongodb://localhost:27017/bank"),
        ("mongodb://joe:secret@a:1,b:2/bank?replicaSet=rs0", "mongodb://***@a:1,b:2/bank"),
        ("mongodb://joe:s@cr/et@a:1/", "mongodb://***@a:1/"),
        ("mongodb+srv://joe:secret@cluster.example", "mongodb+srv://***@cluster.example"),
        ("mongodb://a/?tlsCertificateKeyFilePassword=secret", "mongodb://a/"),
    ],
)
def test_redacted_uri_has_neither_credentials_nor_options(uri: str, shown: str) -> None:
    """What is left is what one needs to recognise the server."""
    assert redact_uri(uri) == shown


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("postgres://localhost", "Invalid URI scheme"),
        ("mongodb://", "Must provide at least one hostname"),
        ("mongodb://joe:s3cret@localhost:port/", "non-digit characters"),
        ("mongodb://joe:s3c@ret@localhost/", "check the user name and the password"),
        ("mongodb://joe:s3cret/", "non-digit characters"),
    ],
)
def test_unreadable_uri_is_one_clear_line_without_secrets(uri: str, reason: str) -> None:
    """The reason is given; the password is not, neither in the text nor in a chained cause."""
    with pytest.raises(InvalidMongoUriError, match=reason) as caught:
        check_deployment(uri)
    assert "\n" not in str(caught.value)
    if "@" in uri:
        assert "s3c" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_server_that_does_not_answer_is_named() -> None:
    """The search is bounded, and the message says for how long and where."""
    port = free_port()
    with pytest.raises(MongoUnreachableError) as caught:
        check_deployment(f"mongodb://joe:secret@127.0.0.1:{port}/bank", timeout_secs=0.2)
    assert str(caught.value) == (
        f"cannot use MongoDB at mongodb://***@127.0.0.1:{port}/bank: "
        "no server answered within 0.2 s; is it running and reachable from here?"
    )


def test_refused_credentials_are_an_unusable_server(mongodb: EmbeddedMongo) -> None:
    """A wrong password is told apart from a wrong address."""
    uri = mongodb.uri.replace("//", "//joe:secret@", 1)
    with pytest.raises(MongoUnreachableError, match="Authentication failed") as caught:
        check_deployment(uri)
    assert "secret" not in str(caught.value)


def test_standalone_server_is_refused(standalone_uri: str) -> None:
    """Without a replica set there are neither transactions nor change streams."""
    with pytest.raises(UnsupportedDeploymentError):
        check_deployment(standalone_uri)


def test_standalone_server_in_the_environment_is_refused(standalone_uri: str) -> None:
    """EmbeddedMongo does not hand out a server that cannot keep a ledger."""
    with pytest.raises(UnsupportedDeploymentError):
        EmbeddedMongo.start(environment={"MONGODB_URI": standalone_uri})


def test_replica_set_in_the_environment_is_used_and_left_running(mongodb: EmbeddedMongo) -> None:
    """MONGODB_URI comes before everything else, and its server is not ours to stop."""
    with EmbeddedMongo(environment={"MONGODB_URI": mongodb.uri, "PATH": ""}) as mongo:
        assert mongo.uri == mongodb.uri
        assert mongo.source == "MONGODB_URI"
        assert (mongo.owned, mongo.pid, mongo.data_dir) == (False, None, None)
        assert repr(mongo) == "<EmbeddedMongo at MONGODB_URI>"
    check_deployment(mongodb.uri)


@pytest.mark.parametrize(
    ("hello", "expected"),
    [
        ({"setName": "rs0", "isWritablePrimary": True}, True),
        ({"msg": "isdbgrid"}, True),
        ({"isWritablePrimary": True}, False),
    ],
)
def test_deployments_with_transactions(hello: dict[str, object], expected: bool) -> None:
    """Replica sets and sharded clusters have them, a standalone has not."""
    assert has_transactions(hello) is expected
