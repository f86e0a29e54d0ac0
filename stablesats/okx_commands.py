"""The ``stablesats okx`` commands: what an operator wants to know of the account at OKX.

All of them only read, except ``cancel``, which does nothing without ``--yes``. Exit code 0 for an answer, 1
for an error, of which one line stands on standard error, 2 for a command that was used wrongly. Warnings of
the log, such as of a clock that is off, come before either on standard error.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeAlias

import stamina
import typer

from stablesats.config import OkxSettings, load_settings
from stablesats.errors import StablesatsError
from stablesats.lifecycle import one_line, run_service
from stablesats.logs import configure_logging
from stablesats.okx import OkxClient, OkxCredentials, Page, ReadRetry
from stablesats.okx.health import check_health
from stablesats.okx_report import (
    Report,
    balance_report,
    health_report,
    order_report,
    position_report,
    print_table,
    report_json,
    transfer_report,
    transfer_status_report,
)

okx_app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at the account at OKX; nothing is changed without --yes.",
)

# An operator waits for the answer: better an error after a few seconds than an answer after half a minute.
_RETRY = ReadRetry(attempts=3, deadline_secs=8.0)
_TIMEOUT_SECS = 8.0

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file with settings.", envvar="STABLESATS_CONFIG"),
]
OkxUrl = Annotated[
    str | None, typer.Option("--okx-url", metavar="URL", help="Base URL of OKX, or of a simulator.")
]
Instrument = Annotated[str, typer.Option("--instrument", metavar="ID", help="The perpetual swap.")]
Json = Annotated[bool, typer.Option("--json", help="A list of objects; numbers are exact texts.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many rows.")]

_SWAP = "BTC-USD-SWAP"

Ask: TypeAlias = Callable[[OkxClient], Awaitable[Report]]


@okx_app.command()
def balance(config: ConfigFile = None, okx_url: OkxUrl = None, json_output: Json = False) -> None:
    """Print the bitcoin of the trading and of the funding account."""

    async def ask(okx: OkxClient) -> Report:
        return balance_report(await okx.trading_balance(), await okx.funding_balance())

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def position(
    config: ConfigFile = None,
    okx_url: OkxUrl = None,
    instrument: Instrument = _SWAP,
    json_output: Json = False,
) -> None:
    """Print the position: contracts, exposure in cents, prices, margin. Short is negative."""

    async def ask(okx: OkxClient) -> Report:
        return position_report(await okx.position(instrument), await okx.instrument(instrument))

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def orders(
    *,
    pending: Annotated[bool, typer.Option("--pending", help="Only orders that are not final.")] = False,
    limit: Limit = 20,
    config: ConfigFile = None,
    okx_url: OkxUrl = None,
    instrument: Instrument = _SWAP,
    json_output: Json = False,
) -> None:
    """Print pending orders and those of the last seven days, newest first.

    OKX forgets an order that was cancelled unfilled after two hours.
    """

    async def ask(okx: OkxClient) -> Report:
        page = Page(limit=limit)
        found = await okx.pending_orders(instrument, page)
        if not pending:
            found += await okx.order_history(instrument, page)
        return order_report(found, limit=limit)

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def order(
    order_id: Annotated[str, typer.Argument(metavar="ID", help="Our client order id.")],
    *,
    by_okx_id: Annotated[bool, typer.Option("--by-okx-id", help="ID is OKX's own.")] = False,
    config: ConfigFile = None,
    okx_url: OkxUrl = None,
    instrument: Instrument = _SWAP,
    json_output: Json = False,
) -> None:
    """Print one order."""

    async def ask(okx: OkxClient) -> Report:
        look_up = okx.order_by_id if by_okx_id else okx.order
        return order_report([await look_up(instrument, order_id)])

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def transfers(
    limit: Limit = 20, config: ConfigFile = None, okx_url: OkxUrl = None, json_output: Json = False
) -> None:
    """Print what moved: bills of the trading account (of seven days), deposits, withdrawals; newest first.

    A bill in or out is cash that a transfer between the accounts moved, and says nothing of the transfer's
    state: one that failed leaves two, and one to the trading account none before it has succeeded. How far a
    transfer is says `transfer`.
    """

    async def ask(okx: OkxClient) -> Report:
        page = Page(limit=limit)
        return transfer_report(
            bills=await okx.bills(page, kind="1"),
            deposits=await okx.deposits(page),
            withdrawals=await okx.withdrawals(page),
            limit=limit,
        )

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def transfer(
    transfer_id: Annotated[str, typer.Argument(metavar="ID", help="Our client id.")],
    *,
    by_okx_id: Annotated[bool, typer.Option("--by-okx-id", help="ID is OKX's own.")] = False,
    config: ConfigFile = None,
    okx_url: OkxUrl = None,
    json_output: Json = False,
) -> None:
    """Print how far one transfer between the accounts is; OKX knows those of two weeks."""

    async def ask(okx: OkxClient) -> Report:
        look_up = okx.transfer_status_by_id if by_okx_id else okx.transfer_status
        return transfer_status_report(await look_up(transfer_id))

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def health(
    config: ConfigFile = None,
    okx_url: OkxUrl = None,
    instrument: Instrument = _SWAP,
    json_output: Json = False,
) -> None:
    """Check clock, maintenance, account, key, instrument and price.

    Exit code 1 if one of them is not as the hedge needs it, or cannot be looked at. Where OKX does not answer
    at all, the others are not asked for after the first.
    """

    async def ask(okx: OkxClient) -> Report:
        return health_report(await check_health(okx, instrument))

    _answer(ask, config, okx_url, json_output=json_output)


@okx_app.command()
def cancel(
    client_order_id: Annotated[str, typer.Argument(metavar="ID", help="Our client order id.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Really cancel it.")] = False,
    config: ConfigFile = None,
    okx_url: OkxUrl = None,
    instrument: Instrument = _SWAP,
    json_output: Json = False,
) -> None:
    """Ask OKX to cancel a pending order, and print it as it is then."""
    if not yes:
        raise typer.BadParameter(f"cancelling {client_order_id} changes the account: repeat it with --yes")

    async def ask(okx: OkxClient) -> Report:
        await okx.cancel_order(instrument, client_order_id)
        return order_report([await okx.order(instrument, client_order_id)])

    _answer(ask, config, okx_url, json_output=json_output)


def _answer(ask: Ask, config: Path | None, okx_url: str | None, *, json_output: bool) -> NoReturn:
    configure_logging()
    # An operator is told how it ended, in one line, and not each time that a read is repeated.
    stamina.instrumentation.set_on_retry_hooks(())
    try:
        settings = load_settings(config, {} if okx_url is None else {"okx": {"base_url": okx_url}}).okx
        credentials = OkxCredentials(
            api_key=settings.api_key, secret_key=settings.secret_key, passphrase=settings.passphrase
        )
    except StablesatsError as error:
        typer.echo(f"error: {one_line(error)}", err=True)
        raise typer.Exit(1) from None

    async def service(stop: asyncio.Event) -> int:
        asking = asyncio.ensure_future(_ask(ask, settings, credentials))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not asking.done():
            asking.cancel()
        report = await asking
        if json_output:
            typer.echo(report_json(report))
        else:
            print_table(report)
        return 0 if report.is_good else 1

    raise typer.Exit(run_service(service))


async def _ask(ask: Ask, settings: OkxSettings, credentials: OkxCredentials) -> Report:
    async with OkxClient(
        base_url=settings.base_url,
        credentials=credentials,
        simulated=settings.simulated,
        request_timeout_secs=_TIMEOUT_SECS,
        read_retry=_RETRY,
    ) as okx:
        return await ask(okx)
