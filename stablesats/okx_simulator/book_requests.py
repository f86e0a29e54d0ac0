"""An order book as the admin API reads it: ``asks`` and ``bids``, pairs of price and size, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablesats.okx_simulator.admin_fields import as_number, only
from stablesats.okx_simulator.book import Book, Level
from stablesats.okx_simulator.errors import AdminRequestError
from stablesats.okx_simulator.replay import MAX_PRICE_USD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablesats.okx_simulator.instrument import Instrument


def read_book(fields: Mapping[str, Any], instrument: Instrument) -> Book:
    """Return the book that *fields* describe.

    Raises:
        AdminRequestError: If a side is empty or out of order, they cross, a price is no possible one, or a
            size is off the lot.
    """
    only(fields, "asks", "bids")
    asks, bids = _levels(fields, "asks", 1, instrument), _levels(fields, "bids", -1, instrument)
    if bids[0].price_usd > asks[0].price_usd:
        raise AdminRequestError("the best bid must not be above the best ask")
    return Book(asks, bids)


def _levels(
    fields: Mapping[str, Any], name: str, direction: int, instrument: Instrument
) -> tuple[Level, ...]:
    raw = fields.get(name)
    if not isinstance(raw, list) or not raw:
        raise AdminRequestError(f"{name} must be a list of at least one price and size")
    levels: list[Level] = []
    for entry in raw:
        if not isinstance(entry, list) or len(entry) != 2:
            raise AdminRequestError(f"{name} holds {entry!r}, and must hold pairs of price and contracts")
        price_usd, contracts = (as_number(name, value) for value in entry)
        level = Level(price_usd, contracts)
        _check(level, name, instrument)
        if levels and (level.price_usd - levels[-1].price_usd) * direction <= 0:
            raise AdminRequestError(f"{name} must come best price first, each price once")
        levels.append(level)
    return tuple(levels)


def _check(level: Level, name: str, instrument: Instrument) -> None:
    if not instrument.tick_usd <= level.price_usd <= MAX_PRICE_USD:
        raise AdminRequestError(
            f"{name} holds a price of {level.price_usd}, and must hold ones between {instrument.tick_usd} and"
            f" {MAX_PRICE_USD}"
        )
    most, lot = instrument.max_limit_contracts, instrument.lot_contracts
    if not lot <= level.contracts <= most or level.contracts % lot:
        raise AdminRequestError(
            f"{name} holds {level.contracts} contracts, and must hold multiples of {lot} up to {most}"
        )
