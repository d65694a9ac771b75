"""Measures what deleting old predictions costs the path: claims and finishes beside retention, and without it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from signal import SIGCONT, SIGSTOP

import numpy as np
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from bench.filling import fill
from bench.site import Servers
from bench.studies import StudyRow, Tell
from migrations.revisions import upgrade
from registry.versions import predictions_of
from serving.catalogue import specs
from serving.contract import Values
from store import submissions, transitions
from store.copying import copy
from store.engine import connect
from store.submissions import Submission

SPEC = specs()["report_scorer"]
CHUNK = 50
"""Tasks of one claim, each with one report."""

TURN = 3.0
"""Seconds for which retention works, and then stands still: a machine is not the same from one minute to the next."""

PAUSE = 0.01
"""Seconds between two chunks."""

LEASE = timedelta(seconds=60)
COLUMNS: dict[str, Values] = {
    "abuse_type": ["MSG"] * CHUNK,
    "report_text_len": [120] * CHUNK,
    "profile_rating": [4.2] * CHUNK,
    "popularity": [3] * CHUNK,
    "lifetime_matches_created": [57] * CHUNK,
    "score": [0.5] * CHUNK,
    "model_version": ["1.0.0"] * CHUNK,
}


@dataclass
class _Took:
    """Seconds of each claim and of each finish."""

    claims: list[float] = field(default_factory=list)
    finishes: list[float] = field(default_factory=list)


def retention(servers: Servers, predictions: int, tell: Tell) -> Iterator[StudyRow]:
    """Yield the latency of claims and of finishes, alone and beside retention, and tell how fast retention deletes."""
    url = servers.new_database("retention")
    upgrade(url)
    begin = time.monotonic()
    fill(url, predictions)
    tell(f"{predictions:,} predictions stored in {time.monotonic() - begin:.0f} s")
    engine = connect(url)
    _work(engine, TURN, _Took())
    alone, beside = _Took(), _Took()
    deleting = 0.0
    with _retain(url) as retain:
        while retain.poll() is None:
            begin = time.monotonic()
            _work(engine, TURN, beside)
            deleting += time.monotonic() - begin
            retain.send_signal(SIGSTOP)
            _work(engine, TURN, alone)
            retain.send_signal(SIGCONT)
    engine.dispose()
    tell(f"deleted in {deleting:.0f} s, rests included: {predictions / deleting:,.0f} predictions/s")
    for name in ("claims", "finishes"):
        for point in (50, 90, 99):
            without, meanwhile = (float(np.percentile(getattr(took, name), point)) * 1000 for took in (alone, beside))
            yield {
                f"of {CHUNK} reports": f"{name}, p{point}",
                "alone, ms": round(without, 2),
                "beside retention, ms": round(meanwhile, 2),
                "ratio": round(meanwhile / without, 2),
            }


def _retain(url: str) -> subprocess.Popen[bytes]:
    settings = {**os.environ, "DATABASE_URL": url, "PREDICTION_RETENTION_DAYS": "30"}
    return subprocess.Popen([sys.executable, "-m", "cli.retain"], env=settings, stdout=subprocess.DEVNULL)


def _work(engine: Engine, seconds: float, took: _Took) -> None:
    """Accept, claim and finish one chunk after another for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ids = [uuid7() for _ in range(CHUNK)]
        with engine.begin() as connection:
            submissions.accept(connection, [Submission(task_id, SPEC.name, b"[]", 1) for task_id in ids])
        begin = time.monotonic()
        with engine.begin() as connection:
            claimed = transitions.claim(connection, SPEC.name, ids, LEASE, max_inputs=CHUNK)
        took.claims.append(time.monotonic() - begin)
        claims = [task.claim for task in claimed]
        begin = time.monotonic()
        with engine.begin() as connection:
            transitions.finish(connection, claims, "1.0.0")
            raw = np.frombuffer(b"".join(claim.task_id.bytes for claim in claims), "V16")
            places: dict[str, Values] = {"task_id": raw, "position": np.zeros(CHUNK, int)}
            copy(connection, predictions_of(SPEC), places | COLUMNS)
        took.finishes.append(time.monotonic() - begin)
        time.sleep(PAUSE)
