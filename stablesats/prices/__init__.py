"""Prices from the exchange, and how old they may be."""

from stablesats.prices.feed import PriceUnknownError, TickerFeed

__all__ = ["PriceUnknownError", "TickerFeed"]
