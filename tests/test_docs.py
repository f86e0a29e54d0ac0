"""Every example of the documentation runs, and prints what it says it prints.

The blocks of a page run from top to bottom as one session: they share a namespace, a folder and a MongoDB
that is empty at first and that ``MONGODB_URI`` names; ``await`` works at the top level.

- ``python`` blocks are executed. What one prints has to be what its ``# -> ...`` comments say, line by line,
  or what the ``text`` block right after it shows. An error that ends a block counts as a last line
  ``Type: message``.
- A block with ``file=NAME`` after its kind is written to that file, to be imported or run further down.
- In ``console`` blocks, the commands after ``$`` that are ours (``medici``) or Python's (``pytest``) are run,
  and what follows each is what it prints; other commands (``pip``, ``make``) are only shown.

``...`` in an expected line stands for anything in that line.
"""

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient

from medici_py.embedded import EmbeddedMongo

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

FENCE = re.compile(r"^```(?P<info>\w[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"# -> (.*)$", re.MULTILINE)
MODULES = {"medici": "medici_py", "pytest": "pytest"}
KEPT_DATABASES = {"admin", "config", "local"}


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, what it holds, where its first line stands."""

    kind: str
    file: str | None
    body: str
    line: int


def blocks_of(text: str) -> list[Block]:
    blocks = []
    for fence in FENCE.finditer(text):
        kind, *options = fence["info"].split()
        settings = dict(option.split("=", 1) for option in options)
        line = text.count("\n", 0, fence.start("body")) + 1
        blocks.append(Block(kind, settings.get("file"), fence["body"], line))
    return blocks


def has_examples(page: Path) -> bool:
    return any(block.kind in ("python", "console") for block in blocks_of(page.read_text()))


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def check(where: str, promised: list[str], printed: list[str]) -> None:
    """Compare line by line, so that a difference is shown as pytest shows one."""
    agreed = [
        shown if re.fullmatch(".*".join(map(re.escape, expected.split("..."))), shown) else expected
        for expected, shown in zip(promised, printed, strict=False)
    ]
    assert printed == agreed + promised[len(agreed) :], where


class Session:
    """Runs the blocks of one page."""

    def __init__(self, name: str, runner: asyncio.Runner) -> None:
        self.name = name
        self.module = types.ModuleType("documentation")
        self._runner = runner

    def run(self, text: str) -> None:
        blocks = blocks_of(text)
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            match block:
                case Block(file=str(file)):
                    Path(file).write_text(block.body)
                case Block(kind="python"):
                    self._run_python(block, following)
                case Block(kind="console"):
                    self._run_console(block)

    def _run_python(self, block: Block, following: Block | None) -> None:
        where = f"{self.name}:{block.line}"
        # Padded so that tracebacks name the line of the page.
        source = "\n" * (block.line - 1) + block.body
        code = compile(source, self.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        promised = PROMISE.findall(block.body)
        if not promised and following is not None and following.kind == "text":
            promised = lines_of(following.body)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            try:
                answer = eval(code, self.module.__dict__)
                if inspect.iscoroutine(answer):
                    self._runner.run(answer)
            except Exception as exc:
                last_line = f"{type(exc).__name__}: {exc}"
                if not promised or not promised[-1].startswith(f"{type(exc).__name__}: "):
                    raise
                output.write(f"{last_line}\n")
        check(where, [line.rstrip() for line in promised], lines_of(output.getvalue()))

    def _run_console(self, block: Block) -> None:
        for example in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
            command, _, promised = example.partition("\n")
            program, *arguments = shlex.split(command, comments=True)
            if program not in MODULES:
                continue
            outcome = subprocess.run(
                [sys.executable, "-m", MODULES[program], *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=100,
                check=False,
            )
            check(f"{self.name}:{block.line}: {command}", lines_of(promised), lines_of(outcome.stdout))

    async def close(self) -> None:
        """Close the clients that the page left open: a reader's shell would do it by ending."""
        for value in vars(self.module).values():
            if isinstance(value, AsyncMongoClient):
                await value.close()


@pytest.fixture(scope="module")
def documentation_mongodb() -> Iterator[EmbeddedMongo]:
    """A server that is nobody else's: examples use databases with names such as ``bank``."""
    environment = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    with EmbeddedMongo(environment=environment) as mongo:
        yield mongo


@pytest.fixture
def session(
    documentation_mongodb: EmbeddedMongo,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Session]:
    """A page's namespace, folder and databases, all empty."""
    for name, value in {
        "MONGODB_URI": documentation_mongodb.uri,
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONPATH": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    before = set(sys.modules)
    with asyncio.Runner() as runner:
        session = Session(request.node.name, runner)
        monkeypatch.setitem(sys.modules, session.module.__name__, session.module)
        yield session
        runner.run(session.close())
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    with MongoClient[dict[str, Any]](documentation_mongodb.uri) as client:
        for name in set(client.list_database_names()) - KEPT_DATABASES:
            client.drop_database(name)


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if has_examples(page)]
)
def test_examples_of_a_page_do_what_it_says(page: Path, session: Session) -> None:
    """From top to bottom, in one session, on an empty database."""
    session.run(page.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)  # -> 2\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\n1  # -> 1\n```\n",
        "```python\nprint(1)\n```\n\n```text\n1\n2\n```\n",
        "```python\nprint('ab')\n```\n\n```text\na...c\n```\n",
        "```python\nint('x')\n```\n\n```text\nKeyError: ...\n```\n",
        "```python\nint('1')\n```\n\n```text\nValueError: ...\n```\n",
        "```console\n$ medici nonsense\nfine\n```\n",
    ],
)
def test_page_that_promises_something_else_is_found_out(text: str, session: Session) -> None:
    """Otherwise the checks above would mean nothing."""
    with pytest.raises((AssertionError, ValueError)):
        session.run(text)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)  # -> 1\nprint('a b c')  # -> a ... c\n```\n",
        "```python\nimport asyncio\nx = await asyncio.sleep(0, 5)\n```\n\n```python\nprint(x)  # -> 5\n```\n",
        "```python\nint('x')\n```\n\n```text\nValueError: ... 'x'\n```\n",
        "```python file=own.py\nx = 7\n```\n\n```python\nimport own\nprint(own.x)  # -> 7\n```\n",
        "```console\n$ make it-so\n$ pytest --version\npytest ...\n```\n",
    ],
)
def test_page_that_keeps_its_promise_passes(text: str, session: Session) -> None:
    """Each of the ways to promise."""
    session.run(text)
