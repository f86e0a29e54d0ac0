"""The demo from beginning to end: start the parts, feed the trades, show it, check what became of it."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import typer
from rich.console import Console

from medici_py.task_end import end_task
from stablesats.data import PAYMENT_FLOW
from stablesats.demo.checks import Check, check_all, exporter_agrees
from stablesats.demo.evidence import collect_evidence
from stablesats.demo.feeder import TradeFeeder
from stablesats.demo.rate import RateMeter
from stablesats.demo.settings import DemoSettings
from stablesats.demo.system import DemoSystem, running_system
from stablesats.demo.view import PlainView, TerminalView, View, check_line, console_for
from stablesats.hedging.hedge_adjustment import CONTRACT_CENTS, DoNothing, HedgeBounds, decide_hedge
from stablesats.hedging.orders import HEDGE_ORDERS
from stablesats.lifecycle import wait_or_stop
from stablesats.trades.payment_flow import DealerQuote, read_payments, schedule

_STEP_SECS: Final = 0.1
_SETTLE_WITHIN_SECS: Final = 30.0
INTERRUPTED: Final = 130
"""Exit code of a demo that was stopped before its replay ended, as shells have it for Ctrl-C."""


@dataclass(slots=True)
class _Replay:
    """A replay under way: what has been fed and how fast the books grow."""

    title: str
    feeder: TradeFeeder
    meter: RateMeter = field(default_factory=RateMeter)


async def run_demo(settings: DemoSettings, stop: asyncio.Event) -> int:
    """Run the demo.

    Returns:
        0 if every check holds, 1 if one does not, 130 if *stop* was set before the replay ended.

    Raises:
        StablesatsError: If a part cannot be started or dies for good.
        MediciError: If the database cannot be used.
    """
    console = console_for(json_output=settings.json_output)
    view = _view(console)
    async with running_system(settings, view.say) as system:
        polling = asyncio.create_task(system.prices.run(stop))
        supervision = asyncio.create_task(system.parts.supervise())
        work = asyncio.create_task(_work(settings, system, view, stop))
        try:
            await asyncio.wait({supervision, work}, return_when=asyncio.FIRST_COMPLETED)
            if supervision.done():
                supervision.result()  # a part is gone for good: its error ends the demo
            return await work
        finally:
            await asyncio.gather(*(end_task(task) for task in (work, supervision, polling)))


async def _work(settings: DemoSettings, system: DemoSystem, view: View, stop: asyncio.Event) -> int:
    start, end = settings.history.window(settings.days)
    payments = schedule(read_payments(PAYMENT_FLOW)[: settings.payments], start, end)
    replay = _Replay(settings.history.title, TradeFeeder(system.trades, payments, end=end))
    view.say(f"{settings.history.title}: {settings.days} day(s) at {settings.speed:,.0f} times real speed")
    view.say(f"metrics: {system.parts.metrics_url}")
    await system.prices.refresh()
    await system.exchange.start_replay()
    with view:
        finished = await _replay(system, replay, view, stop)
        if finished:
            await _settle(system, replay, view, stop)
    if stop.is_set():
        view.say("interrupted: stopping everything")
        return INTERRUPTED
    checks = await _check(system, replay)
    _summarise(settings, system, checks, view)
    if settings.serve:
        view.say(f"still serving {system.parts.metrics_url}; Ctrl-C ends it")
        await stop.wait()
    return 0 if all(check.holds for check in checks) else 1


async def _replay(system: DemoSystem, replay: _Replay, view: View, stop: asyncio.Event) -> bool:
    """Feed every trade in step with the prices; False if *stop* was set first."""
    while not stop.is_set():
        state = await system.exchange.state()
        ticker = system.prices.latest()
        if ticker.bid_usd is not None and ticker.ask_usd is not None:
            quote = DealerQuote(bid_usd=ticker.bid_usd, ask_usd=ticker.ask_usd)
            await replay.feeder.feed(state.replay_at, quote, everything=state.replay_finished)
        await _show(system, replay, view)
        if replay.feeder.finished and state.replay_finished:
            return True
        await wait_or_stop(stop, _STEP_SECS)
    return False


async def _settle(system: DemoSystem, replay: _Replay, view: View, stop: asyncio.Event) -> None:
    """Wait until nothing is under way any more, but not for ever: the checks say what is wrong then."""
    deadline = time.monotonic() + _SETTLE_WITHIN_SECS
    while not stop.is_set() and time.monotonic() < deadline:
        await _show(system, replay, view)
        if await _at_rest(system):
            return
        await wait_or_stop(stop, _STEP_SECS)


async def _show(system: DemoSystem, replay: _Replay, view: View) -> None:
    replay.meter.add(time.monotonic(), system.live.journals_applied)
    state = await system.exchange.state()
    view.show(await system.frame(replay.title, state, replay.meter.per_second))


async def _at_rest(system: DemoSystem) -> bool:
    """Whether the stream has delivered everything, no order is open, and there is nothing left to hedge."""
    if await system.ledger.database[HEDGE_ORDERS].find_one({"open": True}) is not None:
        return False
    balances = await system.ledger.balances()
    exposure_cents = (await system.exchange.state()).position_contracts * CONTRACT_CENTS
    decision = decide_hedge(
        liability_cents=max(balances.hedge_target_cents, 0),
        signed_exposure_cents=exposure_cents,
        bounds=HedgeBounds(),
    )
    mirrored = balances.signed_exposure_cents == exposure_cents
    if not (isinstance(decision, DoNothing) and mirrored and system.live_balances() == balances):
        return False
    return exporter_agrees(await system.scrape(), balances.hedge_target_cents, balances.signed_exposure_cents)


async def _check(system: DemoSystem, replay: _Replay) -> list[Check]:
    evidence = await collect_evidence(
        system.ledger,
        system.exchange,
        trades_fed=replay.feeder.booked,
        bounds=HedgeBounds(),
        scraped=await system.scrape(),
    )
    return check_all(evidence)


def _summarise(settings: DemoSettings, system: DemoSystem, checks: Sequence[Check], view: View) -> None:
    for check in checks:
        view.say(check_line(check))
    if settings.json_output:
        summary = {
            "ok": all(check.holds for check in checks),
            "checks": [{"name": check.name, "ok": check.holds, **check.figures} for check in checks],
            "history": settings.history.title,
            "days": settings.days,
            "speed": f"{settings.speed:f}",
            "engine_starts": system.parts.engine_starts,
            "metrics_url": system.parts.metrics_url,
        }
        typer.echo(json.dumps(summary, indent=2, default=str))


def _view(console: Console) -> View:
    if console.is_terminal:
        return TerminalView(console)
    return PlainView(console, monotonic_secs=time.monotonic)
