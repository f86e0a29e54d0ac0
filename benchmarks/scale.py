"""How much of everything a campaign does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The size of a campaign.

    Attributes:
        rounds: Alternating rounds of each side.
        round_secs: How long a side posts in a round.
        posters: Numbers of concurrent posters.
        writer_posters: Concurrent posters of each of several processes.
        ledger_journals: Journals in the filled ledgers, ascending.
        read_rounds: Reads of each kind.
        quiet_read_rounds: The same while nothing is posted.
        read_budget_secs: A kind of read that has taken so long is not done any more.
        traffic_journals: Journals posted elsewhere before each round of reads.
        growth_journals: Journals posted to a filled ledger in a round.
        stored_journals: Journals posted to weigh them.
        withdrawals: Concurrent withdrawals from one wallet.
        listed_journals: Size of the filled ledger that is read into a list.
        subscribers: Numbers of subscriptions that follow the changes of a book.
        paced_journals: Journals posted one by one while they follow, to see how late they are.
        stuck_journals: Journals posted past a subscriber that takes nothing.
    """

    rounds: int
    round_secs: float
    posters: tuple[int, ...]
    writer_posters: int
    ledger_journals: tuple[int, ...]
    read_rounds: int
    quiet_read_rounds: int
    read_budget_secs: float
    traffic_journals: int
    growth_journals: int
    stored_journals: int
    withdrawals: int
    listed_journals: int
    subscribers: tuple[int, ...]
    paced_journals: int
    stuck_journals: int


FULL = Scale(
    rounds=5,
    round_secs=2.0,
    posters=(1, 16, 64, 256),
    writer_posters=64,
    ledger_journals=(10_000, 100_000, 1_000_000),
    read_rounds=150,
    quiet_read_rounds=50,
    read_budget_secs=5.0,
    traffic_journals=50,
    growth_journals=2_000,
    stored_journals=10_000,
    withdrawals=1_000,
    listed_journals=100_000,
    subscribers=(1, 10, 100),
    paced_journals=400,
    stuck_journals=50_000,
)

QUICK = Scale(
    rounds=2,
    round_secs=0.4,
    posters=(1, 16, 64, 256),
    writer_posters=64,
    ledger_journals=(1_000, 5_000, 20_000),
    read_rounds=30,
    quiet_read_rounds=10,
    read_budget_secs=1.0,
    traffic_journals=50,
    growth_journals=1_000,
    stored_journals=1_000,
    withdrawals=200,
    listed_journals=5_000,
    subscribers=(1, 10, 100),
    paced_journals=40,
    stuck_journals=2_000,
)
