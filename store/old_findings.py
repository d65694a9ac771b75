"""What retention does to what the learning loop has found: evaluations, drift, the gate's reports, and news of these.

Jobs that replayed or cancelled tasks are as old; those of files go after their tasks (old_jobs.py).

The newest finding of each thing stays, however old it is, and so does a report on which a promotion may rest: events
are never deleted. Explanations go with their predictions (old_outcomes.py).
"""

import time
from collections.abc import Mapping

from sqlalchemy import Connection, text

from store.limits import limit_time
from store.retention import Begin
from store.row_retention import REST
from store.version_scores import VALID_DAYS

ROWS = 2_000
"""Findings that one transaction deletes."""

SECONDS = 60.0
"""How long a statement may take."""

TOLD_DAYS = 30
"""How long news of a model stays after its receiver took it, or the last attempt failed. While its row is there it is
noted no second time: see `model_notices.DAYS`, after which nothing is news."""

_AGE = "CAST(:days AS integer) * interval '1 day'"

_OLD: Mapping[str, str] = {
    "evaluations": f"""
        f.computed_at < now() - {_AGE} AND EXISTS (
            SELECT FROM evaluations AS later
            WHERE later.model = f.model AND later.grouping = f.grouping AND later.group_name = f.group_name
                AND later.computed_at > f.computed_at
        )
    """,
    "drift": """
        f.day < current_date - CAST(:days AS integer) AND EXISTS (
            SELECT FROM drift AS later
            WHERE later.model = f.model AND later.version = f.version AND later.column_name = f.column_name
                AND later.against = f.against AND later.day > f.day
        )
    """,
    "gate_reports": f"""
        f.made_at < now() - {_AGE} AND EXISTS (
            SELECT FROM gate_reports AS later
            WHERE later.model = f.model AND later.version = f.version AND later.id > f.id
        ) AND NOT EXISTS (
            SELECT FROM model_events AS e
            WHERE e.model = f.model AND e.version = f.version AND e.event = 'promoted'
                AND e.at BETWEEN f.made_at AND f.made_at + interval '{VALID_DAYS} days'
        )
    """,
    "jobs": f"f.kind <> 'file' AND f.finished_at < now() - {_AGE}",
    "task_events": f"f.task_id IS NULL AND f.job_id IS NULL AND f.at < now() - {_AGE}",
    "event_webhooks": f"""
        f.job_id IS NULL AND f.due_at IS NULL
            AND coalesce(f.delivered_at, f.given_up_at) < now() - interval '{TOLD_DAYS} days'
    """,
}
"""Which rows are too old, by table."""


def count(connection: Connection, days: int) -> dict[str, int]:
    """Return how many findings older than so many days would be deleted, by table."""
    queries = {table: text(f'SELECT count(*) FROM "{table}" AS f WHERE {old}') for table, old in _OLD.items()}
    return {table: int(connection.scalar(query, {"days": days}) or 0) for table, query in queries.items()}


def delete(begin: Begin, days: int) -> dict[str, int]:
    """Delete the findings that are older than so many days, and return how many, by table.

    Each step is a short transaction, with a rest after it. Raises DBAPIError when a statement takes too long.
    """
    return {table: _delete(begin, table, days) for table in _OLD}


def _delete(begin: Begin, table: str, days: int) -> int:
    step = text(f"""
        DELETE FROM "{table}" WHERE ctid = ANY(ARRAY(
            SELECT f.ctid FROM "{table}" AS f WHERE {_OLD[table]} LIMIT {ROWS} FOR UPDATE OF f SKIP LOCKED
        ))
    """)
    deleted = 0
    while True:
        start = time.monotonic()
        with begin() as connection:
            limit_time(connection, SECONDS)
            found = connection.execute(step, {"days": days}).rowcount
        deleted += found
        if found < ROWS:
            return deleted
        time.sleep(REST * (time.monotonic() - start))
