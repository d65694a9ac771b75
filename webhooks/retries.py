"""When a failed delivery is retried."""

import random

MINUTE, HOUR = 60.0, 3600.0

DELAYS = (5.0, 30.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Seconds after each attempt: the specification's example, which outlasts a weekend, with a first one for a restart."""

JITTER = 0.2


def next_attempt(attempt: int, asked: float | None = None) -> float | None:
    """Return the seconds from the failure of this attempt (from 1) to the next, or None after the last.

    A receiver that asks for more time (Retry-After: `asked` seconds) gets it, up to a day.
    """
    if attempt > len(DELAYS):
        return None
    delay = DELAYS[attempt - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, protects nothing
    return max(delay, min(asked or 0, DELAYS[-1]))
