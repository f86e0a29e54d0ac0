"""The ``stablesats`` command: the dealer's services, its balances and the demonstration.

A command imports what only it needs when it runs, so that none waits for the parts of the others.
"""

# ruff: noqa: PLC0415 - as said above
import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from medici_py.errors import MediciError
from stablesats.config import Settings, load_settings
from stablesats.errors import StablesatsError
from stablesats.lifecycle import STOP_WITHIN_SECS, one_line, run_service
from stablesats.logs import LogFormat, configure_logging
from stablesats.okx_commands import okx_app

# Without its decorated tracebacks: they print local variables, secrets among them.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Users' dollars, booked and hedged: the dealer's services and tools.",
)
run_app = typer.Typer(no_args_is_help=True, help="Run a service of the dealer until it is stopped.")
app.add_typer(run_app, name="run")
app.add_typer(okx_app, name="okx")

S = TypeVar("S")

MongoUri = Annotated[
    str | None,
    typer.Option(
        "--mongodb-uri",
        envvar="MONGODB_URI",
        metavar="URI",
        help="MongoDB replica set or sharded cluster; put a password into the variable, not the option.",
        show_envvar=True,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        help="Database that holds the dealer's books; if left out, the one in the URI, else stablesats.",
        metavar="NAME",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file with settings.", envvar="STABLESATS_CONFIG"),
]
Logs = Annotated[LogFormat, typer.Option("--log-format", help="Log lines on standard error.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Users' dollars, booked and hedged: the dealer's services and tools."""
    if version:
        typer.echo(f"stablesats {distribution_version('medici-py')}")
        raise typer.Exit


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, help="How many recorded days to replay (up to 22).")] = 1,
    speed: Annotated[
        float | None,
        typer.Option(
            min=1, max=1_000_000, help="Recorded seconds a second; by default the replay takes 36 seconds."
        ),
    ] = None,
    payments: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the 6,250 recorded payments to feed; by default all."),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep everything running after the replay, until Ctrl-C.")
    ] = False,
    mongodb_uri: Annotated[
        str | None,
        typer.Option(
            "--mongodb-uri",
            metavar="URI",
            help="Use this replica set, in a database of its own that is dropped at the end.",
        ),
    ] = None,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the exporter; 0 takes any free one.")
    ] = 0,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on standard output, all else on error.")
    ] = False,
) -> None:
    """Watch the dealer work: a recorded day of prices and payments through every part of the system.

    Starts a private MongoDB (or uses the one that MONGODB_URI names), the OKX simulator, the hedging engine
    and the exporter, each as a process of its own, books the payments as user trades while the prices run,
    then checks the books, the hedge and the orders. Exit code 0 only if every check holds.
    """
    from stablesats.demo import DemoSettings, run_demo

    def settings() -> DemoSettings:
        return DemoSettings.checked(
            days=days,
            speed=None if speed is None else Decimal(str(speed)),
            payments=payments,
            serve=serve,
            mongodb_uri=mongodb_uri,
            metrics_port=metrics_port,
            json_output=json_output,
        )

    _run(settings, run_demo, stop_within_secs=60)


@run_app.command()
def engine(
    mongodb_uri: MongoUri = None,
    database: Database = None,
    okx_url: Annotated[
        str | None, typer.Option("--okx-url", metavar="URL", help="Base URL of OKX, or of a simulator.")
    ] = None,
    config: ConfigFile = None,
    log_format: Logs = LogFormat.CONSOLE,
) -> None:
    """Hedge what users are owed with the OKX swap.

    Credentials come from STABLESATS_OKX__API_KEY, STABLESATS_OKX__SECRET_KEY and STABLESATS_OKX__PASSPHRASE.
    Any number may run on one account: only the one that holds the order slot acts.
    """
    from stablesats.cli_engine import hedge

    configure_logging(log_format)

    def settings() -> Settings:
        return load_settings(config, _overrides(mongodb_uri, database, okx_url))

    _run(settings, hedge)


