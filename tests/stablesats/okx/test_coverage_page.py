"""``docs/okx-coverage.md``: which part of OKX's API the client and the simulator have.

The rows are those of ``okx_reference.txt``, whatever the code has; what stands in them is found in the code.
After a change, write it anew:

    WRITE_OKX_COVERAGE=1 pytest tests/stablesats/okx/test_coverage_page.py
"""

import ast
import inspect
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from stablesats.okx import OkxClient, calls, endpoints, funding_calls
from stablesats.okx.endpoints import Endpoint
from stablesats.okx.sender import RequestSender
from stablesats.okx.streams import PrivateStream, PublicStream, channel, frames
from stablesats.okx_simulator.conversation import OPERATIONS as SIMULATED_OPERATIONS
from stablesats.okx_simulator.endpoint_table import ENDPOINTS as SIMULATED
from stablesats.okx_simulator.subscriptions import Channel as SimulatedChannel

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "okx-coverage.md"
TESTS = ROOT / "tests" / "stablesats"
REFERENCE = TESTS / "okx_reference.txt"
PREFIX = "/api/v5/"

SIMULATED_CHANNELS = {str(one.value) for one in SimulatedChannel}
CLIENT_ENDPOINTS = {name: value for name, value in vars(endpoints).items() if isinstance(value, Endpoint)}


