"""How long to wait before trying again what failed in passing: a server was away, two writes met."""


def backoff_secs(failures: int, *, first_secs: float, max_secs: float, jitter: float) -> float:
    """Return the pause after *failures* in a row: doubled each time, bounded, and spread.

    Args:
        failures: Failures so far, 1 or more.
        first_secs: The longest pause after the first one.
        max_secs: The longest pause ever.
        jitter: A random number from 0 to 1; half of the pause depends on it, so that many who failed
            together do not come back together.

    Returns:
        Seconds: with ``first_secs=0.1`` and ``jitter=1`` it is 0.1, 0.2, 0.4 ... up to *max_secs*.
    """
    longest: float = min(first_secs * 2 ** min(failures - 1, 32), max_secs)
    return longest * (0.5 + 0.5 * jitter)
