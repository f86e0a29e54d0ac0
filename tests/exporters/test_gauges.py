"""The metrics: names, values, signs, and what is left out because it is unknown."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from exporters.gauges import LedgerCollector
from exporters.snapshot import AccountBalance, BookImbalance, LedgerFigures, LedgerSnapshot, StreamStatus
from stablesats.ledger.balances import DealerBalances
from stablesats.ledger.chart import Account, Currency

NOON = datetime(2022, 11, 8, 12, 0, tzinfo=UTC)
NOON_EPOCH_SECS = 1_667_908_800

DEALER = DealerBalances(
    users_liability_cents=50_123,
    unallocated_cents=123,
    okex_allocation_cents=50_000,
    btc_wallet_sats=2_500_000,
    signed_exposure_cents=-40_000,
)

LIVE = LedgerSnapshot(
    stream=StreamStatus(is_live=True, journals_applied=7, restarts=1, last_event_at=NOON, confirmed_at=NOON),
    figures=LedgerFigures(
        dealer=DEALER,
        accounts=(
            AccountBalance(Account.STABLESATS_OMNIBUS, Currency.USD, -50_123),
            AccountBalance(Account.OKEX_POSITION, Currency.USD, -40_000),
        ),
        imbalances=(BookImbalance("Stablesats", Currency.USD, Decimal(0)),),
    ),
)

NOT_LOADED = LedgerSnapshot(stream=StreamStatus(), figures=None)


def dealing(**figures: int) -> LedgerSnapshot:
    """The live snapshot with some of the dealer's figures changed."""
    assert LIVE.figures is not None
    return replace(LIVE, figures=replace(LIVE.figures, dealer=replace(DEALER, **figures)))


def registry_of(snapshot: LedgerSnapshot, *, clock: Callable[[], float] = lambda: 0.0) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(LedgerCollector(lambda: snapshot, monotonic_secs=clock))
    return registry


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stablesats_assets_sats", 2_500_000),
        ("stablesats_liabilities_cents", 50_123),
        ("stablesats_hedge_target_cents", 50_123),  # 50,000 allocated + 123 not yet
        ("stablesats_position_exposure_cents", -40_000),
        ("stablesats_position_contracts", -4),  # -40,000 cents / 10,000 cents a contract
        ("stablesats_hedge_ratio", 40_000 / 50_123),
        ("stablesats_ledger_stream_up", 1),
        ("stablesats_ledger_confirmed_timestamp_seconds", NOON_EPOCH_SECS),
        ("stablesats_ledger_last_event_timestamp_seconds", NOON_EPOCH_SECS),
        ("stablesats_ledger_journals_total", 7),
        ("stablesats_ledger_stream_restarts_total", 1),
    ],
)
def test_each_figure_of_a_live_snapshot_has_its_metric(name: str, value: float) -> None:
    """A figure is served under a name that carries its unit, with the sign its help text states."""
    assert registry_of(LIVE).get_sample_value(name) == pytest.approx(value, abs=0, rel=1e-15)


@pytest.mark.parametrize(("account", "value"), [("STABLESATS_OMNIBUS", -50_123), ("OKEX_POSITION", -40_000)])
def test_account_balances_are_credits_minus_debits(account: str, value: int) -> None:
    """An account is served as the ledger balances it; what it means is for the other metrics to say."""
    book = Account[account].book
    labels = {"book": book, "account": account, "currency": "USD"}
    assert registry_of(LIVE).get_sample_value("stablesats_account_balance_minor", labels) == value


@pytest.mark.parametrize(
    ("exposure_cents", "ratio"),
    [
        (0, 0.0),  # owed 50,000 and no position: known to be unhedged
        (-50_000, 1.0),
        (-60_000, 1.2),
        (10_000, -0.2),  # long: the wrong way round
    ],
)
def test_hedge_ratio_is_short_over_target(exposure_cents: int, ratio: float) -> None:
    """One is fully hedged; a long position gives a negative ratio."""
    snapshot = dealing(
        signed_exposure_cents=exposure_cents, okex_allocation_cents=50_000, unallocated_cents=0
    )
    assert registry_of(snapshot).get_sample_value("stablesats_hedge_ratio") == ratio


