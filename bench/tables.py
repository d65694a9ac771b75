"""Compares two tables of predictions: a plain one, and one with a partition a month by the range of task_id.

Task ids begin with their time (UUIDv7), so a range of them is a span of time, and the key stays (task_id, position).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event, Thread
from typing import Any

import numpy as np
import psycopg2  # type: ignore[import-untyped]

from bench.site import Servers
from bench.studies import StudyRow, Tell

MONTHS = 12
MONTH = 30 * 24 * 3600 * 1000
"""Milliseconds."""
INPUTS = 100
"""Predictions of a task."""
STEP = 10_000
"""Rows of one DELETE."""

COLUMNS = """
    task_id uuid NOT NULL, position integer NOT NULL, abuse_type text NOT NULL, report_text_len integer NOT NULL,
    profile_rating double precision NOT NULL, popularity integer NOT NULL, report_id text,
    score double precision NOT NULL, model_version text NOT NULL, scored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, position)
"""
ROWS = """
    SELECT (lpad(to_hex(t::bigint * {every}), 12, '0') || '7000' || lpad(to_hex(t), 16, '8'))::uuid, p,
         'MSG', 120, 4.2, 3, 'r-' || t || '-' || p, 0.5, '1.0.0'
    FROM generate_series({start}, {stop}) AS t, generate_series(0, {inputs} - 1) AS p
"""
INSERT = """
    INSERT INTO predictions (task_id, position, abuse_type, report_text_len, profile_rating, popularity, report_id,
        score, model_version)
"""


def tables(servers: Servers, predictions: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield for each table what it costs to write, to read and to forget its older half; writes go on meanwhile."""
    for design in ("plain", "partitioned"):
        url = servers.new_database(f"tables_{design}")
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            yield {"table": design, **_measure(url, cursor, design, predictions // INPUTS)}
        tell(f"{design}: done")


def _measure(url: str, cursor: Any, design: str, n_tasks: int) -> StudyRow:
    is_plain = design == "plain"
    cursor.execute(f"CREATE TABLE predictions ({COLUMNS})" + ("" if is_plain else " PARTITION BY RANGE (task_id)"))
    if not is_plain:
        for month in range(MONTHS):
            low, high = (f"{(month + end) * MONTH:012x}" for end in (0, 1))
            span = f"FROM ('{low}{'0' * 20}') TO ('{high}{'0' * 20}')"
            cursor.execute(f"CREATE TABLE predictions_{month} PARTITION OF predictions FOR VALUES {span}")
    every = MONTHS * MONTH // (n_tasks + 1_000_000)  # room at the end for what is written meanwhile
    begin = time.monotonic()
    for start in range(0, n_tasks, 10_000):
        cursor.execute(f"{INSERT} {_rows(start, min(start + 10_000, n_tasks) - 1, every)}")
    filled = time.monotonic() - begin
    cursor.execute("VACUUM (ANALYZE) predictions")
    alone = _writes(url, n_tasks, every, lambda: time.sleep(5))
    reads = []
    for number in np.random.default_rng(1).integers(0, n_tasks, 300).tolist():
        cursor.execute(f"SELECT task_id FROM ({_rows(number, number, every)}) AS f (task_id) LIMIT 1")  # noqa: S608
        (task_id,) = cursor.fetchone()
        begin = time.monotonic()
        cursor.execute("SELECT array_agg(score ORDER BY position) FROM predictions WHERE task_id = %s", [task_id])
        cursor.fetchone()
        reads.append(time.monotonic() - begin)
    begin = time.monotonic()
    half = f"{MONTHS // 2 * MONTH:012x}{'0' * 20}"
    meanwhile = _writes(url, n_tasks + 500_000, every, lambda: _forget(cursor, half, is_plain=is_plain))
    return {
        "filled, rows/s": round(n_tasks * INPUTS / filled),
        "write of 1,000, p50 ms": round(float(np.median(alone)) * 1000, 1),
        "read of a task, p50 ms": round(float(np.median(reads)) * 1000, 2),
        "half forgotten, s": round(time.monotonic() - begin, 1),
        "writes meanwhile p50 ms": round(float(np.median(meanwhile)) * 1000, 1),
        "p99 ms": round(float(np.percentile(meanwhile, 99)) * 1000, 1),
    }


def _rows(start: int, stop: int, every: int) -> str:
    return ROWS.format(every=every, start=start, stop=stop, inputs=INPUTS)


def _writes(url: str, first: int, every: int, meanwhile: Callable[[], None]) -> list[float]:
    """Write 1,000 predictions after another until `meanwhile` is over, and return the seconds that each took."""
    over, took = Event(), []

    def write() -> None:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            cursor, number = connection.cursor(), first
            while not over.is_set():
                begin = time.monotonic()
                cursor.execute(f"{INSERT} {_rows(number, number + 9, every)}")
                took.append(time.monotonic() - begin)
                number += 10
                time.sleep(0.02)

    writing = Thread(target=write)
    writing.start()
    try:
        meanwhile()
    finally:
        over.set()
        writing.join()
    return took


def _forget(cursor: Any, until: str, *, is_plain: bool) -> None:
    if not is_plain:
        for month in range(MONTHS // 2):
            cursor.execute(f"ALTER TABLE predictions DETACH PARTITION predictions_{month} CONCURRENTLY")
            cursor.execute(f"DROP TABLE predictions_{month}")
        return
    deleted = 1
    while deleted:
        cursor.execute(
            "DELETE FROM predictions WHERE ctid = ANY (ARRAY(SELECT ctid FROM predictions WHERE task_id < %s "
            "ORDER BY task_id LIMIT %s))",
            [until, STEP],
        )
        deleted = cursor.rowcount
