"""Fills a database with tasks that have been scored long ago, as years of use would."""

from sqlalchemy import text

from store.engine import connect
from store.states import SUCCESS

BATCH = 1_000
"""Inputs of a filled task, unless it has one."""

SINGLES = 0.1
"""Of the predictions, how many are of tasks with one input, so that there are many tasks as well."""

STEP = 1_000_000
"""Predictions in one transaction."""

# Task ids are ordered by time (UUIDv7): these are of the past two years, one millisecond after another.
_TASKS = text(f"""
WITH made AS MATERIALIZED (
    SELECT number, size, now() - interval '2 years' + number * interval '1 ms' AS at
    FROM (
        SELECT :first + row_number() OVER () AS number, size
        FROM (SELECT 1 AS size FROM generate_series(1, CAST(:singles AS int))
              UNION ALL SELECT CAST(:batch AS int) FROM generate_series(1, CAST(:batches AS int))) AS sizes
    ) AS numbered
), identified AS MATERIALIZED (
    SELECT at, size, CAST(
        lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7000'
        || '8' || lpad(to_hex(number), 15, '0') AS uuid) AS id
    FROM made
), tasks_filled AS (
    INSERT INTO tasks (id, model, model_version, status, attempt, n_inputs, submitted_at, published_at, started_at,
                       finished_at)
    SELECT id, 'report_scorer', '0.0.0', '{SUCCESS}', 1, size, at, at, at, at FROM identified
)
INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
                           lifetime_matches_created, score, model_version, scored_at)
SELECT id, position, CASE WHEN position % 3 = 0 THEN 'PRF' ELSE 'MSG' END, position % 300, position % 50 / 10.0,
       position % 6, position % 90, position % 1000 / 1000.0, '0.0.0', at
FROM identified CROSS JOIN LATERAL generate_series(0, size - 1) AS position
""")  # noqa: S608 - a constant


def fill(database_url: str, predictions: int, tasks: int | None = None) -> None:
    """Store so many predictions (in steps of a million) of about so many tasks, and let PostgreSQL look at them."""
    singles = SINGLES if tasks is None else (tasks - predictions / BATCH) / (predictions * (1 - 1 / BATCH))
    engine = connect(database_url)
    for first in range(0, predictions, STEP):
        size = min(STEP, predictions - first)
        batches = round(size * (1 - singles)) // BATCH
        given = {"first": first, "singles": size - batches * BATCH, "batch": BATCH, "batches": batches}
        with engine.begin() as connection:
            connection.execute(_TASKS, given)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()
