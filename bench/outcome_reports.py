"""Measures outcomes: a request of 10,000, a file of a million and the client's memory, the view, and leases."""

import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import httpx
from sqlalchemy import text

from bench.site import Servers, millrace
from bench.studies import StudyRow, Tell
from store.engine import connect
from store.states import SUCCESS

REQUEST = 10_000
ROUNDS = 7
AT = "2026-01-31T09:00:00Z"

_PREDICTIONS = text(f"""
WITH made AS MATERIALIZED (
    SELECT n, now() - interval '30 days' + n * interval '20 ms' AS at FROM generate_series(1, CAST(:count AS int)) AS n
), identified AS MATERIALIZED (
    SELECT n, at, CAST(
        lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') || '7000'
        || '8' || lpad(to_hex(n), 15, '0') AS uuid) AS id
    FROM made
), tasks_made AS (
    INSERT INTO tasks (id, model, model_version, status, attempt, n_inputs, submitted_at, published_at, finished_at)
    SELECT id, 'report_scorer', '0.0.0', '{SUCCESS}', 1, 1, at, at, at FROM identified
)
INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
                           lifetime_matches_created, report_id, score, model_version, scored_at)
SELECT id, 0, CASE WHEN n % 3 = 0 THEN 'PRF' ELSE 'MSG' END, n % 300, n % 50 / 10.0, n % 6, n % 90, 'r-' || n,
       random(), '0.0.0', at
FROM identified
""")  # noqa: S608 - a constant


def outcomes(servers: Servers, predictions: int, rows: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield what each takes, beside so many predictions and with outcomes of the newest rows."""
    with millrace(servers, "outcomes", _filled(predictions)) as site, httpx.Client(timeout=60) as client:
        at = f"http://{site.target.host}:{site.target.port}"
        tell(f"{predictions:,} predictions stored")

        def send(reviewer: int) -> None:
            given = [_outcome(predictions - n, f"reviewer {reviewer}") for n in range(REQUEST)]
            body = json.dumps(given).encode()
            headers = {"Content-Type": "application/json"}
            times.append(_seconds(lambda: client.post(f"{at}/outcomes", content=body, headers=headers)))

        def lease(number: int) -> None:
            asked = {"model": "report_scorer", "n": 20, "reviewer": f"reviewer {number}"}
            times.append(_seconds(lambda: client.post(f"{at}/triage/leases", json=asked)))

        for name, do in ((f"request of {REQUEST:,}, ms", send), ("lease of 20, ms", lease)):
            times: list[float] = []
            for number in range(ROUNDS):
                do(number)
            yield {"": name, "median": round(median(times) * 1000), "most": round(max(times) * 1000)}
        file = _file(servers.folder / "outcomes.csv", predictions, rows)
        seconds = _seconds(lambda: _add(file, at))
        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        yield {"": f"file of {rows:,} rows, s", "median": round(seconds, 1)}
        yield {"": "the client's memory, MB", "median": round(megabytes)}
        engine = connect(site.environment["DATABASE_URL"])
        with engine.connect() as connection:
            query = text("SELECT count(*) FROM report_scorer_outcomes")
            seconds = _seconds(lambda: connection.execute(query).one())
        engine.dispose()
        yield {"": "every outcome that stands, s", "median": round(seconds, 1)}


def _filled(predictions: int) -> Callable[[str], None]:
    def fill(url: str) -> None:
        engine = connect(url)
        with engine.begin() as connection:
            connection.execute(_PREDICTIONS, {"count": predictions})
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()

    return fill


def _outcome(number: int, reviewer: str) -> dict[str, str]:
    kind = "abuse" if number % 4 == 0 else "not_abuse"
    return {"model": "report_scorer", "key": f"r-{number}", "outcome": kind, "decided_at": AT, "reviewer": reviewer}


def _file(path: Path, predictions: int, rows: int) -> Path:
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_outcome(1, ""))
        writer.writerows(_outcome(predictions - n % predictions, "file").values() for n in range(rows))
    return path


def _add(file: Path, at: str) -> None:
    command = [sys.executable, "-m", "millrace_client.cli.main", "outcomes", "add", str(file), "--quiet"]
    subprocess.run(command, env={**os.environ, "MILLRACE_URL": at}, check=True, stdout=subprocess.DEVNULL)


def _seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    answer = do()
    if isinstance(answer, httpx.Response):
        answer.raise_for_status()
    return time.perf_counter() - start
