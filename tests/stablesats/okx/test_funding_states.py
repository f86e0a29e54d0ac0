"""OKX's tables of states, row by row."""

import pytest

from stablesats.okx import DepositState, MovementPhase, TransferState, WithdrawalState

PENDING, SUCCEEDED, FAILED = MovementPhase.PENDING, MovementPhase.SUCCEEDED, MovementPhase.FAILED


@pytest.mark.parametrize(
    ("state", "phase"),
    [("pending", PENDING), ("success", SUCCEEDED), ("failed", FAILED), ("", PENDING), ("new", PENDING)],
)
def test_transfer(state: str, phase: MovementPhase) -> None:
    """Three states; any other is pending."""
    assert TransferState(state).phase is phase


@pytest.mark.parametrize(
    ("state", "phase", "attention"),
    [
        ("0", PENDING, False),
        ("1", PENDING, False),
        ("2", SUCCEEDED, False),
        ("8", PENDING, True),
        ("11", PENDING, True),
        ("12", PENDING, True),
        ("13", PENDING, True),
        ("14", PENDING, True),
        ("17", PENDING, True),
        ("3", PENDING, True),
        ("99", PENDING, True),
        ("-1", PENDING, True),
    ],
)
def test_deposit(state: str, phase: MovementPhase, attention: bool) -> None:
    """None is ever failed: the coins have been sent, so they are somewhere."""
    found = DepositState(state)
    assert (found.phase, found.needs_attention) == (phase, attention)
    assert found.is_credited == (state in ("1", "2"))


@pytest.mark.parametrize(
    ("state", "phase", "attention"),
    [
        ("-3", PENDING, False),
        ("-2", FAILED, False),
        ("-1", FAILED, False),
        ("0", PENDING, False),
        ("1", PENDING, False),
        ("2", SUCCEEDED, False),
        *((review, PENDING, True) for review in ("4", "5", "6", "8", "9", "12")),
        ("7", PENDING, False),
        ("10", PENDING, False),
        ("15", PENDING, False),
        ("16", PENDING, True),
        ("17", PENDING, True),
        ("19", PENDING, False),
        ("3", PENDING, True),
        ("99", PENDING, True),
    ],
)
def test_withdrawal(state: str, phase: MovementPhase, attention: bool) -> None:
    """Two states are failures; what we do not know may still pay."""
    found = WithdrawalState(state)
    assert (found.phase, found.is_final, found.needs_attention) == (phase, phase is not PENDING, attention)


@pytest.mark.parametrize("enum", [TransferState, DepositState, WithdrawalState])
def test_a_state_that_we_do_not_know_is_pending_and_calls_for_a_person(enum) -> None:
    """Taking it for a failure would send the money twice."""
    state = enum("frozen by moonlight")
    assert (state.name, state.is_final, state.needs_attention) == ("UNKNOWN", False, True)


def test_a_bare_number_is_the_same_state() -> None:
    """OKX's fields are text, but not everybody's."""
    assert WithdrawalState(-2) is WithdrawalState.CANCELED


def test_states_of_different_tables_are_never_equal() -> None:
    """A deposit's 12 is frozen, a withdrawal's 12 is under review."""
    assert DepositState("12") != WithdrawalState("12")
