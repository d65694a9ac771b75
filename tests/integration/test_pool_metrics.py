"""What Prometheus reads with ENGINE=pool: the handler's port has the counts of every process of its container."""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text

from store import drift
from store.engine import connect
from tests.conftest import Servers, new_database
from tests.images import chunk, png
from tests.processes import descendants
from tests.receiving import SECRET, receiving
from tests.running import REPORT, Platform, eventually, in_the_middle
from tests.scraping import answers, sample, samples

PROCESSES = 2
QUICK = {
    "ENGINE": "pool",
    "WORKER_MODELS": "report_scorer,image_classifier",
    "WORKER_CONCURRENCY": str(PROCESSES),
    "LEASE_SECONDS": "2",
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "WEBHOOK_SECRET": SECRET,
    "WEBHOOK_ALLOW_PRIVATE": "true",
}
REPORTS = {"model": "report_scorer"}
IMAGES = {"model": "image_classifier"}
BATCH = 6_000  # so many that each is a chunk by itself


@pytest.fixture(scope="module")
def pooled(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(new_database(servers, template), "", tmp_path_factory.mktemp("pooled"), **QUICK) as platform:
        yield platform


def told(platform: Platform, name: str, **labels: str) -> float:
    return sample(platform, "handler", name, **labels)


def children(platform: Platform) -> list[psutil.Process]:
    return descendants(platform.handler.pid, "spawn_main")


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.kill()
    _, living = psutil.wait_procs(processes, timeout=10)
    assert not living


def scoring(platform: Platform) -> list[psutil.Process]:
    pids = {worker["pid"] for worker in platform.client.get("/workers").json()}
    return [child for child in children(platform) if child.pid in pids]


def background(platform: Platform) -> psutil.Process:
    (found,) = eventually(lambda: one if len(one := others(platform)) == 1 else None)
    process: psutil.Process = found
    return process


def others(platform: Platform) -> list[psutil.Process]:
    """Return the processes that do not score; while one is replaced, a scorer may not be known as such yet."""
    scorers = {child.pid for child in scoring(platform)}
    return [child for child in children(platform) if child.pid not in scorers]


def wait_until_ready(platform: Platform) -> None:
    """Wait for every process, killed ones' successors too: a start takes seconds, many where others use the machine."""
    eventually(lambda: all_ready(platform), within=90)


def all_ready(platform: Platform) -> bool:
    return told(platform, "millrace_worker_processes", state="ready") == PROCESSES and len(children(platform)) == 3


def counted(platform: Platform) -> tuple[int, int]:
    """Return the tasks that have ended and the predictions, by the counts, when no process is busy any more."""
    eventually(lambda: told(platform, "millrace_worker_processes", state="busy") == 0)
    tasks, predictions = "millrace_tasks_ended_total", "millrace_predictions_total"
    return int(told(platform, tasks)), int(told(platform, predictions))


def stored(platform: Platform) -> tuple[int, int]:
    """Return the same by the database."""
    engine = connect(platform.database_url)
    with engine.connect() as connection:
        tasks = connection.scalar(text("SELECT count(*) FROM tasks WHERE status IN ('SUCCESS', 'FAILURE')"))
        predictions = connection.scalar(
            text("SELECT (SELECT count(*) FROM report_scores) + (SELECT count(*) FROM image_labels)")
        )
    engine.dispose()
    return int(tasks or 0), int(predictions or 0)


def test_what_is_taken_in_scored_and_told_is_counted_once(pooled: Platform) -> None:
    looked_at: list[tuple[str, dict[str, str], float]] = [
        ("millrace_submissions_total", REPORTS | {"priority": "high"}, 1),
        ("millrace_predictions_total", REPORTS | {"version": "1.0.0"}, 3),
        ("millrace_tasks_ended_total", REPORTS | {"status": "SUCCESS"}, 1),
        ("millrace_queue_wait_seconds_count", REPORTS, 1),
        ("millrace_claim_to_finish_seconds_count", REPORTS, 1),
        ("millrace_chunk_tasks_count", REPORTS, 1),
        ("millrace_scores_count", REPORTS, 3),
        ("millrace_webhook_attempts_total", {"outcome": "delivered"}, 1),
        ("millrace_webhook_attempt_duration_seconds_count", {}, 1),
    ]
    before = [told(pooled, name, **labels) for name, labels, _ in looked_at]
    with receiving() as receiver:
        query = {"priority": "high", "callback_url": receiver.url}
        accepted = pooled.client.post("/submit", params=query, json=[REPORT] * 3)
        pooled.finished(accepted.json()["task_id"])
        eventually(lambda: told(pooled, "millrace_webhook_attempts_total", outcome="delivered") > before[-2])
    after = [told(pooled, name, **labels) for name, labels, _ in looked_at]
    assert [now - then for now, then in zip(after, before, strict=True)] == [more for *_, more in looked_at]
    assert told(pooled, "millrace_webhooks_in_flight") == 0


def test_a_task_that_fails_is_counted_by_its_cause(pooled: Platform) -> None:
    cause, ended = {"cause": "bad_input"}, {"status": "FAILURE"}
    broken = b64encode(png(64, 64, chunk(b"IDAT", b"no stream of zlib's"))).decode()
    before = told(pooled, "millrace_task_failures_total", **IMAGES, **cause)
    task = pooled.client.post("/models/image_classifier/submit", json=[{"image": broken}]).json()["task_id"]
    assert pooled.finished(task)["status"] == "FAILURE"
    assert told(pooled, "millrace_task_failures_total", **IMAGES, **cause) == before + 1
    assert told(pooled, "millrace_tasks_ended_total", **IMAGES, **ended) == before + 1
    assert told(pooled, "millrace_task_failures_total", **REPORTS) == 0


def test_the_state_of_every_process_is_shown(pooled: Platform) -> None:
    wait_until_ready(pooled)
    eventually(lambda: told(pooled, "millrace_model_processes", **REPORTS, state="ready") == PROCESSES)
    assert told(pooled, "millrace_model_load_seconds", **REPORTS) > 0
    assert told(pooled, "millrace_worker_cpu_seconds_total") > 0
    assert told(pooled, "millrace_worker_resident_bytes") > 3 * 2**20
    eventually(lambda: told(pooled, "millrace_database_bytes") > 2**20)
    seen = told(pooled, "millrace_rescue_last_round_timestamp_seconds")
    eventually(lambda: told(pooled, "millrace_rescue_last_round_timestamp_seconds") > seen)


def test_a_killed_process_is_ready_no_more_and_its_counts_stay(pooled: Platform) -> None:
    wait_until_ready(pooled)
    before = counted(pooled)
    taken_back = told(pooled, "millrace_rescues_total", kind="taken_back")
    retries = told(pooled, "millrace_task_retries_total", **REPORTS)
    victims = scoring(pooled)
    task_ids: list[str] = []

    def caught() -> bool:
        task_ids.extend(pooled.submit(*[REPORT] * BATCH) for _ in range(PROCESSES))
        for victim in victims:
            victim.suspend()
        if in_the_middle(pooled):
            return True
        for victim in victims:
            victim.resume()
        return False

    eventually(caught, every=0)
    kill(*victims)
    eventually(lambda: told(pooled, "millrace_worker_processes", state="ready") < PROCESSES)
    assert {pooled.finished(task_id)["status"] for task_id in task_ids} == {"SUCCESS"}
    wait_until_ready(pooled)
    eventually(lambda: told(pooled, "millrace_rescues_total", kind="taken_back") > taken_back)
    eventually(lambda: told(pooled, "millrace_task_retries_total", **REPORTS) > retries)
    tasks, predictions = counted(pooled)
    # What a process had stored and not yet counted when it was killed is all that may be missing: a chunk each.
    assert before[0] + len(task_ids) - PROCESSES <= tasks <= before[0] + len(task_ids)
    assert predictions - before[1] == (tasks - before[0]) * BATCH


def test_idle_processes_that_are_killed_lose_no_count_and_none_is_counted_twice(pooled: Platform) -> None:
    wait_until_ready(pooled)
    before, was = counted(pooled), stored(pooled)
    for _ in range(2):
        kill(*scoring(pooled))
        pooled.finished(pooled.submit(REPORT, REPORT))
        wait_until_ready(pooled)
    now, by_the_database = counted(pooled), stored(pooled)
    assert [a - b for a, b in zip(now, before, strict=True)] == [2, 4]
    assert [a - b for a, b in zip(by_the_database, was, strict=True)] == [2, 4]


def test_another_background_process_tells_of_drift(pooled: Platform) -> None:
    day = datetime.now(UTC).date() - timedelta(days=1)
    moved = {"model": "report_scorer", "version": "1.0.0", "column_name": "score", "against": "week", "day": day}
    figures = {"psi": 0.3, "band": 0.05, "jensen_shannon": 0.05, "missing": 0.0, "unseen": 0.0}
    verdict = {"rows": 5_000, "reference_rows": 35_000, "found": True, "findings": ["distribution"]}
    engine = connect(pooled.database_url)
    with engine.begin() as connection:
        drift.keep(connection, [moved | figures | verdict])
    engine.dispose()
    wait_until_ready(pooled)
    seen = told(pooled, "millrace_rescue_last_round_timestamp_seconds")
    old = background(pooled)
    kill(old)
    eventually(lambda: all_ready(pooled) and len(new := others(pooled)) == 1 and new[0].pid != old.pid, within=90)
    eventually(lambda: told(pooled, "millrace_rescue_last_round_timestamp_seconds") > seen)
    column = REPORTS | {"version": "1.0.0", "column": "score", "against": "week"}
    eventually(lambda: ("millrace_drift_found", column) in series(pooled, "handler"))


def series(platform: Platform, program: str) -> list[tuple[str, dict[str, str]]]:
    return [(name, labels) for name, labels, _ in samples(platform, program)]


def test_names_and_labels_are_those_of_the_other_engine(pooled: Platform, platform: Platform) -> None:
    """Run last: what is counted only once it happens has happened by now."""
    webhooks = platform.start_webhooks()
    try:
        eventually(lambda: answers(platform, "webhooks"))
        celery: dict[str, set[frozenset[str]]] = defaultdict(set)
        for program in platform.metrics:
            for name, labels in series(platform, program):
                celery[name].add(frozenset(labels))
    finally:
        webhooks.stop()
    pool: dict[str, set[frozenset[str]]] = defaultdict(set)
    ours = {name for name in celery if name.startswith("millrace_")}
    only_there = {"millrace_requests_refused_total", "millrace_redis_up"}  # shown once there was one; it has no Redis

    def all_told() -> bool:
        for name, labels in series(pooled, "handler"):
            pool[name].add(frozenset(labels))
        return ours - pool.keys() <= only_there

    eventually(all_told)
    assert {name: pool[name] for name in ours & pool.keys()} == {name: celery[name] for name in ours & pool.keys()}
