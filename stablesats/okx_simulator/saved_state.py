"""The whole exchange as a value, and as a file: what one run leaves for the next.

A saved state holds what happened and what is under way, the exchange's own time, the series of its ids and
addresses, a price held by hand and the place in a replay; other prices, terms and keys come from the
configuration of the run that loads it. Neither faults nor the speed of time are saved.
"""

import fcntl
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import TypeAdapter, ValidationError

from stablesats.okx_simulator.accounts import Account, Fill
from stablesats.okx_simulator.bills import Bill
from stablesats.okx_simulator.chain_payments import Deposit, Withdrawal
from stablesats.okx_simulator.errors import SavedStateError
from stablesats.okx_simulator.ids import Ids
from stablesats.okx_simulator.orders import Order
from stablesats.okx_simulator.replay import Quote
from stablesats.okx_simulator.transfers import Transfer

if TYPE_CHECKING:
    from stablesats.okx_simulator.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeState:
    """An exchange at one moment; what is due is given in seconds from then."""

    version: Literal[1] = 1
    at: datetime
    account: Account
    orders: tuple[Order, ...]
    resting: tuple[str, ...]
    arriving_in_secs: dict[str, float]
    fills: tuple[Fill, ...]
    bills: tuple[Bill, ...]
    funding_btc: Decimal
    transfers: tuple[Transfer, ...]
    deposits: tuple[Deposit, ...]
    withdrawals: tuple[Withdrawal, ...]
    address_count: int
    money_due_in_secs: dict[str, float]
    adjustments_btc: Decimal
    ids: Ids
    funding_rate: Decimal
    settled_funding_rate: Decimal
    seed: int | None = None
    """What decides the deposit addresses; states were saved without it once."""
    price_by_hand: Quote | None
    replay_at: datetime | None
    replay_started: bool


_ADAPTER: Final = TypeAdapter(ExchangeState)


def state_of(exchange: "Exchange") -> ExchangeState:
    """Return the state of *exchange*, brought up to date first."""
    exchange.advance()
    # A settlement that falls due after that look at the clock would be neither paid nor due again.
    while exchange.timeline.funding_at <= (at := exchange.clock.now()):
        exchange.advance()
    trading, wallet, now_secs = exchange.trading, exchange.wallet, exchange.clock.monotonic()
    clock = exchange.feed.replay_clock
    return ExchangeState(
        at=at,
        account=trading.account,
        orders=tuple(trading.log.orders),
        resting=tuple(order.order_id for order in trading.resting),
        arriving_in_secs={key: secs - now_secs for key, secs in exchange.timeline.arriving_secs.items()},
        fills=tuple(trading.fills),
        bills=tuple(trading.bills),
        funding_btc=wallet.balance_btc,
        transfers=tuple(wallet.transfers.values()),
        deposits=tuple(wallet.deposits.values()),
        withdrawals=tuple(wallet.withdrawals.values()),
        address_count=wallet.address_count,
        money_due_in_secs={key: secs - now_secs for key, secs in wallet.waits().items()},
        adjustments_btc=exchange.adjustments_btc,
        ids=exchange.ids,
        funding_rate=exchange.timeline.funding_rate,
        settled_funding_rate=exchange.timeline.settled_funding_rate,
        seed=wallet.seed,
        price_by_hand=exchange.feed.by_hand,
        replay_at=None if clock is None else clock.at(),
        replay_started=clock is not None and clock.started,
    )


def restore(exchange: "Exchange", state: ExchangeState) -> None:
    """Put *exchange*, which has not been used yet, into *state*.

    The exchange's time never goes back: where it was ahead of the machine's, it still is, until that has
    caught up. What was due in a second still is. Funding settlements between saving and loading are not
    made up for, and none is paid twice.
    """
    exchange.timeline.resume(state.at)
    now_secs = exchange.clock.monotonic()
    trading, wallet, clock = exchange.trading, exchange.wallet, exchange.feed.replay_clock
    trading.restore(state.account, state.orders, state.fills, state.bills)
    for order_id in state.resting:
        trading.rest(order_id)
    exchange.timeline.arriving_secs = {key: now_secs + secs for key, secs in state.arriving_in_secs.items()}
    wallet.balance_btc = state.funding_btc
    wallet.transfers = {each.transfer_id: each for each in state.transfers}
    wallet.deposits = {each.deposit_id: each for each in state.deposits}
    wallet.withdrawals = {each.withdrawal_id: each for each in state.withdrawals}
    wallet.address_count = state.address_count
    wallet.seed = wallet.seed if state.seed is None else state.seed
    wallet.wait_until({key: now_secs + secs for key, secs in state.money_due_in_secs.items()})
    exchange.adjustments_btc = state.adjustments_btc
    exchange.ids.resume(state.ids)
    exchange.timeline.funding_rate = state.funding_rate
    exchange.timeline.settled_funding_rate = state.settled_funding_rate
    if state.price_by_hand is not None:
        exchange.feed.hold(state.price_by_hand)
    if clock is not None and state.replay_at is not None and state.replay_started:
        clock.jump(state.replay_at)
    exchange.timeline.look_at_prices()


class StateFile:
    """A saved state on disk, as JSON; amounts are texts.

    Args:
        path: The file. Beside it stays an empty one with ``.lock`` behind its name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd: int | None = None
        self._left: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<StateFile {self.path} claimed={self._lock_fd is not None}>"

    def exists(self) -> bool:
        """Tell whether there is a state to load."""
        return self.path.exists()

    def claim(self) -> None:
        """Keep the file from every other simulator on this machine, until `release` or the process ends.

        Raises:
            SavedStateError: If another one has claimed it or has written it since the last `release`, its
                folder cannot be written, or it is something else than a file.
        """
        if self.path.exists() and not self.path.is_file():
            raise SavedStateError(self.path, "is no regular file; name another one")
        try:
            lock_fd = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as exc:
            raise SavedStateError(self.path, exc.strerror or str(exc)) from exc
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(lock_fd)
            raise SavedStateError(
                self.path, "another simulator is running on it; stop that one, or give this one another file"
            ) from exc
        if self._left not in {None, self._identity()}:
            os.close(lock_fd)
            raise SavedStateError(self.path, "another simulator has written it meanwhile; start a new one")
        self._lock_fd = lock_fd

    def release(self) -> None:
        """Let others have the file; nothing happens if it is not claimed."""
        if self._lock_fd is not None:
            self._left = self._identity()
            os.close(self._lock_fd)
            self._lock_fd = None

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def save(self, exchange: "Exchange") -> None:
        """Write the state of *exchange*, whole or not at all.

        Raises:
            SavedStateError: If the file cannot be written.
        """
        write_file(self.path, _ADAPTER.dump_json(state_of(exchange), indent=1))

    def load(self, exchange: "Exchange") -> None:
        """Put *exchange* into the saved state.

        Raises:
            SavedStateError: If the file cannot be read, or holds no state.
        """
        try:
            state = _ADAPTER.validate_json(self.path.read_bytes())
        except OSError as exc:
            raise SavedStateError(self.path, exc.strerror or str(exc)) from exc
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise SavedStateError(self.path, f"holds no saved state: {where}: {first['msg']}") from exc
        restore(exchange, state)


def write_file(path: Path, content: bytes) -> None:
    """Write *content* to a file beside *path* and move it there, so that no reader sees a half.

    Raises:
        SavedStateError: If that is not possible.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".okx-simulator-") as folder:
            written = Path(folder, path.name)
            written.write_bytes(content)
            written.replace(path)
    except OSError as exc:
        raise SavedStateError(path, exc.strerror or str(exc)) from exc
