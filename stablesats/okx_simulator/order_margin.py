"""What pending orders hold back, and whether the margin carries one more.

In net mode the buys and the sells cannot both open: the position ends on one side of zero. So position and
orders together block the larger of two sums: what would be blocked if every buy filled, and if every sell
did. Orders against the position first close it, which needs no margin, and what it blocked then carries
what they open beyond it. What the larger sum exceeds the position's own margin by is ``ordFrozen``.

Source: OKX, "What is margin in futures trading?", one-way mode: for a short ``max(buys - position,
position + sells) / leverage``. That each order also holds its fee back, and that the best price is
reckoned to fill first, is this exchange's own choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stablesats.okx_simulator import market
from stablesats.okx_simulator.accounts import after_closing, closing_contracts, margin_at
from stablesats.okx_simulator.amounts import ZERO, exact
from stablesats.okx_simulator.market import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from stablesats.okx_simulator.accounts import Account
    from stablesats.okx_simulator.instrument import Instrument
    from stablesats.okx_simulator.orders import Order


@dataclass(frozen=True, slots=True)
class Claim:
    """Contracts (unsigned) that an order may still trade, and the price that its cost is reckoned at."""

    side: Side
    contracts: Decimal
    price_usd: Decimal


def claims_of(orders: Iterable[Order], mark_usd: Decimal) -> tuple[Claim, ...]:
    """Return what *orders* may still trade; reduce-only orders never open, and claim nothing.

    An order without a limit of its own is reckoned at the mark.
    """
    return tuple(
        Claim(order.ticket.side, order.remaining_contracts, order.ticket.price_usd or mark_usd)
        for order in orders
        if not order.ticket.reduce_only
    )


@exact
def frozen_on_side_btc(
    account: Account, claims: Iterable[Claim], side: Side, mark_usd: Decimal, instrument: Instrument
) -> Decimal:
    """Return what the claims on *side* need beyond the margin that the position blocks.

    Short 100 contracts, buys of 150 against them at the mark: 100 close, 50 open with what the closing
    frees, nothing is frozen. Of 250, 150 open with the margin of 100: 50 are frozen, and the fees.
    """
    against = closing_contracts(account, side, abs(account.contracts))
    needed_btc, closable = ZERO, against
    best_first = sorted(
        (claim for claim in claims if claim.side is side), key=lambda claim: -side.sign * claim.price_usd
    )
    for claim in best_first:
        opening = max(ZERO, claim.contracts - closable)
        closing = claim.contracts - opening
        closable -= closing
        needed_btc += market.opening_cost_btc(opening, claim.price_usd, account.lever, instrument)
        needed_btc -= market.fee_btc(closing, claim.price_usd, instrument.taker_rate, instrument)
    freed_btc = market.initial_margin_btc(against, mark_usd, account.lever, instrument)
    return max(ZERO, needed_btc - freed_btc)


def frozen_btc(
    account: Account, claims: Sequence[Claim], mark_usd: Decimal, instrument: Instrument
) -> Decimal:
    """Return the margin that *claims* hold back together: that of the side that needs more."""
    return max(frozen_on_side_btc(account, claims, side, mark_usd, instrument) for side in Side)


@exact
def is_covered(
    account: Account,
    claim: Claim,
    *,
    at_once_contracts: Decimal,
    mark_usd: Decimal,
    instrument: Instrument,
    others: Sequence[Claim] = (),
) -> bool:
    """Tell whether the margin carries an order: reducing always is, a flip closes first.

    Args:
        account: The account as it is.
        claim: The order, at the price that it is expected to cost most at.
        at_once_contracts: How much of it trades now; the rest waits beside the others.
        mark_usd: What the account is valued at.
        instrument: Terms of the contract.
        others: The orders that wait already.
    """
    closing = min(closing_contracts(account, claim.side, claim.contracts), at_once_contracts)
    closed = after_closing(account, claim.side, closing, claim.price_usd, instrument)
    rest = replace(claim, contracts=claim.contracts - closing)
    if not rest.contracts:
        return True
    before_btc = frozen_on_side_btc(closed, others, claim.side, mark_usd, instrument)
    after_btc = frozen_on_side_btc(closed, [*others, rest], claim.side, mark_usd, instrument)
    return after_btc == before_btc or after_btc <= margin_at(closed, mark_usd, instrument).available_btc


@exact
def largest_order_contracts(
    account: Account,
    side: Side,
    *,
    price_usd: Decimal,
    mark_usd: Decimal,
    instrument: Instrument,
    others: Sequence[Claim] = (),
) -> Decimal:
    """Return the largest order on *side* that would trade at once: what closes, plus what then opens."""
    closing = closing_contracts(account, side, abs(account.contracts))
    closed = after_closing(account, side, closing, price_usd, instrument)
    frozen = frozen_on_side_btc(closed, others, side, mark_usd, instrument)
    free_btc = margin_at(closed, mark_usd, instrument, order_frozen_btc=frozen).available_btc
    return closing + market.largest_opening_contracts(free_btc, price_usd, account.lever, instrument)
