"""When a transaction is tried again."""

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure, PyMongoError

from medici_py.retry import (
    Retry,
    after_callback_error,
    after_commit_error,
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


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_error_of_the_caller_is_never_tried_again(error: BaseException) -> None:
    """Only the driver's errors carry labels."""
    assert Retry.NOTHING is after_callback_error(error)
