"""The load as a worker's autoscaler sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from store.states import PENDING, STARTED, status_in
from store.workers import ALIVE


@dataclass(frozen=True)
class ModelLoad:
    """At a moment of the database's clock, in seconds; arrived, waiting and done are inputs.

    `busy_seconds` were spent on what is done; `hosts` have the models loaded, `ready_here` processes of this one have.
    """

    at: float
    arrived: int
    waiting: int
    done: int
    busy_seconds: float
    hosts: int
    ready_here: int


_LOAD = text(f"""
WITH living AS (
    SELECT id, host, inputs_done, busy_seconds FROM workers WHERE model = ANY(:models) AND seen_at > now() - :alive
)
SELECT
    extract(epoch FROM now()) AS at,
    (SELECT coalesce(sum(n_inputs), 0) FROM tasks WHERE model = ANY(:models) AND {status_in(PENDING)}) AS waiting,
    (SELECT coalesce(sum(n_inputs), 0) FROM tasks WHERE model = ANY(:models) AND {status_in(STARTED)}) AS started,
    (SELECT coalesce(sum(inputs_done), 0) FROM workers WHERE model = ANY(:models)) AS done,
    (SELECT coalesce(sum(busy_seconds), 0) FROM workers WHERE model = ANY(:models)) AS busy_seconds,
    (SELECT count(DISTINCT host) FROM living) AS hosts,
    (SELECT count(DISTINCT id) FROM living WHERE host = :host) AS ready_here
""")


def observe(connection: Connection, models: Sequence[str], host: str) -> ModelLoad:
    """Look at these models' load, as a worker on this host."""
    row = connection.execute(_LOAD, {"models": list(models), "host": host, "alive": ALIVE}).one()
    arrived = int(row.done) + int(row.waiting) + int(row.started)  # whatever has come is in one of the three
    return ModelLoad(
        float(row.at),
        arrived,
        int(row.waiting),
        int(row.done),
        float(row.busy_seconds),
        int(row.hosts),
        int(row.ready_here),
    )
