"""Whatever a client sends, it gets an answer or a refusal of OKX's, and a refusal changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablesats.okx_simulator import SimulatorConfig
from stablesats.okx_simulator.addresses import deposit_address
from stablesats.okx_simulator.endpoints import Call, Endpoint
from stablesats.okx_simulator.exchange import Exchange
from stablesats.okx_simulator.refusals import RefusalError
from stablesats.okx_simulator.rest import ENDPOINTS
from stablesats.okx_simulator.saved_state import state_of

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
NAMES = (
    "instId", "instIdCode", "instType", "instFamily", "tdMode", "mgnMode", "side", "ordType", "sz", "px", "posSide",
    "reduceOnly", "clOrdId", "ordId", "tag", "autoCxl", "ccy", "amt", "from", "to", "type", "clientId", "transId", "dest",
    "toAddr", "chain", "wdId", "depId", "state", "lever", "posMode", "limit", "after", "before", "begin", "end",
)  # fmt: skip
LIKELY = st.sampled_from((
    "BTC-USD-SWAP", "SWAP", "cross", "isolated", "buy", "sell", "market", "limit", "post_only", "fok", "ioc", "1",
    "0.1", "0.05", "50000", "49000", "net", "true", "BTC", "ETH", "6", "18", "4", "3", "net_mode", "10458", "a", "-1",
    "0", "1e5", "NaN", "\u0661", "9" * 40, "0." + "0" * 30 + "1", deposit_address(1, 1), "x" * 40, "\ud800",
))  # fmt: skip
TEXTS = st.one_of(LIKELY, st.text(max_size=6))
VALUES = st.one_of(TEXTS, st.none(), st.booleans(), st.lists(TEXTS, max_size=2), st.just({}))
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12)
BODIES = st.one_of(
    OBJECTS, st.lists(OBJECTS | TEXTS | st.none(), max_size=3), TEXTS, st.none(), st.booleans()
)
WRITES = [endpoint for (method, _), endpoint in ENDPOINTS.items() if method == "POST"]
READS = [endpoint for (method, _), endpoint in ENDPOINTS.items() if method == "GET"]


def exchange() -> Exchange:
    return Exchange(SimulatorConfig(funding_btc=Decimal(2)), now=lambda: NOW, monotonic=lambda: 0.0)


def ask(endpoint: Endpoint, on: Exchange, query: dict[str, str], body: Any) -> str:
    """Call an endpoint; the code it answers."""
    call = Call(
        exchange=on,
        config=SimulatorConfig(),
        query=query,
        body=body,
        received_at=NOW,
        started_at=NOW,
        expires_at=None,
    )
    endpoint.charges(body)
    try:
        return endpoint.handler(call).code
    except RefusalError as refusal:
        return refusal.code


@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("endpoint", WRITES, ids=lambda endpoint: endpoint.path)
@given(bodies=st.lists(BODIES, min_size=1, max_size=4))
def test_write_is_executed_or_refused_and_refused_changes_nothing(
    endpoint: Endpoint, bodies: list[Any]
) -> None:
    """Fields missing, empty, of another kind, out of range, in another script."""
    on = exchange()
    for body in bodies:
        before = state_of(on)
        if ask(endpoint, on, {}, body) not in {"0", "2"}:
            assert state_of(on) == before
        assert on.custody.discrepancy_btc == 0


@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("endpoint", READS, ids=lambda endpoint: endpoint.path)
@given(query=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=6))
def test_read_is_answered_or_refused_and_changes_nothing(endpoint: Endpoint, query: dict[str, str]) -> None:
    """Whatever is asked for."""
    on = exchange()
    before = state_of(on)
    assert ask(endpoint, on, query, None).isdigit()
    assert state_of(on) == before
