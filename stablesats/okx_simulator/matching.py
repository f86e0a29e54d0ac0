"""What an order does when it meets the book: which levels it takes, and what becomes of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

from stablesats.okx_simulator.amounts import ZERO
from stablesats.okx_simulator.book import Level, reachable_contracts, walk
from stablesats.okx_simulator.orders import CancelSource, OrderKind

if TYPE_CHECKING:
    from decimal import Decimal

    from stablesats.okx_simulator.book import Book, PriceLimits
    from stablesats.okx_simulator.orders import OrderTicket


class Rest(Enum):
    """What becomes of the contracts that do not trade at once."""

    STAYS = auto()
    IS_CANCELED = auto()


@dataclass(frozen=True, slots=True)
class Match:
    """The levels taken, in order, and the fate of what is left over."""

    taken: tuple[Level, ...]
    rest: Rest
    cancel_source: CancelSource = CancelSource.SYSTEM

    @property
    def contracts(self) -> Decimal:
        """How many contracts trade at once."""
        return sum((level.contracts for level in self.taken), ZERO)


def match_on_arrival(ticket: OrderTicket, contracts: Decimal, book: Book, limits: PriceLimits) -> Match:
    """Match an order that has just arrived.

    Args:
        ticket: The order.
        contracts: How much of it may trade: less than its size when it only reduces.
        book: What is on offer.
        limits: The band that an order without a price of its own trades in.

    Returns:
        For a post-only order that would take, and for a fill-or-kill order that cannot be filled, nothing
        taken and the rest cancelled.
    """
    levels = book.against(ticket.side)
    worst_usd = limits.worst_usd(ticket.side) if ticket.price_usd is None else ticket.price_usd
    taken = walk(levels, ticket.side, contracts, worst_usd)
    match ticket.kind:
        case OrderKind.MARKET:
            return Match(taken, Rest.IS_CANCELED)
        case OrderKind.IMMEDIATE_OR_CANCEL | OrderKind.OPTIMAL_LIMIT_IOC:
            return Match(taken, Rest.IS_CANCELED, CancelSource.IMMEDIATE_OR_CANCEL)
        case OrderKind.LIMIT:
            return Match(taken, Rest.STAYS)
        case OrderKind.POST_ONLY if taken:
            return Match((), Rest.IS_CANCELED, CancelSource.POST_ONLY)
        case OrderKind.POST_ONLY:
            return Match((), Rest.STAYS)
        case OrderKind.FILL_OR_KILL if reachable_contracts(levels, ticket.side, worst_usd) < contracts:
            return Match((), Rest.IS_CANCELED, CancelSource.FILL_OR_KILL)
        case OrderKind.FILL_OR_KILL:
            return Match(taken, Rest.IS_CANCELED, CancelSource.FILL_OR_KILL)
        case unreachable:
            assert_never(unreachable)


def capped(match: Match, contracts: Decimal) -> Match:
    """Return the match as if no more than *contracts* had been on offer; the rest is cancelled then."""
    taken: list[Level] = []
    left = contracts
    for level in match.taken:
        if left > 0:
            taken.append(Level(level.price_usd, min(left, level.contracts)))
            left -= level.contracts
    return Match(tuple(taken), Rest.IS_CANCELED, match.cancel_source)
