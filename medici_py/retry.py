"""When a MongoDB transaction is tried again: the rules, without the waiting.

Source: MongoDB's transactions specification (error labels, the 120 s limit of the convenient API) and the
bounds of the pauses in PyMongo's own ``with_transaction``.
"""

from enum import Enum

from pymongo.errors import OperationFailure, PyMongoError

DEADLINE_SECS = 120.0
FIRST_DELAY_SECS = 0.005
MAX_DELAY_SECS = 0.5
CONFLICT_PAUSE_SECS = 0.02

_TRANSIENT = "TransientTransactionError"
_UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
_MAX_TIME_EXPIRED = 50
_WRITE_CONFLICT = 112


class Retry(Enum):
    """What to do about an error inside a transaction."""

    TRANSACTION = "run the whole transaction again"
    COMMIT = "send the commit again"
    NOTHING = "give up"


def after_callback_error(error: BaseException) -> Retry:
    """Decide after *error* came out of the transaction's body."""
    if isinstance(error, PyMongoError) and error.has_error_label(_TRANSIENT):
        return Retry.TRANSACTION
    return Retry.NOTHING


def after_commit_error(error: PyMongoError) -> Retry:
    """Decide after *error* came out of the commit."""
    if is_unknown_commit(error):
        expired = isinstance(error, OperationFailure) and error.code == _MAX_TIME_EXPIRED
        return Retry.NOTHING if expired else Retry.COMMIT
    return after_callback_error(error)


def is_unknown_commit(error: PyMongoError) -> bool:
    """Whether the server may have committed although *error* came back."""
    return error.has_error_label(_UNKNOWN_COMMIT)


def is_write_conflict(error: BaseException) -> bool:
    """Whether *error* says that another transaction has written what this one would."""
    return isinstance(error, OperationFailure) and error.code == _WRITE_CONFLICT


def begin_again(reason: str) -> OperationFailure:
    """Return an error that makes a transaction run again from the start, as a write conflict does."""
    return OperationFailure(reason, _WRITE_CONFLICT, {"errorLabels": [_TRANSIENT]})
