"""What the simulator itself can fail at; what it answers to its clients is in ``refusals``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablesats.errors import StablesatsError

if TYPE_CHECKING:
    from pathlib import Path


class SimulatorError(StablesatsError):
    """The simulated exchange could not do what its operator asked."""


class SimulatorStartError(SimulatorError):
    """The simulator could not listen on the address it was given."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        self.reason = reason
        super().__init__(
            f"OKX simulator cannot listen on {host}:{port}: {reason};"
            " choose another port, or 0 for any free one"
        )


class PriceFileError(SimulatorError):
    """A price history cannot be replayed: unreadable, out of order, empty or ambiguous."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"price file {path}: {reason}")


class SavedStateError(SimulatorError):
    """A file of the simulator cannot be read or written, or does not hold a state of this exchange."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"simulator file {path}: {reason}")


class ConnectionCutError(SimulatorError):
    """A fault ends the connection in place of an answer."""


class AdminRequestError(SimulatorError):
    """A request to the admin API makes no sense; nothing was changed."""
