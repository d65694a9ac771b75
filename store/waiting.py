"""Tasks that wait: those whose message is lost, those that starve, and models that no worker has loaded."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from store.claims import WaitingTask
from store.states import PENDING, STARTED, Priority, status_in

# A look at the index for each model, however many tasks wait.
_MODELS_WITHOUT_WORKER = text(f"""
WITH RECURSIVE waiting AS (
    (SELECT model FROM tasks WHERE {status_in(PENDING)} ORDER BY model LIMIT 1)
    UNION ALL
    SELECT (
        SELECT tasks.model FROM tasks WHERE {status_in(PENDING)} AND tasks.model > waiting.model
        ORDER BY model LIMIT 1
    ) FROM waiting WHERE waiting.model IS NOT NULL
)
SELECT model FROM waiting WHERE model IS NOT NULL
    AND NOT EXISTS (SELECT FROM workers WHERE workers.model = waiting.model AND seen_at > now() - :alive)
""")


def models_without_worker(connection: Connection, *, alive: timedelta) -> list[str]:
    """Return the models for which tasks wait, and which no worker has loaded."""
    return list(connection.execute(_MODELS_WITHOUT_WORKER, {"alive": alive}).scalars())


# Each lane of a priority is first in, first out, and a task may be in any of them. One that waits although a task
# published well after it is being scored has lost its message, if each lane's next message is as late; so has one that
# was published before all lanes were seen empty.
_REPUBLISH = text(f"""
WITH unpublished AS (
    SELECT id FROM tasks WHERE {status_in(PENDING)} AND model = :model AND priority = :priority AND needs_message
    LIMIT :limit FOR UPDATE SKIP LOCKED
), lost AS (
    SELECT id FROM tasks
    WHERE {status_in(PENDING)} AND model = :model AND priority = :priority AND published_at < now() - :patience
    AND published_at <= greatest(now() - CAST(:emptied AS interval), (
        SELECT max(least(overtaking.published_at, (SELECT min(published_at) FROM tasks WHERE id = ANY(:following))))
            - :patience FROM tasks AS overtaking
        WHERE overtaking.{status_in(STARTED)} AND overtaking.model = :model AND overtaking.priority = :priority
    ))
    ORDER BY published_at LIMIT :limit - (SELECT count(*) FROM unpublished) FOR UPDATE SKIP LOCKED
)
UPDATE tasks SET published_at = now(), needs_message = false
WHERE id IN (SELECT id FROM unpublished UNION ALL SELECT id FROM lost)
RETURNING id, model, n_inputs, priority, client
""")


def republish(
    connection: Connection,
    model: str,
    priority: int,
    *,
    emptied: timedelta | None,
    following: Sequence[UUID],
    patience: timedelta,
    limit: int,
) -> list[WaitingTask]:
    """Return the tasks that need a message or have lost theirs for longer than `patience`, marked as published now.

    `emptied`: how long ago their queue was last seen empty; None: never. `following`: the tasks of the messages that
    are taken next from its lanes. Backlog alone is no reason: under overload most tasks wait long, and each has its
    message.
    """
    values = {"model": model, "priority": priority, "emptied": emptied, "patience": patience, "limit": limit}
    rows = connection.execute(_REPUBLISH, values | {"following": list(following)})
    return [WaitingTask(*row) for row in rows]


_STARVING = text(f"""
SELECT id, model, n_inputs FROM (
    SELECT id, model, n_inputs, sum(n_inputs) OVER (ORDER BY published_at, id) AS inputs FROM (
        SELECT id, model, n_inputs, published_at FROM tasks
        WHERE {status_in(PENDING)} AND model = :model AND priority = :priority AND published_at < now() - :patience
        ORDER BY published_at LIMIT :limit
    ) AS waiting
) AS counted
WHERE (inputs <= :inputs OR inputs = n_inputs)
    AND NOT EXISTS (SELECT FROM tasks WHERE id = ANY(:before) AND {status_in(PENDING)})
""")


def starving(
    connection: Connection,
    model: str,
    priority: int,
    *,
    patience: timedelta,
    limit: int,
    inputs: int,
    before: Sequence[UUID],
) -> list[WaitingTask]:
    """Return the longest-waiting tasks of a priority that starves, to be published before all others.

    They have up to so many `inputs` together, unless the first alone has more. None are returned while those that
    came `before` still wait. Nothing is written: a task keeps the priority that its client asked for, and the message
    that it has.
    """
    values = {"model": model, "priority": priority, "patience": patience, "limit": limit, "inputs": inputs}
    rows = connection.execute(_STARVING, values | {"before": list(before)})
    return [WaitingTask(row.id, row.model, row.n_inputs, Priority.HIGH) for row in rows]


def any_longer_than(connection: Connection, time: timedelta, models: Sequence[str]) -> bool:
    """Return whether a task of these models was published so long ago, and still waits."""
    late = f"{status_in(PENDING)} AND model = ANY(:models) AND published_at < now() - :time"
    found = connection.scalar(text(f"SELECT EXISTS (SELECT FROM tasks WHERE {late})"), {"models": models, "time": time})
    return bool(found)
