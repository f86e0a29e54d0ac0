"""The conversation of one connection: frames and time in, texts to send and a verdict out; pure.

It knows nothing of sockets. The shell calls `start`, then `take` for each text and `tick` at the latest when
`next_tick_secs` comes, and does what they answer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

from medici_py.backoff import backoff_secs
from stablesats.okx.streams import frames
from stablesats.okx.streams.errors import (
    OkxLoginRefusedError,
    OkxStreamRefusedError,
    OkxSubscriptionRefusedError,
)
from stablesats.okx.streams.sinks import Sink
from stablesats.okx.streams.timing import StreamTiming

# Key, passphrase, signature, IP list, demo against production. Others, such as a wrong time or too many
# requests, may pass the next time.
LOGIN_REFUSALS: Final = frozenset(
    {"60005", "60007", "60022", "60024", "60032", "50101", "50105", "50110", "50111", "50113", "50119"}
)

# No such channel or instrument, not on this URL, or malformed: the same request cannot succeed.
SUBSCRIPTION_REFUSALS: Final = frozenset({"60012", "60013", "60018", "60027", "60028"})


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text; it may hold secrets."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection and make another.

    Attributes:
        planned: Whether OKX asked for it: then it is no failure.
    """

    reason: str
    planned: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Close the connection and make no other: OKX does not accept who we are."""

    error: OkxLoginRefusedError


Action: TypeAlias = Send | Drop | GiveUp


@dataclass(slots=True)
class _Subscription:
    """Where one subscription stands.

    Attributes:
        request_id: Of the request that waits for its answer; None if none does.
        due_at_secs: When something must have come, or is to be sent again, or the silence has lasted long
            enough to be looked into; None if nothing is waited for.
        is_live: Whether OKX has accepted it.
        is_paused: Whether it is to be made anew at *due_at_secs*.
        failures: How often in a row it had to be made anew.
        since_secs: When that was last.
    """

    sink: Sink
    request_id: str | None = None
    due_at_secs: float | None = None
    is_live: bool = False
    is_paused: bool = False
    failures: int = 0
    since_secs: float = 0.0

    def is_about(self, argument: frames.Row) -> bool:
        return self.sink.channel.is_meant_by(argument)


class StreamSession:
    """What to say next on one connection.

    Attributes:
        messages: How many frames came.
        unreadable: How many of them could not be understood.
        resubscriptions: How often a subscription had to be made anew.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        timing: StreamTiming,
        login_text: Callable[[], str] | None,
        jitter: Callable[[], float],
    ) -> None:
        """Prepare a conversation.

        Args:
            sinks: What to subscribe to.
            timing: How long to wait for what.
            login_text: Makes the login, at the moment of sending; None for public channels.
            jitter: Random numbers from 0 to 1, that spread the pauses.
        """
        self._subscriptions = [_Subscription(sink) for sink in sinks]
        self._timing = timing
        # OKX counts subscriptions by connection, so its books share what they may take of them.
        self._quiet_secs = timing.book_quiet_secs * sum(sink.is_renewed_when_quiet for sink in sinks)
        self._login_text = login_text
        self._jitter = jitter
        self._login_due_at_secs: float | None = None
        self._heard_at_secs = 0.0
        self._pinged_at_secs: float | None = None
        self._remind_at_secs = math.inf
        self._requests = 0
        self.messages = 0
        self.unreadable = 0
        self.resubscriptions = 0

    @property
    def next_tick_secs(self) -> float:
        """When `tick` must be called at the latest, on the monotonic clock."""
        times = [subscription.due_at_secs for subscription in self._subscriptions]
        times += [self._login_due_at_secs, self._silence_ends_at_secs, self._remind_at_secs]
        return min(time for time in times if time is not None)

    @property
    def is_ready(self) -> bool:
        """Whether every subscription stands."""
        return all(subscription.is_live for subscription in self._subscriptions)

    def start(self, now_secs: float) -> list[Action]:
        """Begin: log in where that is needed, or subscribe."""
        self._heard_at_secs = now_secs
        self._remind_at_secs = now_secs + self._timing.reconcile_secs
        if self._login_text is None:
            return self._subscribe_to_all(now_secs)
        self._login_due_at_secs = now_secs + self._timing.answer_within_secs
        return [Send(self._login_text())]

    def take(self, text: str, now_secs: float) -> list[Action]:
        """Take a text frame."""
        frame = frames.read_frame(text)
        self._hear(now_secs)
        match frame:
            case frames.Pong() | frames.Unsubscribed() | frames.Other():
                return []
            case frames.LoggedIn():
                return self._logged_in(now_secs)
            case frames.Subscribed():
                return self._subscribed(frame, now_secs)
            case frames.Push():
                return self._pushed(frame, now_secs)
            case frames.Refused():
                return self._refused(frame)
            case frames.Notice(code, message):
                return [Drop(f"OKX announces: {message} (code {code})", planned=True)]
            case frames.Unreadable(why):
                return self._not_understood(why)
            case _:
                assert_never(frame)

    def take_binary(self, now_secs: float) -> list[Action]:
        """Take a frame that is no text, which OKX does not document."""
        self._hear(now_secs)
        return self._not_understood("a binary frame")

    def tick(self, now_secs: float) -> list[Action]:
        """Do what is due: give up a silent connection, ask whether OKX is there, subscribe anew, remind."""
        if self._login_due_at_secs is not None and now_secs >= self._login_due_at_secs:
            return [Drop(f"no answer to the login within {self._timing.answer_within_secs:g} s")]
        if now_secs >= self._silence_ends_at_secs:
            if self._pinged_at_secs is not None:
                silent_secs = now_secs - self._heard_at_secs
                return [Drop(f"OKX is silent for {silent_secs:.0f} s, also after a ping")]
            self._pinged_at_secs = now_secs
            return [Send(frames.PING)]
        if now_secs >= self._remind_at_secs:
            self._remind(now_secs)
        actions: list[Action] = []
        for subscription in self._subscriptions:
            if subscription.due_at_secs is not None and now_secs >= subscription.due_at_secs:
                actions += self._overdue(subscription, now_secs)
        return actions

    @property
    def _silence_ends_at_secs(self) -> float:
        if self._pinged_at_secs is not None:
            return self._pinged_at_secs + self._timing.pong_within_secs
        return self._heard_at_secs + self._timing.heartbeat_secs

    def _hear(self, now_secs: float) -> None:
        self.messages += 1
        self._heard_at_secs = now_secs
        self._pinged_at_secs = None

    def _logged_in(self, now_secs: float) -> list[Action]:
        if self._login_due_at_secs is None:
            return []  # said once more
        self._login_due_at_secs = None
        return self._subscribe_to_all(now_secs)

    def _subscribe_to_all(self, now_secs: float) -> list[Action]:
        return [self._subscribe(subscription, now_secs) for subscription in self._subscriptions]

    def _subscribe(self, subscription: _Subscription, now_secs: float) -> Action:
        subscription.request_id = self._next_request_id()
        subscription.due_at_secs = now_secs + self._timing.answer_within_secs
        subscription.is_paused = False
        return Send(frames.subscribe_text(subscription.sink.channel, subscription.request_id))

    def _next_request_id(self) -> str:
        self._requests += 1
        return str(self._requests)

    def _subscribed(self, answer: frames.Subscribed, now_secs: float) -> list[Action]:
        for subscription in self._subscriptions:
            is_meant = answer.request_id in ("", subscription.request_id)
            if is_meant and subscription.request_id and subscription.is_about(answer.argument):
                subscription.request_id = None
                subscription.is_live = True
                subscription.sink.begin()
                first_push_by = now_secs + self._timing.answer_within_secs
                subscription.due_at_secs = first_push_by if subscription.sink.is_waiting else None
        return []

    def _pushed(self, push: frames.Push, now_secs: float) -> list[Action]:
        actions: list[Action] = []
        for subscription in self._subscriptions:
            # What comes before the answer to a subscription belongs to the one before it.
            if subscription.is_live and subscription.is_about(push.argument):
                why = subscription.sink.take(push)
                if why is not None:
                    actions += self._pause(subscription, now_secs)
                elif not subscription.sink.is_waiting:
                    is_renewed = subscription.sink.is_renewed_when_quiet
                    subscription.due_at_secs = now_secs + self._quiet_secs if is_renewed else None
        return actions

    def _refused(self, refusal: frames.Refused) -> list[Action]:
        described = f"{refusal.message} (code {refusal.code})"
        if self._login_due_at_secs is not None:
            if refusal.code in LOGIN_REFUSALS:
                what = "the login to its private stream"
                return [GiveUp(OkxLoginRefusedError(what, code=refusal.code, message=refusal.message))]
            return [Drop(f"OKX refused the login: {described}")]
        asked = [
            subscription
            for subscription in self._subscriptions
            if subscription.request_id is not None and refusal.request_id in ("", subscription.request_id)
        ]
        if len(asked) != 1 or refusal.code not in SUBSCRIPTION_REFUSALS:
            return [Drop(f"OKX reports an error: {described}")]
        asked[0].request_id = asked[0].due_at_secs = None
        asked[0].sink.fail(_subscription_refused(asked[0], refusal))
        return []

    def _not_understood(self, why: str) -> list[Action]:
        self.unreadable += 1
        for subscription in self._subscriptions:
            subscription.sink.unreadable(f"OKX sent what it does not document: {why}")
        return []

    def _remind(self, now_secs: float) -> None:
        self._remind_at_secs = now_secs + self._timing.reconcile_secs
        for subscription in self._subscriptions:
            # One that is not live begins anew soon, which says the same.
            if subscription.is_live:
                subscription.sink.remind()

    def _overdue(self, subscription: _Subscription, now_secs: float) -> list[Action]:
        if subscription.is_paused:
            return self._renew(subscription, now_secs)
        if subscription.request_id is not None:
            waited_secs = self._timing.answer_within_secs
            return [
                Drop(f"no answer to the subscription of {subscription.sink.channel} in {waited_secs:g} s")
            ]
        if subscription.sink.is_waiting:
            return self._pause(subscription, now_secs)
        # It was quiet for long: nothing is wrong as far as we know, so this counts as no failure.
        return self._renew(subscription, now_secs)

    def _renew(self, subscription: _Subscription, now_secs: float) -> list[Action]:
        subscription.is_live = False
        # Under an id of its own: a refusal of this one must not be taken for one of the next.
        end = frames.unsubscribe_text(subscription.sink.channel, self._next_request_id())
        return [Send(end), self._subscribe(subscription, now_secs)]

    def _pause(self, subscription: _Subscription, now_secs: float) -> list[Action]:
        """Make the subscription anew: at once, and after ever longer pauses if that does not help."""
        self.resubscriptions += 1
        helped = now_secs - subscription.since_secs >= self._timing.stable_after_secs
        subscription.failures = 1 if helped or subscription.failures == 0 else subscription.failures + 1
        subscription.since_secs = now_secs
        subscription.is_live = False
        subscription.is_paused = True
        if subscription.failures == 1:
            return self._overdue(subscription, now_secs)
        subscription.due_at_secs = now_secs + backoff_secs(
            subscription.failures - 1,
            first_secs=self._timing.pause_first_secs,
            max_secs=self._timing.pause_max_secs,
            jitter=self._jitter(),
        )
        return []


def _subscription_refused(subscription: _Subscription, refusal: frames.Refused) -> OkxStreamRefusedError:
    what = f"the subscription of {subscription.sink.channel}"
    return OkxSubscriptionRefusedError(what, code=refusal.code, message=refusal.message)
