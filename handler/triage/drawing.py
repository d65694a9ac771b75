"""Draws predictions for a reviewer: the highest scores, and a share of draws at random, each with its chance.

What ranks low is reviewed too, if seldom, and with a chance that is known. Without that, no statistics could tell how
good a model is: only what it ranked high would have an outcome.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from store.outcome_tables import Policy

P = TypeVar("P", bound=Hashable)


class Drawn(NamedTuple, Generic[P]):
    """A prediction that was drawn from so many, and the probability of that, given the draws before it."""

    prediction: P
    policy: Policy
    pool: int
    chance: float


def draw(
    top: Sequence[P], shuffled: Sequence[P], pool: int, n: int, share: float, coin: Callable[[], float]
) -> Iterator[Drawn[P]]:
    """Yield up to `n` draws without replacement from a pool of this size.

    `top` has the first `n` predictions of the pool by rank, `shuffled` the first `n` of it in random order. Each draw
    is random with probability `share`, and else takes the highest rank that is left; `coin` returns numbers from 0 to
    below 1. A prediction's chance at a draw is share/pool, and for the highest rank 1 - share more, by whichever rule
    it then came.
    """
    drawn: set[P] = set()
    for left in range(pool, max(0, pool - n), -1):
        first = next(one for one in top if one not in drawn)
        policy = Policy.RANDOM if coin() < share else Policy.RANKED
        # The order is random whatever was drawn, so that its next one is any of those that are left, all alike.
        found = first if policy is Policy.RANKED else next(one for one in shuffled if one not in drawn)
        drawn.add(found)
        yield Drawn(found, policy, left, share / left + (1 - share) * (found == first))