def public_methods(*classes: type) -> dict[str, str]:
    """Each public method with its source."""
    return {
        name: inspect.getsource(method)
        for cls in classes
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def client_methods() -> dict[tuple[str, str], list[str]]:
    """For each method and path, the calls of the client that send it, read off the code."""
    uses = {
        f"{module.__name__.rpartition('.')[2]}.{name}": set(re.findall(r"\bendpoints\.([A-Z_]+)", source))
        for module in (calls, funding_calls)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if (source := inspect.getsource(function))
    }
    # A market order is one of the general kind.
    uses["calls.market_order"] = uses["calls.new_order"]
    found: dict[tuple[str, str], list[str]] = {}
    sources = public_methods(OkxClient) | {"server_time": inspect.getsource(RequestSender._measure_clock)}
    for method, source in sources.items():
        for call in re.findall(r"\b(?:funding_)?calls\.\w+", source):
            for constant in sorted(uses.get(call, ())):
                endpoint = CLIENT_ENDPOINTS[constant]
                names = found.setdefault((endpoint.method, endpoint.path), [])
                if method not in names:
                    names.append(method)
    return found


def stream_methods() -> dict[str, list[str]]:
    """For each channel, the methods of the streams that subscribe to it."""
    found: dict[str, list[str]] = {}
    for method, source in public_methods(PublicStream, PrivateStream).items():
        for wanted in re.findall(r"\bchannel\.(\w+)\(", source):
            name = re.findall(r'Channel\(\s*"([\w-]+)"', inspect.getsource(getattr(channel, wanted)))
            found.setdefault(name[0], []).append(method)
    return found


def client_operations() -> set[str]:
    """The operations of the WebSocket that the streams send."""
    return set(re.findall(r'"op": "([\w-]+)"', inspect.getsource(frames)))


@cache
def executed_code(package: str) -> tuple[ast.AST, ...]:
    """All that the test modules of *package* execute: neither comments nor docstrings."""
    modules = (
        module for module in (TESTS / package).rglob("test_*.py") if module.name != Path(__file__).name
    )
    nodes = [node for module in modules for node in ast.walk(ast.parse(module.read_text()))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return tuple(node for node in nodes if id(node) not in docstrings)


def says(package: str, pattern: str) -> bool:
    """Whether a test of *package* has a text with *pattern*."""
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(pattern, node.value)
        for node in executed_code(package)
    )


def calls_one_of(package: str, methods: list[str]) -> bool:
    """Whether a test of *package* calls one of *methods* of a client."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in methods
        and isinstance(node.value, ast.Name)
        and node.value.id in {"okx", "client"}
        for node in executed_code(package)
    )


def path_pattern(path: str) -> str:
    # "trade/order" is not "trade/orders-pending": the path ends where its name does.
    return rf"\b{re.escape(path)}(?![\w/-])"


def client_tests_of(path: str, methods: list[str]) -> bool:
    return calls_one_of("okx", methods) or says("okx", path_pattern(path))


def reference() -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """The reference's REST rows, method and path, and those of its WebSocket: address, kind and name."""
    lines = [line.split() for line in REFERENCE.read_text().splitlines() if line and not line.startswith("#")]
    return [(one, two) for one, two, *more in lines if not more], [
        (one, two, more[0]) for one, two, *more in lines if more
    ]


def shown(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names) or "-"


def yes(holds: bool) -> str:
    return "yes" if holds else "-"


def rest_rows() -> Iterator[str]:
    client = client_methods()
    for method, path in reference()[0]:
        endpoint = method, PREFIX + path
        names = client.get(endpoint, [])
        cells = (
            f"{method} `{path}`",
            shown(names),
            yes(bool(names) and client_tests_of(path, names)),
            yes(endpoint in SIMULATED),
            yes(endpoint in SIMULATED and says("okx_simulator", path_pattern(path))),
        )
        yield f"| {' | '.join(cells)} |"


def stream_rows() -> Iterator[str]:
    streams = stream_methods()
    for address, kind, name in reference()[1]:
        if kind == "channel":
            client, is_simulated = shown(streams.get(name, [])), name in SIMULATED_CHANNELS
        else:
            client, is_simulated = yes(name in client_operations()), name in SIMULATED_OPERATIONS
        pattern = rf"^(?:ws/)?{re.escape(name)}$"
        cells = (
            f"{address} {kind} `{name}`",
            client,
            yes(client != "-" and says("okx/streams", pattern)),
            yes(is_simulated),
            yes(is_simulated and says("okx_simulator", pattern)),
        )
        yield f"| {' | '.join(cells)} |"


def coverage_page() -> str:
    lines = [
        "# What of OKX's API is covered",
        "",
        "The rows are those of OKX's API that hedging needs (`tests/stablesats/okx_reference.txt`), whether we have them or not; `-` is what we",
        "do not have. The rest is read off the code by `tests/stablesats/okx/test_coverage_page.py`, which also keeps this page up to date.",
        "Calls of the client are methods of `OkxClient`, `PublicStream` and `PrivateStream`. Tested means that a test of that side calls the method",
        "or names the path or channel in what it executes; that every REST row works between the two is one test more.",
        "",
        "## REST",
        "",
        "| endpoint | client | tested | simulator | tested |",
        "| --- | --- | --- | --- | --- |",
        *rest_rows(),
        "",
        "## WebSocket",
        "",
        "| address and channel or operation | client | tested | simulator | tested |",
        "| --- | --- | --- | --- | --- |",
        *stream_rows(),
    ]
    return "\n".join(lines) + "\n"


def test_every_endpoint_that_the_client_has_is_sent_by_a_method_and_tested() -> None:
    """None is dead, none without a test."""
    client = client_methods()
    assert client.keys() == {(endpoint.method, endpoint.path) for endpoint in CLIENT_ENDPOINTS.values()}
    untested = [
        path
        for (_, path), methods in client.items()
        if not client_tests_of(path.removeprefix(PREFIX), methods)
    ]
    assert not untested


def test_every_channel_that_the_client_has_is_simulated() -> None:
    """And each has a method that subscribes to it."""
    streams = stream_methods()
    assert set(streams) == {
        "tickers", "books", "mark-price", "funding-rate", "orders", "positions", "account"
    }  # fmt: skip
    assert set(streams) <= SIMULATED_CHANNELS


def test_nothing_is_had_that_the_reference_does_not_list() -> None:
    """Or the page would not show it."""
    rest, streams = reference()
    endpoints_listed = {(method, PREFIX + path) for method, path in rest}
    assert client_methods().keys() | SIMULATED.keys() <= endpoints_listed
    channels = {name for _, kind, name in streams if kind == "channel"}
    operations = {name for _, kind, name in streams if kind == "operation"}
    assert stream_methods().keys() | SIMULATED_CHANNELS <= channels
    assert client_operations() | SIMULATED_OPERATIONS <= operations


def test_what_only_a_comment_or_a_docstring_names_is_not_tested() -> None:
    """This one names `GET public/status-of-nothing`, and calls nothing of the kind."""
    assert not says("okx", "status-of-nothing")
    assert says("okx", path_pattern("account/balance"))


def test_the_page_says_what_the_code_has() -> None:
    """``docs/okx-coverage.md`` is the same table."""
    if os.environ.get("WRITE_OKX_COVERAGE"):
        PAGE.write_text(coverage_page(), encoding="utf-8")
    if PAGE.read_text(encoding="utf-8") != coverage_page():
        pytest.fail("docs/okx-coverage.md is behind the code; write it anew with WRITE_OKX_COVERAGE=1")
