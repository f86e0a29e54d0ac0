"""Opening the dealer's database: checked before it is relied on."""

import pytest

from medici_py.embedded import EmbeddedMongo
from medici_py.mongo_uri import InvalidMongoUriError, MongoUnreachableError
from stablesats.database import open_database
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
