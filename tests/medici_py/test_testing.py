"""The fixtures work in a project that only names the plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medici_py.embedded import EmbeddedMongo

SAMPLE = """
import pytest

from medici_py import Book

names = []

@pytest.mark.asyncio
@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_an_empty_database(mongo_database, turn):
    names.append(mongo_database.name)
    assert await mongo_database.list_collection_names() == []
    await mongo_database["things"].insert_one({"turn": turn})

@pytest.mark.asyncio
async def test_databases_of_earlier_tests_are_dropped(mongo_database):
    assert len(set(names)) == 2
    assert not set(names) & set(await mongo_database.client.list_database_names())

@pytest.mark.asyncio
@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_an_empty_database_in_memory(mongomock_database, turn):
    assert await mongomock_database.list_collection_names() == []
    book = Book("MainBook", mongomock_database)
    await book.entry("x").debit("A", turn).credit("B", turn).commit()
    assert (await book.balance("B")).balance == turn

def test_synchronous_tests_may_use_the_server(mongodb):
    from pymongo import MongoClient
    with MongoClient(mongodb.uri) as client:
        assert client.admin.command("hello")["setName"]
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_sample_project_passes(mode: str, tmp_path: Path, mongodb: EmbeddedMongo) -> None:
    """One line in conftest.py is all it takes, in both modes of pytest-asyncio."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["medici_py.testing"]\n')
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    settings = ["[pytest]", f"asyncio_mode = {mode}", "asyncio_default_fixture_loop_scope = function"]
    (tmp_path / "pytest.ini").write_text("\n".join([*settings, "filterwarnings = error"]))
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "6 passed" in outcome.stdout


def test_missing_mongomock_is_named_with_what_to_install(tmp_path: Path) -> None:
    """Only the fixture that needs it asks for it."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["medici_py.testing"]\n')
    (tmp_path / "test_sample.py").write_text(
        "import sys\nsys.modules['mongomock_motor'] = None\n\ndef test_memory(mongomock_database): pass\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert "needs mongomock-motor: pip install mongomock-motor" in outcome.stdout
