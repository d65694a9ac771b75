"""`python -m cli.rescoring.shadow MODEL VERSION SHARE REST`: one shadow, in a process that may fail alone.

It scores a share of the predictions that come in, a little later than the live version and from the same stored inputs,
so it needs no queue, and no task knows of it. A line on its standard output says that it is alive.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from cli.database import database
from cli.rescoring import loading, scoring
from cli.rescoring.scoring import Chosen, RescoreProgress
from registry import versions

INTERVAL = 1.0
"""Seconds between two looks at what has come in."""

OVERLAP = timedelta(minutes=1)
"""A prediction's time is that of its transaction's begin, and it is seen when that has committed."""

NICE = 10
"""How much the live programs go before it, where they share a machine."""

PARTS = 1_000_000
"""A share is a number of so many parts."""

_SHARE = (
    "mod(CAST(hashtextextended(CAST(p.task_id AS text) || p.position, 0) AS numeric) + 9223372036854775808, :parts)"
)

_SINCE = text("""
SELECT max(at) FROM model_events WHERE model = :model AND version = :version AND event = 'shadowed'
""")


def follow(engine: Engine, model: str, version: str, share: float, rest: float) -> Iterator[RescoreProgress]:
    """Score what comes in for ever; yield after each batch and each look. Raises NotLoadable, NotComparable."""
    with engine.connect() as connection:
        registry = versions.read(connection)
        found = registry.version(model, version)
        if found is None:
            raise loading.NotLoadable(f"there is no {model}@{version}")
        loaded = loading.load(connection, found)
        since = connection.scalar(_SINCE, {"model": model, "version": version})
    while True:
        with engine.connect() as connection:
            now = _now(connection)
        chosen = Chosen(
            f"p.scored_at >= :since AND p.model_version <> :own AND {_SHARE} < :below",
            {"since": since or now, "own": version, "parts": PARTS, "below": round(share * PARTS)},
            scoring.taken_by(registry, found),
            most=False,
        )
        yield from scoring.rescore(engine, loaded, chosen, rest, again=False)
        yield RescoreProgress()
        since = max(since or now, now - OVERLAP)
        time.sleep(INTERVAL)


def _now(connection: Connection) -> datetime:
    found: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return found


def main(model: str, version: str, share: float, rest: float, memory: int) -> None:
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with database("shadow") as engine:
        try:
            for batch in follow(engine, model, version, share, rest):
                sys.stdout.write(f"{batch.scored} {batch.failed}\n")
                sys.stdout.flush()
        except (loading.NotLoadable, scoring.NotComparable) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
