"""What retention and erasure do to jobs: an old one goes after its tasks, and a reject forgets what it quotes."""

from datetime import date

from sqlalchemy import Connection, text

_DELETE = text("""
DELETE FROM jobs
WHERE model = :model AND finished_at < :before
    AND NOT EXISTS (SELECT FROM job_parts JOIN tasks ON tasks.id = task_id WHERE job_id = jobs.id)
""")


def delete(connection: Connection, model: str, before: date) -> int:
    """Delete the model's jobs that ended before this day (UTC) and of which no task is left, and return how many."""
    return connection.execute(_DELETE, {"model": model, "before": before}).rowcount


_ERASE = text("""
UPDATE job_rejects SET errors = (
    SELECT jsonb_agg(jsonb_build_object('pointer', error -> 'pointer', 'detail', 'erased'))
    FROM jsonb_array_elements(errors) AS error
)
FROM jobs
WHERE jobs.id = job_id AND model = :model AND position(CAST(:key AS text) IN CAST(errors AS text)) > 0
""")


def erase_quotes(connection: Connection, model: str, key: str) -> int:
    """Take the details out of the model's rejects that quote this key, and return how many."""
    return connection.execute(_ERASE, {"model": model, "key": key}).rowcount
