"""Counts the commands that a client sends: each is one round trip to the server."""

from collections import Counter

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)


class CommandCounter(CommandListener):
    """How often a client has sent which command; given to a client as one of its ``event_listeners``."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def clear(self) -> None:
        """Begin anew."""
        self.sent.clear()

    @property
    def round_trips(self) -> int:
        """All commands sent."""
        return self.sent.total()

    @property
    def transactions(self) -> int:
        """Transactions that the client asked to commit."""
        return self.sent["commitTransaction"]

    def started(self, event: CommandStartedEvent) -> None:
        self.sent[event.command_name] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing more to count."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing more to count."""
