"""The parts of the demo: simulator, engine and exporter, each as its own command in its own process."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

from pydantic import SecretStr

from stablesats.data import PriceHistory
from stablesats.demo.processes import Child, ChildSpec
from stablesats.okx import OkxCredentials

TRADING_BTC: Final = 30
"""Collateral at the exchange: enough to back every short of the demo one to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsPlan:
    """What the parts are started with."""

    mongodb_uri: str = field(repr=False)
    database: str
    history: PriceHistory
    days: int
    speed: Decimal
    metrics_port: int


class Parts:
    """Starts the parts in order, keeps them running and stops them all."""

    def __init__(self, plan: PartsPlan, *, report: Callable[[str], None]) -> None:
        """Prepare *plan*; *report* takes a line for every start and every death of a part."""
        api_key, secret, passphrase = (secrets.token_hex(16) for _ in range(3))
        self.credentials = OkxCredentials(
            api_key=api_key, secret_key=SecretStr(secret), passphrase=SecretStr(passphrase)
        )
        start, end = plan.history.window(plan.days)
        mongodb = {"MONGODB_URI": plan.mongodb_uri}
        self._simulator = Child(
            ChildSpec(
                name="OKX simulator",
                arguments=[
                    "-m", "stablesats", "okx-simulator", "--port", "0", "--paused",
                    "--replay", str(plan.history.path),
                    "--replay-from", f"{start:%Y-%m-%dT%H:%M:%S}",
                    "--replay-until", f"{end:%Y-%m-%dT%H:%M:%S}",
                    "--replay-speed", f"{plan.speed:f}",
                    "--trading-btc", str(TRADING_BTC),
                ],
                ready_prefix="okx-simulator:",
                environment={
                    "OKX_SIMULATOR_API_KEY": api_key,
                    "OKX_SIMULATOR_SECRET": secret,
                    "OKX_SIMULATOR_PASSPHRASE": passphrase,
                },
                restart=False,  # the exchange's state dies with it
            ),
            report=report,
        )  # fmt: skip
        self._exporter = Child(
            ChildSpec(
                name="exporter",
                arguments=["-m", "exporters", "--database", plan.database, "--port", str(plan.metrics_port)],
                ready_prefix="exporter:",
                environment=mongodb,
            ),
            report=report,
        )
        self._engine_environment = {
            **mongodb,
            "STABLESATS_OKX__API_KEY": api_key,
            "STABLESATS_OKX__SECRET_KEY": secret,
            "STABLESATS_OKX__PASSPHRASE": passphrase,
            "STABLESATS_HEDGING__POLL_INTERVAL_SECS": "1",
        }
        self._database = plan.database
        self._report = report
        self._engine: Child | None = None
        self.exchange_url = ""

    @property
    def metrics_url(self) -> str:
        """Where the exporter serves now; another port after it was started again on any free one."""
        return f"{self._exporter.ready_text}/metrics"

    @property
    def engine_starts(self) -> int:
        """How often the engine was started: once, and once more for every death."""
        return 0 if self._engine is None else self._engine.starts

    async def __aenter__(self) -> Self:
        try:
            self.exchange_url = await self._simulator.start()
            self._engine = self._engine_child(self.exchange_url)
            await self._engine.start()
            await self._exporter.start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def supervise(self) -> None:
        """Start again what dies; returns only when everything was stopped.

        Raises:
            PartFailedError: If a part is gone for good.
        """
        assert self._engine is not None
        tasks = [asyncio.create_task(child.supervise()) for child in self._children()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _engine_child(self, exchange_url: str) -> Child:
        spec = ChildSpec(
            name="hedging engine",
            arguments=["-m", "stablesats", "run", "engine", "--database", self._database],
            ready_prefix="engine:",
            environment={**self._engine_environment, "STABLESATS_OKX__BASE_URL": exchange_url},
        )
        return Child(spec, report=self._report)

    def _children(self) -> list[Child]:
        return [child for child in (self._engine, self._exporter, self._simulator) if child is not None]

    async def _stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children()))
