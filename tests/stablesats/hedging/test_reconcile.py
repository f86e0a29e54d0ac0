"""One look: at most one order, whatever is lost, late, doubled or dies. Against a real exchange and database."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from stablesats.hedging import reconcile as reconcile_module
from stablesats.hedging.hedge_adjustment import NegativeLiabilityError
from stablesats.hedging.order_lifecycle import EXPIRY_GRACE, RESERVATION_HELD_FOR
from stablesats.hedging.reconcile import Outcome
from stablesats.okx import (
    DuplicateClientOrderIdError,
    OkxClosedError,
    OkxInvalidRequestError,
    OkxUnreachableError,
    OrderSide,
    Position,
)
from stablesats.okx_simulator import (
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    HideOrder,
    NotJson,
)

TEN_THOUSAND_USD = 1_000_000
"""In cents; hedged by a short of 0.98 x 100 contracts."""

TIME_TO_LIVE = timedelta(seconds=10)
PLACE = {"method": "POST"}
QUERY = {"method": "GET"}


class Wrapped:
    """Stands before a client or slots; a test overrides the calls that it wants to go wrong."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class FailingUnderTheSlot(Wrapped):
    """A client that fails at the second question for the position, the one that is asked under the slot."""

    def __init__(self, inner: Any, error: Exception) -> None:
        super().__init__(inner)
        self._answers: list[Exception | None] = [None, error]

    async def position(self, inst_id: str) -> Position:
        error = self._answers.pop(0)
        if error is not None:
            raise error
        answer: Position = await self._inner.position(inst_id)
        return answer


class TestHedging:
    async def test_liability_without_position_is_sold_short_and_mirrored(self, hedge: Any) -> None:
        """Owing 10,000 USD sells 0.98 x 100 contracts; the books then hold the same position."""
        await hedge.owe(TEN_THOUSAND_USD)
        reconciler = hedge.reconciler()
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert hedge.sizes_at_exchange == [Decimal(-98)]
        assert (await hedge.ledger.balances()).signed_exposure_cents == -980_000

    async def test_order_is_written_down_with_everything_it_was_decided_on(self, hedge: Any) -> None:
        """The record of an order explains it: target, exposure and position before, fill, price, fee."""
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.reconciler().reconcile()
        [row] = await hedge.orders()
        [order] = hedge.simulator.exchange.orders
        assert row["_id"] == order.ticket.client_order_id
        assert row["exchange_order_id"] == order.order_id
        assert (row["action"], row["side"], row["reduce_only"]) == ("sell", "sell", False)
        assert (row["target_cents"], row["exposure_before_cents"]) == (TEN_THOUSAND_USD, 0)
        assert row["filled_contracts"].to_decimal() == 98
        assert row["average_price_usd"].to_decimal() == 50_000
        assert row["fee_btc"].to_decimal() == order.fee_btc < 0
        assert row["state"] == "filled"
        assert "open" not in row

    async def test_nothing_owed_and_nothing_held_does_nothing(self, hedge: Any) -> None:
        """No order, no reservation, no journal."""
        assert await hedge.reconciler().reconcile() is Outcome.HEDGED
        assert await hedge.orders() == []
        assert await hedge.ledger.database["medici_journals"].count_documents({}) == 0

    async def test_fallen_liability_is_bought_back_partly(self, hedge: Any) -> None:
        """Short 98 against 5,000 USD: 98 - 50 contracts are bought back."""
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.converge(hedge.reconciler())
        await hedge.owe(500_000)
        await hedge.converge(hedge.reconciler())
        assert hedge.sizes_at_exchange == [Decimal(-98), Decimal(48)]

    async def test_liability_below_the_minimum_closes_the_whole_position(self, hedge: Any) -> None:
        """Below 50 USD the short is closed, and the order may only reduce."""
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.converge(hedge.reconciler())
        await hedge.owe(4_999)
        await hedge.converge(hedge.reconciler())
        assert hedge.position_contracts == 0
        assert (await hedge.orders())[-1]["reduce_only"] is True
        assert (await hedge.orders())[-1]["action"] == "close-position"
        assert (await hedge.ledger.balances()).signed_exposure_cents == 0

    @pytest.mark.parametrize(("contracts", "side"), [("0.3", "buy"), ("7.5", "sell")])
    async def test_position_of_a_fraction_of_a_contract_is_closed_exactly(
        self, hedge: Any, contracts: str, side: str
    ) -> None:
        """A close is of what is there, not of whole contracts, long or short."""
        await by_hand(hedge, side, contracts)
        await hedge.converge(hedge.reconciler())
        assert hedge.position_contracts == 0

    async def test_long_position_is_sold_off_on_top_of_the_hedge(self, hedge: Any) -> None:
        """Long 20 against 10,000 USD: 20 + 98 contracts are sold in one order."""
        await by_hand(hedge, "buy", "20")
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.converge(hedge.reconciler())
        assert hedge.sizes_at_exchange == [Decimal(20), Decimal(-118)]

    async def test_order_above_the_cap_is_split_until_hedged(self, hedge: Any) -> None:
        """98 contracts with at most 40 an order: 40, 40 and the rest."""
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.converge(hedge.reconciler(max_order_contracts=40))
        assert hedge.sizes_at_exchange == [Decimal(-40), Decimal(-40), Decimal(-18)]

    async def test_maximum_of_the_instrument_caps_an_order_too(self, hedge: Any) -> None:
        """The smaller of the two caps holds."""
        hedge.instrument = hedge.instrument.model_copy(update={"max_market_contracts": Decimal("60.5")})
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.converge(hedge.reconciler(max_order_contracts=70))
        assert hedge.sizes_at_exchange == [Decimal(-60), Decimal(-38)]

    async def test_negative_liability_is_never_hedged(self, hedge: Any) -> None:
        """Damaged books raise; nothing is ordered."""
        await hedge.ledger.user_sells_usd(sats=1, cents=20_000, at=hedge.clock.now())
        with pytest.raises(NegativeLiabilityError):
            await hedge.reconciler().reconcile()
        assert hedge.sizes_at_exchange == []
        assert await hedge.orders() == []