@run_app.command()
def ledger(
    trades: Annotated[
        Path, typer.Option(metavar="PATH", help="Trades as JSON lines: a file, or a folder of *.jsonl.")
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Book and allocate what is there, print a summary, and end.")
    ] = False,
    mongodb_uri: MongoUri = None,
    database: Database = None,
    config: ConfigFile = None,
    log_format: Logs = LogFormat.CONSOLE,
) -> None:
    """Book users' trades, take back those that have to be, and allocate the liability to the exchanges.

    Any number may run at once, on the same trades or on others: each trade is booked once. Follows PATH as
    it grows, unless --once is given. Lines that are unusable are kept in the collection
    stablesats_quarantine and do not change the exit code.
    """
    from stablesats.cli_ledger import keep_books
    from stablesats.trades import JsonLinesSource, TradeSource

    configure_logging(log_format)

    def settings() -> tuple[Settings, TradeSource]:
        read = load_settings(config, _overrides(mongodb_uri, database, None))
        return read, JsonLinesSource(trades, follow=not once)

    async def service(given: tuple[Settings, TradeSource], stop: asyncio.Event) -> int:
        return await keep_books(*given, stop, once=once)

    _run(settings, service)


@app.command(name="okx-simulator")
def okx_simulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0 takes any free one.")] = 3330,
    tls_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Another port, for HTTPS and WSS; 0 as above.")
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the certificate that clients of the TLS port must trust."),
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="OKX_SIMULATOR_API_KEY")] = "sim-key",
    secret: Annotated[str, typer.Option(envvar="OKX_SIMULATOR_SECRET")] = "sim-secret",  # noqa: S107
    passphrase: Annotated[str, typer.Option(envvar="OKX_SIMULATOR_PASSPHRASE")] = "sim-pass",  # noqa: S107
    price: Annotated[str, typer.Option(metavar="USD", help="Price of a bitcoin without a replay.")] = "50000",
    trading_btc: Annotated[str, typer.Option(metavar="BTC", help="Cash of the trading account.")] = "10",
    funding_btc: Annotated[str, typer.Option(metavar="BTC", help="Balance of the funding account.")] = "0",
    lever: Annotated[str, typer.Option(help="Leverage of the account.")] = "5",
    seed: Annotated[int, typer.Option(help="Seed of what is made up: book sizes and order ids.")] = 0,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Price history to trade against: csv, or jsonl of OKX's messages; also .gz."
        ),
    ] = None,
    replay_venue: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which venue, where the history has several.")
    ] = None,
    replay_instrument: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which instrument, where the history has several.")
    ] = None,
    replay_from: Annotated[datetime | None, typer.Option(help="First instant of the history, UTC.")] = None,
    replay_until: Annotated[datetime | None, typer.Option(help="End of the history, UTC.")] = None,
    replay_speed: Annotated[str, typer.Option(help="Recorded seconds a second.")] = "1",
    paused: Annotated[
        bool, typer.Option("--paused", help="Hold the replay until POST /admin/replay starts it.")
    ] = False,
    fill_delay_ms: Annotated[int, typer.Option(min=0, help="How long an order is on its way.")] = 0,
    transfer_ms: Annotated[int, typer.Option(min=0, help="How long a transfer is pending.")] = 0,
    block_ms: Annotated[int, typer.Option(min=0, help="Time between blocks; 0 confirms at once.")] = 0,
    bitcoin_network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[main|test|regtest]",
            help="Whose addresses withdrawals may go to; may be given again. Default: main.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Start from this state if it exists; write it at start and end."),
    ] = None,
    rate_limits: Annotated[
        bool, typer.Option("--rate-limits/--no-rate-limits", help="Enforce OKX's limits.")
    ] = True,
    log_format: Logs = LogFormat.CONSOLE,
) -> None:
    """Run a simulated OKX that real OKX clients can talk to, over REST and WebSocket.

    Prints its address once it answers, and the TLS one if there is. POST /admin/... sets prices, time and
    faults meanwhile; docs/okx-simulator.md says how.
    """
    from stablesats.okx_simulator import BitcoinNetwork, PriceReplay, SimulatorConfig, read_quotes, serve

    if replay is None:
        _refuse_without(
            "--replay",
            {
                "--replay-venue": replay_venue,
                "--replay-instrument": replay_instrument,
                "--replay-from": replay_from,
                "--replay-until": replay_until,
                "--replay-speed": None if replay_speed == "1" else replay_speed,
                "--paused": paused or None,
            },
        )
    if tls_port is None:
        _refuse_without("--tls-port", {"--tls-certificate": tls_certificate})
    configure_logging(log_format)

    def network(name: str) -> BitcoinNetwork:
        if name not in set(BitcoinNetwork):
            msg = f"{name!r} is none of {', '.join(BitcoinNetwork)}"
            raise typer.BadParameter(msg, param_hint="--bitcoin-network")
        return BitcoinNetwork(name)

    def settings() -> SimulatorConfig:
        history = None
        if replay is not None:
            quotes = read_quotes(
                replay,
                _utc(replay_from),
                _utc(replay_until),
                venue=replay_venue,
                instrument=replay_instrument,
            )
            history = PriceReplay(quotes, _decimal("--replay-speed", replay_speed))
        return SimulatorConfig(
            host=host,
            port=port,
            tls_port=tls_port,
            api_key=api_key,
            secret=secret,
            passphrase=passphrase,
            price_usd=_decimal("--price", price),
            trading_btc=_decimal("--trading-btc", trading_btc),
            funding_btc=_decimal("--funding-btc", funding_btc),
            lever=_decimal("--lever", lever),
            seed=seed,
            replay=history,
            replay_autostart=not paused,
            rate_limits=rate_limits,
            fill_delay_ms=fill_delay_ms,
            transfer_ms=transfer_ms,
            block_ms=block_ms,
            bitcoin_networks=frozenset(map(network, bitcoin_network or [BitcoinNetwork.MAIN])),
        )

    async def service(simulated: SimulatorConfig, stop: asyncio.Event) -> None:
        await serve(
            simulated,
            stop=stop,
            on_ready=lambda url: typer.echo(f"okx-simulator: {url}"),
            state_path=state,
            certificate_path=tls_certificate,
        )

    _run(settings, service)


