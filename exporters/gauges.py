"""The metrics of the dealer's books: what each is called, what it means, which sign it has.

`ledger_families` maps a snapshot to fresh Prometheus metric families and does nothing else. What is
unknown has no sample: before the ledger is loaded there is no figure, and with nothing to hedge there
is no hedge ratio. Zero is only ever said when it is known to be zero.

**When the change stream is down the last known figures stay.** They are facts of a known instant, not
estimates, and a gauge that vanishes makes an alert on it fall silent at the worst moment.
``stablesats_ledger_stream_up`` turns 0 at once and ``stablesats_ledger_confirmed_timestamp_seconds``
stands still, so a rule (and a reader) sees both that the figures may be out of date and for how long.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporters.snapshot import LedgerFigures, LedgerSnapshot, StreamStatus
from stablesats.hedging.hedge_adjustment import CONTRACT_CENTS
from stablesats.ledger.balances import DealerBalances

_DEALER_GAUGES: Final[tuple[tuple[str, str, Callable[[DealerBalances], Decimal | int | None]], ...]] = (
    (
        "stablesats_assets_sats",
        "Bitcoin that the dealer holds against trades with users, in satoshi; positive when it holds some.",
        lambda dealer: dealer.btc_wallet_sats,
    ),
    (
        "stablesats_liabilities_cents",
        "Dollars owed to users, in US cents; positive when owed.",
        lambda dealer: dealer.users_liability_cents,
    ),
    (
        "stablesats_hedge_target_cents",
        "Dollars that the exchange position has to match, in US cents; positive asks for a short.",
        lambda dealer: dealer.hedge_target_cents,
    ),
    (
        "stablesats_position_exposure_cents",
        "Dollar value of the mirrored OKX position, in US cents; negative when short.",
        lambda dealer: dealer.signed_exposure_cents,
    ),
    (
        "stablesats_position_contracts",
        "Size of the mirrored OKX position in contracts of 100 US dollars; negative when short.",
        lambda dealer: Decimal(dealer.signed_exposure_cents) / CONTRACT_CENTS,
    ),
    (
        "stablesats_hedge_ratio",
        "Short over hedge target: 1 is fully hedged, negative is long; absent with nothing to hedge.",
        lambda dealer: dealer.exposure_ratio,
    ),
)

NOTHING_KNOWN: Final = LedgerSnapshot(stream=StreamStatus(), figures=None)


class LedgerCollector(Collector):
    """Answers each scrape from the snapshot of that moment.

    Args:
        read_snapshot: Gives the current snapshot; synchronous, from memory.
        monotonic_secs: A clock that never goes back, in seconds; measures the scrape.
    """

    def __init__(
        self, read_snapshot: Callable[[], LedgerSnapshot], *, monotonic_secs: Callable[[], float]
    ) -> None:
        self._read_snapshot = read_snapshot
        self._monotonic_secs = monotonic_secs

    def collect(self) -> Iterable[Metric]:
        """Read one snapshot and build its families, with the time that took as the last of them."""
        started_secs = self._monotonic_secs()
        families = ledger_families(self._read_snapshot())
        return [*families, _scrape_duration(self._monotonic_secs() - started_secs)]

    def describe(self) -> Iterable[Metric]:
        """Name the families without reading anything, so that a registry can tell clashes and filter."""
        return [*ledger_families(NOTHING_KNOWN), _scrape_duration(None)]


def ledger_families(snapshot: LedgerSnapshot) -> list[Metric]:
    """Map a snapshot to metric families, always the same ones in the same order."""
    return [
        *_dealer_families(snapshot.figures),
        _account_balances(snapshot.figures),
        _imbalances(snapshot.figures),
        *_stream_families(snapshot.stream),
    ]


def _dealer_families(figures: LedgerFigures | None) -> list[Metric]:
    return [
        _gauge(name, documentation, value_of(figures.dealer) if figures is not None else None)
        for name, documentation, value_of in _DEALER_GAUGES
    ]


def _account_balances(figures: LedgerFigures | None) -> Metric:
    family = GaugeMetricFamily(
        "stablesats_account_balance_minor",
        "Settled balance of an account of the dealer's books, credits minus debits, "
        "in satoshi for BTC and US cents for USD.",
        labels=("book", "account", "currency"),
    )
    for row in figures.accounts if figures is not None else ():
        family.add_metric((row.account.book, row.account.code, row.currency), _sample(row.balance_minor))
    return family


def _imbalances(figures: LedgerFigures | None) -> Metric:
    family = GaugeMetricFamily(
        "stablesats_ledger_imbalance_minor",
        "Distance between the debits and the credits of a book, "
        "in satoshi for BTC and US cents for USD; anything but 0 means the books are corrupt.",
        labels=("book", "currency"),
    )
    for row in figures.imbalances if figures is not None else ():
        family.add_metric((row.book, row.currency), _sample(row.imbalance_minor))
    return family


def _stream_families(stream: StreamStatus) -> list[Metric]:
    return [
        _gauge(
            "stablesats_ledger_stream_up",
            "1 while the ledger's change stream is open, 0 while the figures may be out of date.",
            int(stream.is_live),
        ),
        _gauge(
            "stablesats_ledger_confirmed_timestamp_seconds",
            "Latest time at which the change stream was seen open, in seconds since the Unix epoch: "
            "the age of the figures counts from there.",
            _epoch_secs(stream.confirmed_at),
        ),
        _gauge(
            "stablesats_ledger_last_event_timestamp_seconds",
            "Commit time of the newest journal in the figures that came through the change stream, "
            "in seconds since the Unix epoch; absent before the first.",
            _epoch_secs(stream.last_event_at),
        ),
        CounterMetricFamily(
            "stablesats_ledger_journals",
            "Journals that came through the change stream since the exporter started.",
            value=stream.journals_applied,
        ),
        CounterMetricFamily(
            "stablesats_ledger_stream_restarts",
            "Times the change stream failed, after which the balances are read anew; failed attempts count.",
            value=stream.restarts,
        ),
    ]


def _scrape_duration(duration_secs: float | None) -> Metric:
    return _gauge(
        "stablesats_scrape_duration_seconds",
        "Time that mapping the ledger's figures to metrics took in this scrape, in seconds.",
        duration_secs,
    )


def _gauge(name: str, documentation: str, value: Decimal | float | None) -> Metric:
    family = GaugeMetricFamily(name, documentation)
    if value is not None:
        family.add_metric((), _sample(value))
    return family


def _sample(value: Decimal | float) -> float:
    """Turn an exact number into a Prometheus sample, which is a binary float: the only place that does.

    Whole minor units are exact up to 2**53, that is 90 million bitcoin or 90 trillion dollars; beyond
    that, and for ratios, the nearest float is served. Nothing reads these numbers back into the ledger.
    """
    return float(value)


def _epoch_secs(instant: datetime | None) -> float | None:
    return instant.timestamp() if instant is not None else None
