"""How long a stream waits for what; pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamTiming:
    """Bounds on every wait, in seconds.

    Attributes:
        connect_within_secs: For the connection to be made.
        answer_within_secs: For the answer to a login or a subscription, and for the first push after it.
        heartbeat_secs: Silence after which we ask whether OKX is there; OKX itself gives up after 30.
        pong_within_secs: For its answer to that.
        pause_first_secs: The longest pause before the first reconnection, doubled with each failure.
        pause_max_secs: The longest pause ever.
        stable_after_secs: A connection, or a subscription, that held so long counts as no failure.
        reconcile_secs: How often an `OrderFeed` says `Reconcile` although nothing seems to be missing;
            ``math.inf`` for never.
        book_quiet_secs: An order book without news for so long is fetched anew, since the loss of its last
            update would show in nothing; as many times longer as a connection has books. OKX takes 480
            subscriptions, their ends and logins an hour on a connection, and this takes two each time: on a
            market that stands still, 360 an hour.
    """

    connect_within_secs: float = 10.0
    answer_within_secs: float = 10.0
    heartbeat_secs: float = 18.0
    pong_within_secs: float = 9.0
    pause_first_secs: float = 1.0
    pause_max_secs: float = 30.0
    stable_after_secs: float = 60.0
    reconcile_secs: float = 60.0
    book_quiet_secs: float = 20.0
