"""The calls about the market, for which OKX asks no signature."""

from stablesats.okx import answers, calls
from stablesats.okx.market_messages import FundingRate, Maintenance, MarkPrice, OrderBook
from stablesats.okx.messages import Instrument, Ticker
from stablesats.okx.sender import RequestSender


class MarketData(RequestSender):
    """Instruments, prices and maintenance; reads only."""

    async def instrument(self, inst_id: str) -> Instrument:
        """Return the trading rules of a perpetual swap; read them at start, never hard-code a lot.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
            OkxProtocolError: Also if it is no inverse contract in USD.
        """
        call = calls.instrument(inst_id)
        return answers.instrument_of(await self._read(call), call)

    async def ticker(self, inst_id: str) -> Ticker:
        """Return the last, bid and ask price, each None where OKX has none.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
        """
        call = calls.ticker(inst_id)
        return answers.ticker_of(await self._read(call), call)

    async def tickers(self) -> list[Ticker]:
        """Return the tickers of all perpetual swaps."""
        call = calls.tickers()
        return answers.every_row(Ticker, await self._read(call), call)

    async def order_book(self, inst_id: str, *, levels: int = 20) -> OrderBook:
        """Return the best *levels* of both sides, 1 to 400.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
        """
        call = calls.order_book(inst_id, levels)
        return answers.order_book_of(await self._read(call), call)

    async def mark_price(self, inst_id: str) -> MarkPrice:
        """Return the price that margin and profit are counted at.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
        """
        call = calls.mark_price(inst_id)
        return answers.mark_price_of(await self._read(call), call)

    async def funding_rate(self, inst_id: str) -> FundingRate:
        """Return the rate forecast for the next settlement.

        Raises:
            UnknownInstrumentError: If OKX does not list it.
        """
        call = calls.funding_rate(inst_id)
        return answers.funding_rate_of(await self._read(call), call)

    async def maintenance(self) -> list[Maintenance]:
        """Return OKX's maintenance, announced and under way; none is the usual answer.

        OKX takes one such request in 5 s, so a second look waits for that.

        Raises:
            OkxRateLimitedError: It would have waited longer than the request timeout.
            OkxError: As the other reads.
        """
        call = calls.system_status()
        return answers.every_row(Maintenance, await self._read(call), call)
