"""Recorded market data and payments that ship with the package; sources and licences in ``LICENSES.md``."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

FOLDER: Final = Path(str(files(__name__)))

PAYMENT_FLOW: Final = FOLDER / "bitcoin_hot_wallet_flows_2019_2020.csv.gz"
"""Receipts and payments of a real hot wallet, in order: ``seq,direction,amount_sat,feerate_sat_per_vb``."""


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """A recorded stretch of minute bars.

    Attributes:
        path: The file, as `stablesats.okx_simulator` replays it.
        starts_at: Opening of the first whole day or bar.
        days: How many days can be replayed from there.
        title: What happened then, in a few words.
    """

    path: Path
    starts_at: datetime
    days: int
    title: str

    def window(self, days: int) -> tuple[datetime, datetime]:
        """First and one-past-last instant of a replay of *days* days.

        Raises:
            ValueError: If the history has no such stretch.
        """
        if not 1 <= days <= self.days:
            msg = f"{self.path.name} can be replayed for between 1 and {self.days} days, not {days}"
            raise ValueError(msg)
        return self.starts_at, self.starts_at + timedelta(days=days)


SELL_OFF_2017: Final = PriceHistory(
    FOLDER / "coinbase_btcusd_1m_20170903_20170904.csv.gz",
    datetime(2017, 9, 4, tzinfo=UTC),
    1,
    "Coinbase, 4 September 2017: the sell-off on China's ban of coin offerings",
)
TWO_DAYS_2017: Final = PriceHistory(
    SELL_OFF_2017.path,
    datetime(2017, 9, 3, tzinfo=UTC),
    2,
    "Coinbase, 3 and 4 September 2017: the sell-off on China's ban of coin offerings",
)
SPRING_2016: Final = PriceHistory(
    FOLDER / "bitfinex_btcusd_1m_20160328_20160419.csv.gz",
    datetime(2016, 3, 28, 20, tzinfo=UTC),
    22,
    "Bitfinex, 28 March to 19 April 2016: quiet weeks after a sharp fall on 29 March",
)
HISTORIES: Final = (SELL_OFF_2017, TWO_DAYS_2017, SPRING_2016)
"""Every history, shortest first."""


def history_for(days: int) -> PriceHistory | None:
    """The shortest history that holds *days* days, or None when none is that long."""
    return next((history for history in HISTORIES if history.days >= days), None)
