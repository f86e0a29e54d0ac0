"""``docs/okx-coverage.md``: which part of OKX's API the client and the simulator have, found in their code.

After a change, write it anew:

    WRITE_OKX_COVERAGE=1 pytest tests/stablesats/okx/test_coverage_page.py
"""

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stablesats.okx import OkxClient, calls, endpoints, funding_calls
from stablesats.okx.endpoints import Endpoint
from stablesats.okx.sender import RequestSender
from stablesats.okx.streams import PrivateStream, PublicStream, channel
from stablesats.okx_simulator.rest import ENDPOINTS as SIMULATED
from stablesats.okx_simulator.subscriptions import Channel as SimulatedChannel

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "okx-coverage.md"
TESTS = ROOT / "tests" / "stablesats"
PREFIX = "/api/v5/"

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


def is_tested(package: str, pattern: str) -> bool:
    """Whether a test module of *package* has *pattern*."""
    return any(
        re.search(pattern, module.read_text())
        for module in (TESTS / package).rglob("test_*.py")
        if module.name != Path(__file__).name
    )


def path_pattern(path: str) -> str:
    # "trade/order" is not "trade/orders-pending": the path ends where its name does.
    return rf"\b{re.escape(path.removeprefix(PREFIX))}(?![\w/-])"


def client_tests_of(path: str, methods: list[str]) -> bool:
    by_name = [rf"\b(?:okx|client)\.{method}\(" for method in methods]
    return is_tested("okx", "|".join([path_pattern(path), *by_name]))


def shown(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names) or "-"


def yes(holds: bool) -> str:
    return "yes" if holds else "-"


def rest_rows() -> Iterator[str]:
    client = client_methods()
    for method, path in sorted(client.keys() | SIMULATED.keys(), key=lambda endpoint: endpoint[::-1]):
        names = client.get((method, path), [])
        cells = (
            f"{method} `{path.removeprefix(PREFIX)}`",
            shown(names),
            yes(client_tests_of(path, names)),
            yes((method, path) in SIMULATED),
            yes(is_tested("okx_simulator", path_pattern(path))),
        )
        yield f"| {' | '.join(cells)} |"


def stream_rows() -> Iterator[str]:
    streams = stream_methods()
    simulated = {str(one.value) for one in SimulatedChannel}
    for name in sorted(simulated | streams.keys()):
        pattern = rf'"(?:ws/)?{re.escape(name)}"'
        cells = (
            f"`{name}`",
            shown(streams.get(name, [])),
            yes(name in streams and is_tested("okx/streams", pattern)),
            yes(name in simulated),
            yes(is_tested("okx_simulator", pattern)),
        )
        yield f"| {' | '.join(cells)} |"


def coverage_page() -> str:
    lines = [
        "# What of OKX's API is covered",
        "",
        "Read off the code by `tests/stablesats/okx/test_coverage_page.py`, which also keeps this page up to date. Calls of the client are",
        "methods of `OkxClient`, `PublicStream` and `PrivateStream`. A call is tested if a test module of that side names it.",
        "",
        "## REST",
        "",
        "| endpoint | client | tested | simulator | tested |",
        "| --- | --- | --- | --- | --- |",
        *rest_rows(),
        "",
        "## WebSocket",
        "",
        "| channel | client | tested | simulator | tested |",
        "| --- | --- | --- | --- | --- |",
        *stream_rows(),
    ]
    return "\n".join(lines) + "\n"


def test_every_endpoint_that_the_client_has_is_sent_by_a_method_and_tested() -> None:
    """None is dead, none without a test."""
    client = client_methods()
    assert client.keys() == {(endpoint.method, endpoint.path) for endpoint in CLIENT_ENDPOINTS.values()}
    assert not [path for (_, path), methods in client.items() if not client_tests_of(path, methods)]


def test_every_channel_that_the_client_has_is_simulated() -> None:
    """And each has a method that subscribes to it."""
    streams = stream_methods()
    assert set(streams) == {
        "tickers", "books", "mark-price", "funding-rate", "orders", "positions", "account"
    }  # fmt: skip
    assert set(streams) <= {str(one.value) for one in SimulatedChannel}


def test_the_page_says_what_the_code_has() -> None:
    """``docs/okx-coverage.md`` is the same table."""
    if os.environ.get("WRITE_OKX_COVERAGE"):
        PAGE.write_text(coverage_page(), encoding="utf-8")
    if PAGE.read_text(encoding="utf-8") != coverage_page():
        pytest.fail("docs/okx-coverage.md is behind the code; write it anew with WRITE_OKX_COVERAGE=1")
