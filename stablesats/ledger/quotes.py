"""What an accepted quote is known by in the ledger."""

from stablesats.errors import StablesatsError


class QuoteIdError(StablesatsError, ValueError):
    """A quote was given without its id; nothing would tell it from others.

    Attributes:
        quote_id: What was given instead.
    """

    def __init__(self, quote_id: object) -> None:
        """Say what was given."""
        self.quote_id = quote_id
        super().__init__(f"quote_id must be the text of an id, got {quote_id!r}")


def quote_key(quote_id: object) -> str:
    """The external id of a quote's journal: ``quote:`` and the quote's own id.

    Raises:
        QuoteIdError: If *quote_id* is no text, or blank.
    """
    if not isinstance(quote_id, str) or not quote_id.strip():
        raise QuoteIdError(quote_id)
    return f"quote:{quote_id}"
