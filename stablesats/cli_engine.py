"""What ``stablesats run engine`` does, apart from its options."""

import asyncio

import typer

from stablesats.config import Settings
from stablesats.database import open_database
from stablesats.hedging.engine import HedgingEngine
from stablesats.ledger import Ledger
from stablesats.okx import OkxClient, OkxCredentials


async def hedge(settings: Settings, stop: asyncio.Event) -> None:
    """Hedge what users are owed until *stop* is set; say in one line when it begins."""
    credentials = OkxCredentials(
        api_key=settings.okx.api_key,
        secret_key=settings.okx.secret_key,
        passphrase=settings.okx.passphrase,
    )
    async with (
        open_database(settings.mongodb_uri.get_secret_value(), settings.database) as database,
        OkxClient(
            base_url=settings.okx.base_url, credentials=credentials, simulated=settings.okx.simulated
        ) as client,
    ):
        hedging = HedgingEngine(
            client=client, ledger=Ledger(database), settings=settings.hedging.engine_settings()
        )
        await hedging.run(stop, on_ready=lambda: typer.echo("engine: ready"))