@app.command()
def balances(
    mongodb_uri: MongoUri = None,
    database: Database = None,
    config: ConfigFile = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="A list of account, currency, balance_minor.")
    ] = False,
) -> None:
    """Print every account of the dealer's books: credit minus debit, in satoshi or cents."""
    from stablesats.cli_ledger import show_balances

    def settings() -> Settings:
        return load_settings(config, _overrides(mongodb_uri, database, None))

    async def service(read: Settings, stop: asyncio.Event) -> None:  # noqa: ARG001
        await show_balances(read, as_json=json_output)

    _run(settings, service)


def _run(
    settings: Callable[[], S],
    service: Callable[[S, asyncio.Event], Awaitable[int | None]],
    *,
    stop_within_secs: float = STOP_WITHIN_SECS,
) -> NoReturn:
    """Read the settings, run the service with them, exit with its code; a bad setting is one line."""
    try:
        read = settings()
    except (StablesatsError, MediciError) as error:
        typer.echo(f"error: {one_line(error)}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(run_service(lambda stop: service(read, stop), stop_within_secs=stop_within_secs))


def _overrides(mongodb_uri: str | None, database: str | None, okx_url: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if mongodb_uri is not None:
        given["mongodb_uri"] = mongodb_uri
    if database is not None:
        given["database"] = database
    if okx_url is not None:
        given["okx"] = {"base_url": okx_url}
    return given


def _decimal(name: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number", param_hint=name) from None


def _refuse_without(needed: str, given: dict[str, object | None]) -> None:
    """Complain about options that would do nothing, as *needed* is not there."""
    for name, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"does nothing without {needed}", param_hint=name)


def _utc(instant: datetime | None) -> datetime | None:
    if instant is None or instant.tzinfo is not None:
        return instant
    return instant.replace(tzinfo=UTC)


def main() -> None:
    """Run the command."""
    app(prog_name="stablesats")