class TestLostAnswers:
    async def test_executed_order_with_a_lost_answer_is_settled_by_query(self, hedge: Any) -> None:
        """The answer is lost after the fill: the next look finds the order, and sends no second one."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", DropAfter(), **PLACE)
        reconciler = hedge.reconciler()
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await hedge.states() == ["sent"]
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert await hedge.states() == ["filled"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    @pytest.mark.parametrize("fault", [DropBefore(), AnswerStatus(503, "50001"), NotJson(502)], ids=repr)
    async def test_order_that_never_arrived_is_replaced_only_after_its_expiry(
        self, hedge: Any, fault: Any
    ) -> None:
        """Until the exchange's clock is past expiry and grace the slot stays taken; then a new id is sent."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", fault, **PLACE)
        reconciler = hedge.reconciler(order_time_to_live=TIME_TO_LIVE)
        assert await reconciler.reconcile() is Outcome.ORDERED

        hedge.clock.advance((TIME_TO_LIVE + EXPIRY_GRACE).total_seconds())
        assert await reconciler.reconcile() is Outcome.WAITING  # exactly at the bound proves nothing
        assert await hedge.states() == ["sent"]

        hedge.clock.advance(0.001)
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await hedge.states() == ["never_arrived", "filled"]
        first, second = await hedge.orders()
        assert first["_id"] != second["_id"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_delayed_order_is_refused_by_the_exchange_after_its_expiry(
        self, hedge: Any, client_factory: Any, eventually: Callable[..., Awaitable[None]]
    ) -> None:
        """The first order arrives after it was given up and replaced: its expiry keeps it from doubling."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", DelayRequest(3000), **PLACE)
        impatient = await client_factory(hedge.simulator, request_timeout_secs=0.5)
        assert await hedge.reconciler(client=impatient).reconcile() is Outcome.ORDERED
        hedge.clock.advance(12.1)
        await hedge.converge(hedge.reconciler())
        assert await hedge.states() == ["never_arrived", "filled"]
        await eventually(lambda: hedge.simulator.refusals["50036"] + hedge.simulator.refusals["50037"] == 1)
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_order_is_not_given_up_on_the_word_of_our_own_clock(self, hedge: Any) -> None:
        """Our clock an hour ahead proves nothing: the expiry is on the exchange's clock."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", DropBefore(), **PLACE)
        reconciler = hedge.reconciler()
        reconciler._now = lambda: hedge.clock.now() + timedelta(hours=1)
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await reconciler.reconcile() is Outcome.WAITING
        assert await hedge.states() == ["sent"]

    async def test_expiry_is_counted_on_the_exchanges_clock(self, hedge: Any, client_factory: Any) -> None:
        """With our clock 20 seconds behind, an order that lives 10 seconds is accepted all the same."""

        def late() -> datetime:
            now: datetime = hedge.clock.now()
            return now - timedelta(seconds=20)

        reconciler = hedge.reconciler(client=await client_factory(hedge.simulator, now=late))
        reconciler._now = late
        await hedge.owe(TEN_THOUSAND_USD)
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert hedge.position_contracts == -98
        [row] = await hedge.orders()
        assert row["expires_at"].replace(tzinfo=UTC) == pytest.approx(
            hedge.clock.now() + TIME_TO_LIVE, abs=timedelta(seconds=1)
        )

    async def test_accepted_order_that_the_exchange_hides_keeps_its_slot(self, hedge: Any) -> None:
        """An acknowledged order is never taken for one that did not arrive, however long it is not shown."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", HideOrder(60_000), **PLACE)
        reconciler = hedge.reconciler()
        assert await reconciler.reconcile() is Outcome.ORDERED
        hedge.clock.advance(59)
        assert await reconciler.reconcile() is Outcome.WAITING
        assert await hedge.states() == ["accepted"]
        hedge.clock.advance(1)
        await hedge.converge(reconciler)
        assert await hedge.states() == ["filled"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_order_not_shown_at_first_after_a_lost_answer_is_found_later(self, hedge: Any) -> None:
        """That an order is unknown before its expiry proves nothing, also when the answer was lost."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", DropAfter(), **PLACE)
        hedge.simulator.faults.add("trade/order", AnswerStatus(200, "51603"), count=2, **QUERY)
        reconciler = hedge.reconciler()
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await reconciler.reconcile() is Outcome.WAITING
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_order_that_turns_up_between_the_two_questions_is_kept(self, hedge: Any) -> None:
        """Past the expiry the exchange is asked once more; an order that it knows by then is not missing."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", DropAfter(), **PLACE)
        reconciler = hedge.reconciler()
        await reconciler.reconcile()
        hedge.clock.advance(60)
        hedge.simulator.faults.add("trade/order", AnswerStatus(200, "51603"), count=1, **QUERY)
        assert await reconciler.reconcile() is Outcome.WAITING
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert await hedge.states() == ["filled"]

    async def test_duplicate_id_at_the_exchange_counts_as_unknown(self, hedge: Any) -> None:
        """Somebody delivered our order twice: the first delivery is ours, so it is asked for, not repeated."""

        class Delivered(Wrapped):
            async def place_market_order(self, *args: Any, **kwargs: Any) -> Any:
                await self._inner.place_market_order(*args, **kwargs)
                raise DuplicateClientOrderIdError("in use", code="51016", http_status=200, request="POST")

        await hedge.owe(TEN_THOUSAND_USD)
        reconciler = hedge.reconciler(client=Delivered(hedge.client))
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_order_that_fills_later_holds_the_slot_until_it_has(
        self, hedge: Any, simulator_factory: Any, client_factory: Any
    ) -> None:
        """A resting order is waited for; nothing else is sent meanwhile."""
        hedge.simulator = await simulator_factory(fill_delay_ms=5_000)
        hedge.client = await client_factory(hedge.simulator)
        await hedge.owe(TEN_THOUSAND_USD)
        reconciler = hedge.reconciler()
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert await reconciler.reconcile() is Outcome.WAITING
        assert await hedge.states() == ["accepted"]
        hedge.clock.advance(5)
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert hedge.sizes_at_exchange == [Decimal(-98)]


class TestRefusals:
    async def test_refused_order_is_recorded_and_frees_the_slot(
        self, hedge: Any, simulator_factory: Any, client_factory: Any
    ) -> None:
        """Too little margin (51008): the record says so, and the next look hedges once there is enough."""
        hedge.simulator = await simulator_factory(trading_btc=Decimal("0.01"))
        hedge.client = await client_factory(hedge.simulator)
        await hedge.owe(TEN_THOUSAND_USD)
        reconciler = hedge.reconciler()
        assert await reconciler.reconcile() is Outcome.REFUSED
        [row] = await hedge.orders()
        assert (row["state"], row["refusal"]["code"]) == ("refused", "51008")
        assert await hedge.slots.open_order() is None

        hedge.simulator.exchange.deposit(trading_btc=Decimal(10))
        await hedge.converge(reconciler)
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    @pytest.mark.parametrize(
        "error",
        [OkxUnreachableError("refused"), OkxInvalidRequestError("bad"), OkxClosedError("closed")],
        ids=lambda error: type(error).__name__,
    )
    async def test_order_that_certainly_was_not_sent_frees_the_slot_at_once(
        self, hedge: Any, error: Exception
    ) -> None:
        """Nothing left this process, so nothing has to expire first."""

        class Unsent(Wrapped):
            async def place_market_order(self, *args: Any, **kwargs: Any) -> Any:
                raise error

        await hedge.owe(TEN_THOUSAND_USD)
        assert await hedge.reconciler(client=Unsent(hedge.client)).reconcile() is Outcome.REFUSED
        [row] = await hedge.orders()
        assert row["refusal"] == {"code": "not-sent", "message": str(error)}
        await hedge.converge(hedge.reconciler())
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_order_that_expires_in_our_own_queue_is_not_sent(self, hedge: Any) -> None:
        """The client lets an order expire that waited too long for its turn; that is certain."""
        await hedge.owe(TEN_THOUSAND_USD)

        class Queue:
            async def wait(self, _allowance: Any, _priority: Any, **_: Any) -> None:
                order = await hedge.slots.open_order()
                if order is not None and order.expires_at is not None:
                    hedge.clock.advance(TIME_TO_LIVE.total_seconds())

        hedge.client._limiter = Queue()
        reconciler = hedge.reconciler(order_time_to_live=TIME_TO_LIVE)
        assert await reconciler.reconcile() is Outcome.REFUSED
        assert await hedge.states() == ["refused"]
        assert hedge.sizes_at_exchange == []


class TestStalePositions:
    @pytest.mark.parametrize("shown", ["0", "-40"], ids=["none of the fill", "part of the fill"])
    async def test_position_that_trails_the_fill_is_not_acted_on(self, hedge: Any, shown: str) -> None:
        """The exchange shows an old position after the fill: we wait, and do not sell again."""
        trailing = Position(inst_id="BTC-USD-SWAP", size_contracts=Decimal(shown))

        class Trailing(Wrapped):
            async def position(self, inst_id: str) -> Position:
                return trailing

        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.reconciler().reconcile()
        mirrored = (await hedge.ledger.balances()).signed_exposure_cents
        stale = hedge.reconciler(client=Trailing(hedge.client))
        for _ in range(3):
            assert await stale.reconcile() is Outcome.WAITING
            hedge.clock.advance(3)
        assert (await hedge.ledger.balances()).signed_exposure_cents == mirrored
        assert await hedge.reconciler().reconcile() is Outcome.HEDGED
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_position_moved_by_somebody_else_is_believed_after_the_patience(self, hedge: Any) -> None:
        """A trade by hand right after our fill is hedged again, ten seconds later."""
        await hedge.owe(TEN_THOUSAND_USD)
        reconciler = hedge.reconciler(stale_position_patience=timedelta(seconds=10))
        await reconciler.reconcile()
        await by_hand(hedge, "buy", "98")
        hedge.clock.advance(9.999)
        assert await reconciler.reconcile() is Outcome.WAITING
        hedge.clock.advance(0.001)
        assert await reconciler.reconcile() is Outcome.ORDERED
        assert hedge.position_contracts == -98


class TestSeveralEngines:
    async def test_concurrent_engines_send_one_order_for_one_change(
        self, hedge: Any, client_factory: Any
    ) -> None:
        """Three engines look at random moments while users trade: each change is hedged by one order."""
        chance = random.Random(7)
        engines = [hedge.reconciler(client=await client_factory(hedge.simulator)) for _ in range(3)]
        expected: list[Decimal] = []
        for _ in range(15):
            before = hedge.position_contracts
            contracts = chance.choice([n for n in range(10, 400, 10) if abs(n + before) > 20])
            await hedge.owe(contracts * 10_000)

            async def look(engine: Any) -> None:
                for _ in range(chance.randint(1, 3)):
                    await asyncio.sleep(chance.random() / 100)
                    await engine.reconcile()

            await asyncio.gather(*(look(engine) for engine in engines))
            await hedge.converge(chance.choice(engines))
            expected.append(hedge.position_contracts - before)
            hedge.clock.advance(1)
        assert hedge.sizes_at_exchange == expected
        assert len(set(await hedge.states()) - {"filled", "abandoned"}) == 0
        balances = await hedge.ledger.balances()
        assert balances.signed_exposure_cents == int(hedge.position_contracts * 10_000)

    async def test_engine_that_was_too_slow_does_not_send(self, hedge: Any) -> None:
        """Its reservation was taken over while it observed: writing the order down fails, so it is not sent."""
        await hedge.owe(TEN_THOUSAND_USD)

        class Slow(Wrapped):
            observations = 0

            async def position(self, inst_id: str) -> Position:
                position: Position = await self._inner.position(inst_id)
                self.observations += 1
                if self.observations == 2:  # it holds the slot now
                    hedge.clock.advance(RESERVATION_HELD_FOR.total_seconds() + 0.001)
                    await hedge.converge(hedge.reconciler())
                return position

        assert await hedge.reconciler(client=Slow(hedge.client)).reconcile() is Outcome.WAITING
        assert await hedge.states() == ["abandoned", "filled"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_fresh_reservation_of_another_engine_is_respected(self, hedge: Any) -> None:
        """For five seconds the slot is its owner's; after that the owner counts as gone."""
        await hedge.owe(TEN_THOUSAND_USD)
        await hedge.slots.reserve()
        reconciler = hedge.reconciler()
        hedge.clock.advance(RESERVATION_HELD_FOR.total_seconds())
        assert await reconciler.reconcile() is Outcome.WAITING
        hedge.clock.advance(0.001)
        assert await reconciler.reconcile() is Outcome.ORDERED

    async def test_need_that_vanished_before_the_slot_was_held_is_not_acted_on(self, hedge: Any) -> None:
        """What is sent is decided on what is observed while holding the slot."""
        await hedge.owe(TEN_THOUSAND_USD)

        class Overtaken(Wrapped):
            async def reserve(self) -> Any:
                await hedge.owe(0)
                return await self._inner.reserve()

        reconciler = hedge.reconciler(slots=Overtaken(hedge.slots))
        assert await reconciler.reconcile() is Outcome.HEDGED
        assert await hedge.states() == ["abandoned"]
        assert hedge.sizes_at_exchange == []

    @pytest.mark.parametrize("error", [OkxUnreachableError("away"), NegativeLiabilityError("damaged")])
    async def test_look_that_fails_while_it_holds_the_slot_gives_it_back(
        self, hedge: Any, error: Exception
    ) -> None:
        """The next look may act at once: time does not have to pass."""
        await hedge.owe(TEN_THOUSAND_USD)

        with pytest.raises(type(error)):
            await hedge.reconciler(client=FailingUnderTheSlot(hedge.client, error)).reconcile()
        assert await hedge.states() == ["abandoned"]
        assert await hedge.reconciler().reconcile() is Outcome.ORDERED

    async def test_failure_is_told_also_if_the_slot_cannot_be_given_back(self, hedge: Any) -> None:
        """The reservation lapses by itself; what went wrong first is what is raised."""
        await hedge.owe(TEN_THOUSAND_USD)

        class Gone(Wrapped):
            async def release(self, _order: Any) -> Any:
                raise AutoReconnect("database is away")

        client = FailingUnderTheSlot(hedge.client, OkxUnreachableError("away"))
        engine = hedge.reconciler(client=client, slots=Gone(hedge.slots))
        with pytest.raises(OkxUnreachableError):
            await engine.reconcile()
        hedge.clock.advance(RESERVATION_HELD_FOR.total_seconds() + 1)
        await hedge.converge(hedge.reconciler())

    async def test_order_settled_by_another_engine_before_its_answer_came_is_left_alone(
        self, hedge: Any
    ) -> None:
        """Who loses the step to another engine waits; the order stands once."""

        class Overtaken(Wrapped):
            async def place_market_order(self, *args: Any, **kwargs: Any) -> Any:
                answer = await self._inner.place_market_order(*args, **kwargs)
                await hedge.converge(hedge.reconciler())
                return answer

        await hedge.owe(TEN_THOUSAND_USD)
        assert await hedge.reconciler(client=Overtaken(hedge.client)).reconcile() is Outcome.WAITING
        assert await hedge.states() == ["filled"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]


