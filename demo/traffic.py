"""Submits reports in tasks of many sizes, as a product would, and waits for their scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from millrace_client import Client

from demo.world import KEY, MODEL

SMALLEST, LARGEST = 5, 60
"""Reports in a task."""


class Scored(NamedTuple):
    """What came of a wave of traffic."""

    score: Mapping[str, float]
    """By the report's key."""
    tasks: int
    since: datetime
    """When its first task was submitted, by the server's clock."""


def send(client: Client, reports: Sequence[Mapping[str, Any]], seed: int, advance: Callable[[int], None]) -> Scored:
    """Submit the reports, wait until all are scored, and tell `advance` of so many more. Raises MillraceError."""
    sent = [(batch, client.submit(batch, model=MODEL)) for batch in batches(reports, seed)]
    score: dict[str, float] = {}
    first = sent[0][1].read().submitted_at
    for batch, task in sent:
        state = task.wait(timeout=120)
        score |= dict(zip((report[KEY] for report in batch), state.outputs["score"], strict=True))
        advance(len(batch))
    return Scored(score, len(sent), first)


def batches(reports: Sequence[Mapping[str, Any]], seed: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    random = np.random.default_rng([seed, len(reports)])
    at = 0
    while at < len(reports):
        size = int(random.integers(SMALLEST, LARGEST + 1))
        yield reports[at : at + size]
        at += size