def test_hedge_ratio_with_nothing_to_hedge_is_absent() -> None:
    """Nothing over nothing is unknown, which is not zero: zero would mean wholly unhedged."""
    registry = registry_of(dealing(okex_allocation_cents=0, unallocated_cents=0, signed_exposure_cents=0))
    assert registry.get_sample_value("stablesats_hedge_ratio") is None
    assert registry.get_sample_value("stablesats_hedge_target_cents") == 0


def test_ledger_not_loaded_gives_no_figure_but_says_that_the_stream_is_down() -> None:
    """Before the ledger was read nothing is known of it, and nothing is claimed."""
    text = generate_latest(registry_of(NOT_LOADED)).decode()
    samples = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert samples == {
        "stablesats_ledger_stream_up",
        "stablesats_ledger_journals_total",
        "stablesats_ledger_stream_restarts_total",
        "stablesats_scrape_duration_seconds",
    }
    assert registry_of(NOT_LOADED).get_sample_value("stablesats_ledger_stream_up") == 0


def test_stream_down_keeps_the_last_figures_and_their_time() -> None:
    """Figures that may be out of date stay, marked: the stream is down, and known since when."""
    down = replace(LIVE, stream=replace(LIVE.stream, is_live=False, failure="connection closed"))
    registry = registry_of(down)
    assert registry.get_sample_value("stablesats_ledger_stream_up") == 0
    assert registry.get_sample_value("stablesats_liabilities_cents") == 50_123
    assert registry.get_sample_value("stablesats_ledger_confirmed_timestamp_seconds") == NOON_EPOCH_SECS


def test_unbalanced_book_shows_by_how_much() -> None:
    """An imbalance is a number to alarm on, not a reason to fall silent."""
    assert LIVE.figures is not None
    figures = replace(LIVE.figures, imbalances=(BookImbalance("Stablesats", Currency.BTC, Decimal(3)),))
    labels = {"book": "Stablesats", "currency": "BTC"}
    registry = registry_of(replace(LIVE, figures=figures))
    assert registry.get_sample_value("stablesats_ledger_imbalance_minor", labels) == 3


@given(cents=st.integers(min_value=-(2**53), max_value=2**53))
def test_whole_minor_units_up_to_two_to_the_53_arrive_exactly(cents: int) -> None:
    """What a scraper parses is to the cent what the ledger says, up to 90 trillion dollars."""
    text = generate_latest(registry_of(dealing(signed_exposure_cents=cents))).decode()
    served = {sample.name: sample.value for f in text_string_to_metric_families(text) for sample in f.samples}
    assert int(served["stablesats_position_exposure_cents"]) == cents


def test_scrape_duration_is_the_time_between_two_looks_at_the_clock() -> None:
    """The duration comes from the clock that was handed in: 3.5 s - 3.25 s."""
    ticks = iter([3.25, 3.5])
    registry = registry_of(LIVE, clock=lambda: next(ticks))
    assert registry.get_sample_value("stablesats_scrape_duration_seconds") == 0.25


def test_registering_reads_no_snapshot() -> None:
    """A registry learns the names without a look at the ledger."""

    def unread() -> LedgerSnapshot:
        raise AssertionError

    registry = CollectorRegistry(auto_describe=True)
    registry.register(LedgerCollector(unread, monotonic_secs=lambda: 0.0))
    assert registry.restricted_registry(["stablesats_assets_sats"]) is not None


def test_families_are_the_same_whatever_is_known() -> None:
    """Names, types and help texts never depend on the data, so dashboards and rules can rely on them."""

    def declared(snapshot: LedgerSnapshot) -> list[tuple[str, str, str]]:
        return [(f.name, f.type, f.documentation) for f in registry_of(snapshot).collect()]

    assert declared(NOT_LOADED) == declared(LIVE)


@pytest.mark.parametrize("snapshot", [LIVE, NOT_LOADED], ids=["live", "not loaded"])
def test_promtool_accepts_names_types_and_help_texts(snapshot: LedgerSnapshot, promtool: Path) -> None:
    """Prometheus' own linter has nothing to say, whether or not the figures are known."""
    text = generate_latest(registry_of(snapshot))
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_every_help_text_is_a_sentence() -> None:
    """Someone who sees a metric for the first time learns its unit and sign from its help text."""
    for family in registry_of(LIVE).collect():
        assert family.documentation[0].isupper() or family.documentation[0] == "1"
        assert family.documentation.endswith(".")
