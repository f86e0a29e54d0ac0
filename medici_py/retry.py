"""When a MongoDB transaction is tried again: the rules, without the waiting.

Source: MongoDB's transactions specification (error labels, the 120 s limit of the convenient API) and the
bounds of the pauses in PyMongo's own ``with_transaction``.
"""

from enum import Enum

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

DEADLINE_SECS = 120.0
FIRST_DELAY_SECS = 0.005
MAX_DELAY_SECS = 0.5
CONFLICT_PAUSE_SECS = 0.02
MAX_CONFLICT_PAUSE_SECS = 0.5
PATIENT_AFTER_CONFLICTS = 3

_TRANSIENT = "TransientTransactionError"
_UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
_RETRYABLE_WRITE = "RetryableWriteError"
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


def was_away(error: PyMongoError) -> bool:
    """Whether the server could not answer, as in an election, and does not refuse what it was asked for."""
    return isinstance(error, ConnectionFailure) or error.timeout or error.has_error_label(_RETRYABLE_WRITE)


def is_write_conflict(error: BaseException) -> bool:
    """Whether *error* says that another transaction has written what this one would."""
    return isinstance(error, OperationFailure) and error.code == _WRITE_CONFLICT


def conflict_pause_secs(conflicts: int, jitter: float) -> float:
    """Return the pause after so many write conflicts in a row.

    At first about as long as another posting takes: then only a moment decides. If that did not help, many
    want the same, or somebody keeps it: then longer, so that they do not spoil each other's tries.

    Args:
        conflicts: Conflicts in a row, 1 or more.
        jitter: A random number from 0 to 1, so that those who met do not meet again.
    """
    beyond = min(max(conflicts - PATIENT_AFTER_CONFLICTS, 0), 32)
    longest: float = min(CONFLICT_PAUSE_SECS * 2**beyond, MAX_CONFLICT_PAUSE_SECS)
    return longest * jitter


def begin_again(reason: str) -> OperationFailure:
    """Return an error that makes a transaction run again from the start, as a write conflict does."""
    return OperationFailure(reason, _WRITE_CONFLICT, {"errorLabels": [_TRANSIENT]})
