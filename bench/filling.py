"""Fills a database with tasks that have been scored long ago, as years of use would, and with those of a week."""

from sqlalchemy import Engine, text

from store.engine import connect
from store.states import FAILURE, REVOKED, SUCCESS
from store.task_events import TaskEvent

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


OF_WEEK = 200_000
"""Tasks of the last week, of clients, in every state that a task can stay in; what is older has succeeded long ago."""

CLIENTS, KEYS = 50, 20_000

_STATUS = f"CASE WHEN n % 10 = 0 THEN '{FAILURE}' WHEN n % 25 = 1 THEN '{REVOKED}' ELSE '{SUCCESS}' END"
_WEEK = text(f"""
WITH made AS MATERIALIZED (
    SELECT n, uuidv7(-at) AS id, now() - at AS at, {_STATUS} AS status
    FROM generate_series(1, :count) AS n CROSS JOIN LATERAL (
        SELECT (:count - n) * interval '7 days' / :count AS at
    ) AS moments
), tasks_made AS (
    INSERT INTO tasks (id, model, model_version, status, attempt, n_inputs, submitted_at, published_at, started_at,
                       finished_at, client, error)
    SELECT id, 'report_scorer', '1.0.0', status, 1, 1, at, at, at, at, 'client-' || n % {CLIENTS},
        CASE status WHEN '{FAILURE}' THEN 'the model has failed' END
    FROM made
), events_made AS (
    INSERT INTO task_events (event, at, by, task_id, n_tasks)
    SELECT '{TaskEvent.REPLAYED}', at, 'somebody', id, 1 FROM made WHERE status = '{FAILURE}'
), outcomes_made AS (
    INSERT INTO outcomes (model, task_id, position, outcome, decided_at, reviewer, everyones)
    SELECT 'report_scorer', id, 0, CASE WHEN n % 4 = 1 THEN 'abuse' ELSE 'not_abuse' END, at + interval '1 minute',
        'reviewer-' || n % 5, true
    FROM made WHERE status = '{SUCCESS}' AND n % 3 = 1
)
INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
                           lifetime_matches_created, report_id, score, model_version, scored_at)
SELECT id, 0, CASE WHEN n % 3 = 0 THEN 'PRF' ELSE 'MSG' END, n % 300, n % 50 / 10.0, n % 6, n % 90,
    'r-' || n % {KEYS}, n % 9973 / 9973.0, '1.0.0', at
FROM made WHERE status = '{SUCCESS}'
""")  # noqa: S608 - constants


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
    _settle(engine)


def fill_week(database_url: str) -> None:
    """Store what clients have sent in the last week, with its outcomes and events."""
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(_WEEK, {"count": OF_WEEK})
    _settle(engine)


def _settle(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()
