"""TLS for clients that insist on it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from stablesats.okx_simulator import OkxSimulator, SimulatorConfig, SimulatorStartError
from stablesats.okx_simulator.certificates import make_certificate

NOW = datetime.now(UTC)


async def test_trusting_the_certificate_is_enough() -> None:
    """REST and WebSocket, under the address and under the name; the same exchange as without TLS."""
    async with OkxSimulator(SimulatorConfig(tls_port=0)) as simulator:
        assert simulator.certificate is not None
        assert simulator.tls_url is not None
        context = ssl.create_default_context(cadata=simulator.certificate.certificate_pem.decode())
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            for base_url in (simulator.tls_url, simulator.tls_url.replace("127.0.0.1", "localhost")):
                async with session.get(f"{base_url}/api/v5/public/time") as answer:
                    assert (await answer.json())["code"] == "0"
            async with session.ws_connect(f"{simulator.tls_url}/ws/v5/public") as socket:
                await socket.send_str("ping")
                assert (await socket.receive(timeout=60)).data == "pong"
        assert simulator.base_url != simulator.tls_url


async def test_stranger_does_not_trust_it() -> None:
    """It is signed by nobody but itself."""
    async with OkxSimulator(SimulatorConfig(tls_port=0)) as simulator, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{simulator.tls_url}/api/v5/public/time")


def test_key_is_not_shown() -> None:
    """A certificate in a log does not give its key away."""
    certificate = make_certificate("127.0.0.1", NOW)
    assert "PRIVATE KEY" not in repr(certificate)
    assert b"PRIVATE KEY" not in certificate.certificate_pem


@pytest.mark.parametrize("host", ["0.0.0.0", "exchange.test", "::1", "localhost"])
def test_host_may_be_an_address_or_a_name(host: str, tmp_path: Path) -> None:
    """Each can be loaded by a client."""
    certificate = make_certificate(host, NOW)
    context = ssl.create_default_context(cadata=certificate.certificate_pem.decode())
    assert context.get_ca_certs()[0]["subject"] == ((("commonName", "stablesats okx-simulator"),),)
    assert certificate.server_context().minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_both_ports_are_given_back_when_one_is_taken() -> None:
    """TLS on the port that the plain one has just taken: nothing is left listening."""
    async with OkxSimulator(SimulatorConfig()) as other:
        taken = int(other.base_url.rpartition(":")[2])
        simulator = OkxSimulator(SimulatorConfig(tls_port=taken))
        with pytest.raises(SimulatorStartError, match=f":{taken}: "):
            await simulator.start()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"{simulator.base_url}/api/v5/public/time")
