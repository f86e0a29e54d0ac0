"""What every test may use."""

import os
from collections.abc import Iterator

import pytest

from medici_py.embedded import EmbeddedMongo

pytest_plugins = ["medici_py.testing"]


@pytest.fixture(scope="session")
def failing_mongodb() -> Iterator[EmbeddedMongo]:
    """A private server of its own whose commands can be made to fail (``configureFailPoint``)."""
    # Never the server of MONGODB_URI: others may be using that one.
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(environment=environment, set_parameters={"enableTestCommands": True}) as mongo:
        yield mongo
