"""Where transfers, deposits and withdrawals stand: OKX's full tables, and what each state means for us.

A state that we do not know is `UNKNOWN` and counts as pending: taking it for a failure would send the money
a second time. It calls for a person, and so do the states in which OKX holds the money back.

Source: OKX API v5, "Funding account".
"""

from enum import Enum
from typing import Final, Self


class MovementPhase(Enum):
    """What matters of a state: has the money moved, may it still, or did it stay?"""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


# Plain enums, no `StrEnum`: "2" of a deposit and "2" of a withdrawal must not be equal.
class _MovementState(Enum):
    @classmethod
    def _missing_(cls, value: object) -> Self:
        # OKX writes them as text; a bare number is the same state.
        return next((state for state in cls if state.value == str(value)), cls("unknown"))

    @property
    def phase(self) -> MovementPhase:
        """Whether the money has moved, may still move, or certainly stays."""
        return _PHASES.get(self, MovementPhase.PENDING)

    @property
    def is_final(self) -> bool:
        """Whether the state cannot change any more."""
        return self.phase is not MovementPhase.PENDING

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look: OKX holds the money back, or we do not know the state."""
        return self in _HELD_BACK or self.value == "unknown"


class TransferState(_MovementState):
    """A transfer between our own accounts at OKX."""

    PENDING = "pending"
    SUCCEEDED = "success"
    FAILED = "failed"
    UNKNOWN = "unknown"


class DepositState(_MovementState):
    """A payment to one of our addresses. None is ever `MovementPhase.FAILED`: the coins have been sent."""

    WAITING_FOR_CONFIRMATIONS = "0"
    CREDITED = "1"
    SUCCEEDED = "2"
    SUSPENDED = "8"
    BLACKLISTED = "11"
    FROZEN = "12"
    INTERCEPTED = "13"
    KYC_LIMIT = "14"
    TRAVEL_RULE = "17"
    UNKNOWN = "unknown"

    @property
    def is_credited(self) -> bool:
        """Whether the funding account has it, also if it cannot be withdrawn yet."""
        return self in (DepositState.CREDITED, DepositState.SUCCEEDED)


class WithdrawalState(_MovementState):
    """A payment to an address outside."""

    CANCELLING = "-3"
    CANCELED = "-2"
    FAILED = "-1"
    WAITING = "0"
    BROADCASTING = "1"
    SUCCEEDED = "2"
    REVIEW_4 = "4"
    REVIEW_5 = "5"
    REVIEW_6 = "6"
    APPROVED = "7"
    REVIEW_8 = "8"
    REVIEW_9 = "9"
    WAITING_TRANSFER = "10"
    REVIEW_12 = "12"
    VALIDATION = "15"
    COMPLIANCE = "16"
    TRAVEL_RULE = "17"
    IN_PROGRESS_19 = "19"
    UNKNOWN = "unknown"


_PHASES: Final[dict[_MovementState, MovementPhase]] = {
    TransferState.SUCCEEDED: MovementPhase.SUCCEEDED,
    TransferState.FAILED: MovementPhase.FAILED,
    DepositState.SUCCEEDED: MovementPhase.SUCCEEDED,
    WithdrawalState.SUCCEEDED: MovementPhase.SUCCEEDED,
    WithdrawalState.CANCELED: MovementPhase.FAILED,
    WithdrawalState.FAILED: MovementPhase.FAILED,
}

_HELD_BACK: Final[frozenset[_MovementState]] = frozenset(
    {
        DepositState.SUSPENDED,
        DepositState.BLACKLISTED,
        DepositState.FROZEN,
        DepositState.INTERCEPTED,
        DepositState.KYC_LIMIT,
        DepositState.TRAVEL_RULE,
        WithdrawalState.REVIEW_4,
        WithdrawalState.REVIEW_5,
        WithdrawalState.REVIEW_6,
        WithdrawalState.REVIEW_8,
        WithdrawalState.REVIEW_9,
        WithdrawalState.REVIEW_12,
        WithdrawalState.COMPLIANCE,
        WithdrawalState.TRAVEL_RULE,
    }
)
