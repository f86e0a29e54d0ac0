"""Requests and streams over TLS: only an exchange whose certificate is trusted is talked to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from stablesats.okx import OkxClient, OkxCredentials, OkxUnreachableError, ReadRetry
from stablesats.okx.streams import OkxStaleError, PublicStream
from stablesats.okx_simulator import OkxSimulator, SimulatorConfig

pytest.importorskip("cryptography")

SWAP = "BTC-USD-SWAP"
CONFIG = SimulatorConfig(price_usd=Decimal(50_000), tls_port=0)
CREDENTIALS = OkxCredentials(api_key=CONFIG.api_key, secret_key=CONFIG.secret, passphrase=CONFIG.passphrase)


@pytest.fixture
async def simulator() -> AsyncIterator[OkxSimulator]:
    async with OkxSimulator(CONFIG) as running:
        yield running


@pytest.fixture
def trusting(simulator: OkxSimulator) -> ssl.SSLContext:
    """Trusts the certificate that the simulator has made, and no other."""
    assert simulator.certificate is not None
    return ssl.create_default_context(cadata=simulator.certificate.certificate_pem.decode())


def tls_url(simulator: OkxSimulator) -> str:
    assert simulator.tls_url is not None
    return simulator.tls_url


async def test_an_exchange_that_is_trusted(simulator: OkxSimulator, trusting: ssl.SSLContext) -> None:
    """By both sides of the client."""
    async with OkxClient(base_url=tls_url(simulator), credentials=CREDENTIALS, tls=trusting) as okx:
        assert (await okx.trading_balance()).cash_btc == 10
    stream = PublicStream(base_url=tls_url(simulator).replace("https://", "wss://"), tls=trusting)
    ticker = stream.ticker(SWAP)
    async with stream, asyncio.timeout(30):
        assert (await ticker.first()).last_usd == 50_000


async def test_an_exchange_that_is_not_trusted(simulator: OkxSimulator) -> None:
    """Nothing is sent to it: no key, no order."""
    once = ReadRetry(attempts=1)
    async with OkxClient(base_url=tls_url(simulator), credentials=CREDENTIALS, read_retry=once) as okx:
        with pytest.raises(OkxUnreachableError, match="certificate"):
            await okx.trading_balance()
    stream = PublicStream(base_url=tls_url(simulator).replace("https://", "wss://"))
    ticker = stream.ticker(SWAP)
    async with stream, asyncio.timeout(30):
        while not stream.health.last_drop:
            await asyncio.sleep(0.01)
        assert "certificate" in stream.health.last_drop.lower()
        with pytest.raises(OkxStaleError):
            ticker.latest()
    assert not simulator.requests
