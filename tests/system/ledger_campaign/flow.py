"""The trades of a campaign: lines of trade files, and what they come to once all of them were done."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stablesats.data import PAYMENT_FLOW, SELL_OFF_2017
from stablesats.okx_simulator import read_quotes
from stablesats.trades import UserTrade
from stablesats.trades.payment_flow import DealerQuote, read_payments, schedule, trade_for
from stablesats.trades.trade_store import trade_text

LINES_A_FILE = 400


@dataclass
class Flow:
    """Lines of trade files, and what they mean once all of them were done.

    Attributes:
        lines: Trades, some of them again, and requests to take some back, some with a correction after it.
        trades: Every trade, by id.
        reverted: The ids of those that are to be taken back.
    """

    lines: list[str] = field(default_factory=list)
    trades: dict[str, UserTrade] = field(default_factory=dict)
    reverted: set[str] = field(default_factory=set)

    def trade(self, trade: UserTrade) -> None:
        self.trades[trade.id] = trade
        self.lines.append(trade_text(trade))

    def revert(self, trade: UserTrade, *, corrected: bool) -> None:
        """Take a trade back; *corrected* makes another one of the same payments."""
        self.reverted.add(trade.id)
        self.lines.append(json.dumps({"revert": trade.id}))
        if corrected:
            self.trade(replace(trade, id=f"{trade.id}-corrected", buy_amount=trade.buy_amount + 1))

    def repeat_any(self, rng: random.Random) -> None:
        self.lines.append(trade_text(rng.choice(list(self.trades.values()))))

    @property
    def balances(self) -> Counter[tuple[str, str]]:
        """Credit minus debit of each account once everything is booked and allocated."""
        found: Counter[tuple[str, str]] = Counter()
        for trade in self.trades.values():
            if trade.id not in self.reverted:
                sign = 1 if trade.user_buys_usd else -1
                found["STABLESATS_BTC_WALLET", "BTC"] += sign * trade.sats
                found["EXTERNAL_OMNIBUS", "BTC"] -= sign * trade.sats
                found["OKEX_ALLOCATION", "USD"] += sign * trade.cents
                found["STABLESATS_OMNIBUS", "USD"] -= sign * trade.cents
        return found


def recorded_trades(count: int) -> Iterator[UserTrade]:
    """Trades that the recorded payments make at the prices of a recorded day."""
    begins, ends = SELL_OFF_2017.window(1)
    quotes = read_quotes(SELL_OFF_2017.path, begins, ends)
    payments = read_payments(PAYMENT_FLOW)
    users_cents = made = 0
    for number, due in enumerate(schedule(payments, begins, ends)):
        quote = quotes[number * len(quotes) // len(payments)]
        prices = DealerQuote(quote.bid_usd, quote.ask_usd)
        trade = trade_for(due.payment, at=due.at, quote=prices, users_cents=users_cents)
        if trade is not None and made < count:
            users_cents += trade.cents if trade.user_buys_usd else -trade.cents
            made += 1
            yield replace(trade, btc_tx_id=f"btc-{trade.id}", usd_tx_id=f"usd-{trade.id}")
    assert made == count


def flow_of(count: int, rng: random.Random) -> Flow:
    """Lines with *count* recorded trades; about every tenth is taken back, at once or a hundred later."""
    flow = Flow()
    recent: list[UserTrade] = []
    for trade in recorded_trades(count):
        flow.trade(trade)
        recent = [*recent[-99:], trade]
        if rng.random() < 0.1:
            taken_back = rng.choice([trade, recent[0]])
            if taken_back.id not in flow.reverted:
                flow.revert(taken_back, corrected=rng.random() < 0.5)
        if rng.random() < 0.05:
            flow.repeat_any(rng)
    return flow


class TradeFiles:
    """A folder of trade files that grows a piece at a time; pieces do not end where lines do."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        self.folder = folder
        folder.mkdir()
        self._texts = [
            "".join(f"{line}\n" for line in lines[first : first + LINES_A_FILE])
            for first in range(0, len(lines), LINES_A_FILE)
        ]
        self._written = 0
        self._size = sum(map(len, self._texts))

    def grow_to(self, share: float) -> None:
        """Write on until *share* of everything stands in the files."""
        wanted, begins = int(share * self._size), 0
        for number, text in enumerate(self._texts):
            first, last = (min(max(at - begins, 0), len(text)) for at in (self._written, wanted))
            if first < last:
                with (self.folder / f"trades-{number:03}.jsonl").open("a") as file:
                    file.write(text[first:last])
            begins += len(text)
        self._written = wanted

    def add_last(self, lines: Sequence[str]) -> None:
        """Write a last file, whole."""
        (self.folder / "late.jsonl").write_text("".join(f"{line}\n" for line in lines))