class Dying(Wrapped):
    """Cancels the task that uses it right before or after the n-th call of one of its methods."""

    def __init__(self, inner: Any, method: str, when: str, nth: int) -> None:
        super().__init__(inner)
        self._method, self._when, self._left = method, when, nth
        self.died = False

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if name != self._method:
            return call

        async def die(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and self._when == "before":
                self.die()
            answer = await call(*args, **kwargs)
            if self._left == 0:
                self.die()
            return answer

        return die

    def die(self) -> None:
        self.died = True
        raise asyncio.CancelledError


DEATHS = [
    (part, method, nth, when)
    for part, method, nth in (
        ("slots", "open_order", 1),
        ("client", "position", 1),
        ("slots", "last_executed", 1),
        ("slots", "reserve", 1),
        ("client", "position", 2),
        ("slots", "last_executed", 2),
        ("slots", "mark_sent", 1),
        ("client", "place_market_order", 1),
        ("slots", "mark_accepted", 1),
        ("client", "order", 1),
        ("slots", "mark_seen", 1),
    )
    for when in ("before", "after")
]


class TestDeath:
    @pytest.mark.parametrize(("part", "method", "nth", "when"), DEATHS)
    async def test_engine_that_dies_anywhere_leaves_nothing_that_doubles(
        self, *, hedge: Any, client_factory: Any, part: str, method: str, nth: int, when: str
    ) -> None:
        """Whatever was written down and sent by then, the next engine hedges with one order in all."""
        await hedge.owe(TEN_THOUSAND_USD)
        dying = Dying(getattr(hedge, part), method, when, nth)
        with pytest.raises(asyncio.CancelledError):
            await hedge.reconciler(**{part: dying}).reconcile()
        assert dying.died

        await hedge.converge(hedge.reconciler(client=await client_factory(hedge.simulator)))
        assert hedge.sizes_at_exchange == [Decimal(-98)]
        assert await hedge.slots.open_order() is None
        assert (await hedge.ledger.balances()).signed_exposure_cents == -980_000

    @pytest.mark.parametrize("fault", [DelayAnswer(2000), DelayRequest(2000)], ids=repr)
    async def test_engine_cancelled_while_its_order_is_on_the_wire_leaves_nothing_that_doubles(
        self, hedge: Any, client_factory: Any, eventually: Callable[..., Awaitable[None]], fault: Any
    ) -> None:
        """The order arrives although nobody waits for the answer any more."""
        await hedge.owe(TEN_THOUSAND_USD)
        hedge.simulator.faults.add("trade/order", fault, **PLACE)
        look = asyncio.create_task(hedge.reconciler().reconcile())
        await eventually(lambda: not hedge.simulator.faults.pending)
        look.cancel()
        await asyncio.wait([look])
        assert look.cancelled()
        await eventually(lambda: hedge.sizes_at_exchange == [Decimal(-98)])

        await hedge.converge(hedge.reconciler(client=await client_factory(hedge.simulator)))
        assert await hedge.states() == ["filled"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]


class Sending(Wrapped):
    """A client whose orders leave only when they are let go."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.is_sending, self.may_go = asyncio.Event(), asyncio.Event()

    async def place_market_order(self, *args: Any, **kwargs: Any) -> Any:
        self.is_sending.set()
        await self.may_go.wait()
        return await self._inner.place_market_order(*args, **kwargs)


class TestCancellation:
    async def test_order_being_sent_is_finished_and_written_down_first(self, hedge: Any) -> None:
        """Whoever stops the engine in between leaves no order with an unknown outcome."""
        await hedge.owe(TEN_THOUSAND_USD)
        client = Sending(hedge.client)
        look = asyncio.create_task(hedge.reconciler(client=client).reconcile())
        async with asyncio.timeout(30):
            await client.is_sending.wait()
            look.cancel()
            await asyncio.sleep(0)
            assert not look.done()
            client.may_go.set()
            await asyncio.wait([look])
        assert look.cancelled()
        assert await hedge.states() == ["accepted"]
        assert hedge.sizes_at_exchange == [Decimal(-98)]

    async def test_order_that_cannot_be_finished_does_not_hold_the_cancellation_up(
        self, hedge: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It stays written down as sent, and the next look asks what became of it."""
        monkeypatch.setattr(reconcile_module, "SEND_FINISHED_WITHIN_SECS", 0.05)
        await hedge.owe(TEN_THOUSAND_USD)
        client = Sending(hedge.client)
        look = asyncio.create_task(hedge.reconciler(client=client).reconcile())
        async with asyncio.timeout(30):
            await client.is_sending.wait()
            look.cancel()
            await asyncio.wait([look])
        assert look.cancelled()
        assert (await hedge.states(), hedge.sizes_at_exchange) == (["sent"], [])


async def by_hand(hedge: Any, side: str, contracts: str) -> None:
    """Trade at the exchange behind the engines' back."""
    name = f"byhand{len(hedge.sizes_at_exchange)}"
    expires_at = hedge.clock.now() + timedelta(seconds=10)
    await hedge.client.place_market_order(
        "BTC-USD-SWAP", OrderSide(side), Decimal(contracts), name, expires_at=expires_at
    )
