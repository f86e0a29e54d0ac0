"""Which database is the dealer's, and opening it: checked before it is relied on."""

import pytest

from medici_py.embedded import EmbeddedMongo
from medici_py.mongo_uri import InvalidMongoUriError, MongoUnreachableError
from stablesats.database import choose_database, open_database, without_database
from stablesats.errors import ConfigurationError


async def test_database_is_open_inside_the_block_and_closed_after_it(mongodb: EmbeddedMongo) -> None:
    """Times come back with their zone."""
    async with open_database(mongodb.uri, "stablesats_open") as database:
        assert database.name == "stablesats_open"
        assert database.codec_options.tz_aware
        assert (await database.command("ping"))["ok"] == 1
    with pytest.raises(Exception, match="after close"):
        await database.command("ping")


async def test_database_is_closed_when_the_block_fails(mongodb: EmbeddedMongo) -> None:
    """The error goes on as it was."""
    with pytest.raises(ZeroDivisionError):
        async with open_database(mongodb.uri, "stablesats_open") as database:
            raise ZeroDivisionError
    with pytest.raises(Exception, match="after close"):
        await database.command("ping")


async def test_database_in_the_uri_is_the_one_that_is_opened(mongodb: EmbeddedMongo) -> None:
    """Whoever reads the URI means it; without one there the name is the usual one."""
    uri = without_database(mongodb.uri)
    async with open_database(uri.replace("/?", "/stablesats_in_uri?")) as database:
        assert database.name == "stablesats_in_uri"
    async with open_database(uri) as database:
        assert database.name == "stablesats"


async def test_uri_that_names_another_database_is_refused(mongodb: EmbeddedMongo) -> None:
    """Rather than to post into books that somebody did not mean."""
    uri = without_database(mongodb.uri).replace("/?", "/mydealer?")
    with pytest.raises(ConfigurationError, match=r"'other' as the setting .*'mydealer' in the MongoDB URI"):
        async with open_database(uri, "other"):
            pytest.fail("it is one or the other")


@pytest.mark.parametrize(
    ("given", "in_uri", "meant"),
    [
        (None, None, "stablesats"),
        (None, "mydealer", "mydealer"),
        ("mydealer", None, "mydealer"),
        ("mydealer", "mydealer", "mydealer"),
        (None, "admin", "stablesats"),
        (None, "config", "stablesats"),
        (None, "local", "stablesats"),
        ("mydealer", "admin", "mydealer"),
    ],
)
def test_database_is_the_setting_then_the_uris_then_the_usual_one(
    given: str | None, in_uri: str | None, meant: str
) -> None:
    """MongoDB's own databases hold no books: in a URI they say where the user is known."""
    assert choose_database(given, in_uri) == meant


@pytest.mark.parametrize(
    ("uri", "without"),
    [
        ("mongodb://h", "mongodb://h"),
        ("mongodb://h/", "mongodb://h/"),
        ("mongodb://h:1,i:2/?replicaSet=r", "mongodb://h:1,i:2/?replicaSet=r"),
        ("mongodb://h/bank", "mongodb://h/"),
        ("mongodb://h/bank?replicaSet=r", "mongodb://h/?replicaSet=r"),
        ("mongodb://u:p@h/bank", "mongodb://u:p@h/?authSource=bank"),
        ("mongodb+srv://u:p@h/bank?w=1", "mongodb+srv://u:p@h/?w=1&authSource=bank"),
        ("mongodb://u:p@h/bank?authsource=admin&w=1", "mongodb://u:p@h/?authsource=admin&w=1"),
        ("mongodb://u@h/bank?authMechanism=MONGODB-X509", "mongodb://u@h/?authMechanism=MONGODB-X509"),
        ("no uri", "no uri"),
    ],
)
def test_uri_without_its_database_authenticates_as_before(uri: str, without: str) -> None:
    """Without ``authSource`` it is the path that says where a user is known."""
    assert without_database(uri) == without


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "$x"])
async def test_name_that_mongodb_does_not_allow_is_refused(mongodb: EmbeddedMongo, name: str) -> None:
    """With the name in the message."""
    with pytest.raises(ConfigurationError) as raised:
        async with open_database(mongodb.uri, name):
            pytest.fail("a database of that name cannot be")
    assert repr(name) in str(raised.value)


async def test_uri_that_is_none_is_refused() -> None:
    """Before anything is connected."""
    with pytest.raises(InvalidMongoUriError):
        async with open_database("postgres://localhost", "stablesats"):
            pytest.fail("that is no MongoDB")


async def test_server_that_is_away_is_named_without_its_password(unused_tcp_port: int) -> None:
    """Within a few seconds, not half a minute."""
    with pytest.raises(MongoUnreachableError) as raised:
        async with open_database(f"mongodb://u:s3cr3t@127.0.0.1:{unused_tcp_port}", "stablesats"):
            pytest.fail("nobody is there")
    assert "s3cr3t" not in str(raised.value)
