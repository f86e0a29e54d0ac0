"""Every program under examples/ runs and prints what it promises."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from medici_py.embedded import EmbeddedMongo

EXAMPLES = Path(__file__).parent.parent / "examples"

PRINTED = {
    "wallets.py": [
        "INVALID_JOURNAL",
        "alice BTC 100000",
        "alice USD 0",
        "bob BTC 50000",
        "bob USD 2500",
    ],
    "watch.py": ["posted sale", "voided returned", "posted returned", "till 0"],
}


def test_every_example_is_listed_here() -> None:
    """An example without a promise is not tested."""
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
async def test_example_prints_what_it_promises(name: str, mongodb: EmbeddedMongo) -> None:
    """Run as a reader would, warnings as errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(EXAMPLES / name),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MONGODB_URI": mongodb.uri},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    lines = out.decode().splitlines()
    assert len(lines) == len(PRINTED[name])
    for line, beginning in zip(lines, PRINTED[name], strict=True):
        assert line.startswith(beginning)
