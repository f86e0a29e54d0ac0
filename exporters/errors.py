"""The errors of the exporter."""

from stablesats.errors import StablesatsError


class ExporterError(StablesatsError):
    """The exporter could not start or go on; the message says what and what to do."""


class AddressUnavailableError(ExporterError):
    """The HTTP server could not listen on its address.

    Attributes:
        host: The host that was asked for.
        port: The TCP port that was asked for.
    """

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        """Name the address and what the operating system said."""
        super().__init__(
            f"cannot listen on {host} port {port}: {reason}; "
            "choose another --port (0 takes any free one) or another --host"
        )
        self.host = host
        self.port = port
