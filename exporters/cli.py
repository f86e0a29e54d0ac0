"""The ``stablesats-exporter`` command."""

import asyncio
from typing import Annotated

import typer

from exporters.server import LOOPBACK_HOST
from exporters.service import ExporterSettings, serve
from stablesats.lifecycle import run_service
from stablesats.logs import LogFormat, configure_logging

# Without its decorated tracebacks: they print local variables, the URI's password among them.
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    mongodb_uri: Annotated[
        str,
        typer.Option(
            "--mongodb-uri",
            envvar="MONGODB_URI",
            metavar="URI",
            help="MongoDB replica set or sharded cluster; put a password into the variable, not the option.",
        ),
    ],
    database: Annotated[
        str | None,
        typer.Option(
            envvar="STABLESATS_DATABASE",
            metavar="NAME",
            help="Database that holds the dealer's books; if left out, the one in the URI, else stablesats.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anyone who can reach it can read.")
    ] = LOOPBACK_HOST,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0 takes any free one.")] = 9464,
    log_format: Annotated[LogFormat, typer.Option(help="Log lines on standard error.")] = LogFormat.CONSOLE,
) -> None:
    """Serve assets, liabilities and the hedge of the dealer's books as Prometheus metrics.

    Prints its URL in one line on standard output once it listens: /metrics, /healthz, /readyz and a page.
    """
    configure_logging(log_format)
    settings = ExporterSettings(mongodb_uri=mongodb_uri, database=database, host=host, port=port)

    async def service(stop: asyncio.Event) -> None:
        await serve(settings, stop, announce=lambda url: typer.echo(f"exporter: {url}"))

    raise typer.Exit(run_service(service))


def main() -> None:
    """Run the command."""
    app(prog_name="stablesats-exporter")
