"""What the demo sees of the simulated exchange: its admin pages, read as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import aiohttp

from stablesats.errors import StablesatsError


class SimulatorAwayError(StablesatsError):
    """The simulator does not answer, or not as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeState:
    """The exchange at one moment.

    Attributes:
        replay_at: Where the replayed history stands.
        replay_finished: Whether it has come to its end.
        bid_usd: Best bid, USD a bitcoin.
        position_contracts: Signed contracts.
    """

    replay_at: datetime
    replay_finished: bool
    bid_usd: Decimal
    position_contracts: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOrder:
    """An order as the exchange has it."""

    client_order_id: str
    side: str
    size_contracts: Decimal
    filled_contracts: Decimal
    state: str

    @property
    def signed_fill_contracts(self) -> Decimal:
        """What it did to the position."""
        return -self.filled_contracts if self.side == "sell" else self.filled_contracts


class SimulatorAdmin:
    """Reads the simulator's admin pages and starts its replay."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        """Talk to the simulator at *base_url* over *session*."""
        self._session = session
        self._base_url = base_url

    async def start_replay(self) -> None:
        """Let the replayed history run."""
        await self._request("POST", "/admin/replay", {"action": "start"})

    async def state(self) -> ExchangeState:
        """The exchange now.

        Raises:
            SimulatorAwayError: If it does not answer.
        """
        body = await self._request("GET", "/admin/state")
        replay, price = body["replay"], body["price"]
        return ExchangeState(
            replay_at=datetime.fromisoformat(replay["at"]),
            replay_finished=replay["finished"],
            bid_usd=Decimal(price["bid"]),
            position_contracts=Decimal(body["position_contracts"]),
        )

    async def orders(self) -> list[ExchangeOrder]:
        """Every order that the exchange ever accepted, oldest first."""
        body = await self._request("GET", "/admin/orders")
        return [
            ExchangeOrder(
                client_order_id=row["clOrdId"],
                side=row["side"],
                size_contracts=Decimal(row["sz"]),
                filled_contracts=Decimal(row["accFillSz"]),
                state=row["state"],
            )
            for row in body["orders"]
        ]

    async def _request(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._session.request(method, self._base_url + path, json=body) as response:
                response.raise_for_status()
                answer: dict[str, Any] = await response.json()
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            msg = f"the simulator does not answer {method} {path}: {type(error).__name__} {error}"
            raise SimulatorAwayError(msg) from error
