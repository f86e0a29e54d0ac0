"""Ids of everything that the exchange numbers: digits only, ascending, the first decided by the seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

# Nineteen digits, as today's ids of the venue have: above 2^53, so a client must keep them as text.
_FIRST_ORDER_ID: Final = 1_400_000_000_000_000_000
_FIRST_BILL_ID: Final = 2_400_000_000_000_000_000
_FIRST_TRADE_ID: Final = 300_000_000
_FIRST_MONEY_ID: Final = 700_000_000
_SEED_STRIDE: Final = 10**12


@dataclass(slots=True)
class Ids:
    """The next id of each kind; transfers, deposits and withdrawals share one sequence."""

    next_order: int
    next_bill: int
    next_trade: int
    next_money: int

    @classmethod
    def seeded(cls, seed: int) -> Ids:
        """Return the ids with which an exchange of *seed* begins."""
        offset = Random(seed).randrange(1000) * _SEED_STRIDE  # noqa: S311 - a starting point, not a secret
        return cls(_FIRST_ORDER_ID + offset, _FIRST_BILL_ID + offset, _FIRST_TRADE_ID, _FIRST_MONEY_ID)

    def order(self) -> str:
        """Take the id of a new order."""
        self.next_order += 1
        return str(self.next_order - 1)

    def bill(self) -> str:
        """Take the id of a new bill."""
        self.next_bill += 1
        return str(self.next_bill - 1)

    def trade(self) -> str:
        """Take the id of a new trade."""
        self.next_trade += 1
        return str(self.next_trade - 1)

    def money(self) -> str:
        """Take the id of a new transfer, deposit or withdrawal."""
        self.next_money += 1
        return str(self.next_money - 1)

    def resume(self, saved: Ids) -> None:
        """Go on where *saved* left off."""
        self.next_order, self.next_bill = saved.next_order, saved.next_bill
        self.next_trade, self.next_money = saved.next_trade, saved.next_money
