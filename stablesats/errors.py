"""The root of every error that the dealer raises on purpose.

A caller that wants "anything this package can say went wrong" catches `StablesatsError`; each
package below it (``okx``, ``okx_simulator``, ``hedging`` ...) derives its own leaves.
"""


class StablesatsError(Exception):
    """Something the dealer was asked to do could not be done; the message says what and what to do."""


class ConfigurationError(StablesatsError):
    """A setting is missing, malformed or contradicts another one; the message names the key."""
