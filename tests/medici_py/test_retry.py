"""When a transaction is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from medici_py.retry import (
    CONFLICT_PAUSE_SECS,
    MAX_CONFLICT_PAUSE_SECS,
    PATIENT_AFTER_CONFLICTS,
    Retry,
    after_callback_error,
    after_commit_error,
    conflict_pause_secs,
    was_away,
)


def labelled(error: PyMongoError, *labels: str) -> PyMongoError:
    for label in labels:
        error._add_error_label(label)
    return error


@pytest.mark.parametrize(
    ("error", "after_callback", "after_commit"),
    [
        (OperationFailure("plain", 121), Retry.NOTHING, Retry.NOTHING),
        (
            labelled(OperationFailure("write conflict", 112), "TransientTransactionError"),
            Retry.TRANSACTION,
            Retry.TRANSACTION,
        ),
        (labelled(AutoReconnect("lost"), "UnknownTransactionCommitResult"), Retry.NOTHING, Retry.COMMIT),
        (
            labelled(ExecutionTimeout("slow", 50), "UnknownTransactionCommitResult"),
            Retry.NOTHING,
            Retry.NOTHING,
        ),
        (
            labelled(AutoReconnect("both"), "UnknownTransactionCommitResult", "TransientTransactionError"),
            Retry.TRANSACTION,
            Retry.COMMIT,
        ),
    ],
    ids=str,
)
def test_labels_decide_what_is_tried_again(
    error: PyMongoError, after_callback: Retry, after_commit: Retry
) -> None:
    """MongoDB's labels say whether body or commit runs again; a commit that ran out of time does not."""
    assert (after_callback, after_commit) == (after_callback_error(error), after_commit_error(error))


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (AutoReconnect("lost"), True),
        (NotPrimaryError("elected"), True),
        (ServerSelectionTimeoutError("nobody"), True),
        (ExecutionTimeout("slow", 50), True),
        (labelled(OperationFailure("stepping down", 11602), "RetryableWriteError"), True),
        (OperationFailure("not authorized", 13), False),
        (DuplicateKeyError("used", 11000), False),
    ],
    ids=str,
)
def test_server_that_is_away_is_told_from_one_that_refuses(error: PyMongoError, away: bool) -> None:
    """Only the former is worth waiting for."""
    assert was_away(error) is away


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_error_of_the_caller_is_never_tried_again(error: BaseException) -> None:
    """Only the driver's errors carry labels."""
    assert Retry.NOTHING is after_callback_error(error)


@pytest.mark.parametrize(
    ("conflicts", "jitter", "secs"),
    [
        (1, 1.0, 0.02),
        (PATIENT_AFTER_CONFLICTS, 1.0, 0.02),
        (PATIENT_AFTER_CONFLICTS + 1, 1.0, 0.04),
        (PATIENT_AFTER_CONFLICTS + 3, 1.0, 0.16),
        (PATIENT_AFTER_CONFLICTS + 5, 1.0, 0.5),  # 0.64 is past the bound
        (PATIENT_AFTER_CONFLICTS + 5, 0.5, 0.25),
        (1, 0.0, 0.0),
    ],
)
def test_pause_after_conflicts_grows_once_some_did_not_help(
    conflicts: int, jitter: float, secs: float
) -> None:
    """At first about as long as another posting takes; all of it depends on chance."""
    assert conflict_pause_secs(conflicts, jitter) == pytest.approx(secs)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_pause_after_conflicts_is_bounded(conflicts: int, jitter: float) -> None:
    """Whoever keeps what is wanted, the end of that is soon noticed."""
    longest = conflict_pause_secs(conflicts, 1.0)
    assert CONFLICT_PAUSE_SECS <= longest <= MAX_CONFLICT_PAUSE_SECS
    assert conflict_pause_secs(conflicts, jitter) == pytest.approx(longest * jitter)
