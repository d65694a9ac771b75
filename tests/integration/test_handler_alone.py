"""What the handler does when something is missing: the worker, Redis, PostgreSQL, the schema, a commit."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import httpx
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, text

from migrations.revisions import config, upgrade
from tests.conftest import as_app
from tests.running import REPORT, ROOT, eventually, free_port, handler


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def closed(scheme: str) -> str:
    return f"{scheme}://millrace:millrace@127.0.0.1:{free_port()}/0"


def test_without_a_worker_tasks_wait_and_the_handler_says_so(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with handler(database_url, redis_url, tmp_path, PREDICT_WAIT_SECONDS="0.5") as alone:
        ready = alone.client.get("/health/ready")
        assert ready.status_code == 200, "without workers, submissions are taken in all the same"
        assert set(ready.json()["models"].values()) == {0}
        assert ready.json()["postgres"] == ready.json()["schema_revision"] == "ok"

        task_id = alone.submit(REPORT)
        began = time.monotonic()
        held = alone.client.get(f"/task/{task_id}", headers={"Prefer": "wait=1"})
        assert time.monotonic() - began >= 1
        assert held.json()["status"] == "PENDING"
        assert "score" not in held.json()
        assert held.headers["preference-applied"] == "wait=1"

        began = time.monotonic()
        predicted = alone.client.post("/predict", json=REPORT)
        assert time.monotonic() - began >= 0.5
        assert predicted.status_code == 202
        assert predicted.json()["status"] == "PENDING"
        assert alone.client.get(predicted.headers["location"]).status_code == 200

        # A worker that comes later wakes whoever still waits, at once.
        ended: list[tuple[float, str]] = []

        def wait() -> None:
            status = "PENDING"
            while status == "PENDING":  # on a busy machine a worker takes longer to start than anybody may wait
                began = time.monotonic()
                answer = httpx.get(f"{alone.url}/task/{task_id}", headers={"Prefer": "wait=60"}, timeout=90)
                status = answer.json()["status"]
                ended.append((time.monotonic() - began, status))

        waiting = Thread(target=wait, daemon=True)
        waiting.start()
        worker = alone.start_worker()
        try:
            waiting.join(240)
        finally:
            worker.stop()
        seconds, status = ended[-1]
        assert status == "SUCCESS"
        assert seconds < 58, "it was not told, its time was over"


async def test_many_requests_wait_without_asking_postgres(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    transactions = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    with handler(database_url, redis_url, tmp_path) as alone, engine.connect() as connection:
        task_id = alone.submit(REPORT)
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=alone.url, timeout=120, limits=limits) as client:
            waiting = [
                asyncio.create_task(client.get(f"/task/{task_id}", headers={"Prefer": "wait=55"})) for _ in range(200)
            ]
            await asyncio.sleep(3)
            before = connection.execute(transactions).scalar_one()
            connection.rollback()
            for _ in range(30):
                assert (await client.get("/heartbeat")).status_code == 200
                await asyncio.sleep(0.1)
            asked = connection.execute(transactions).scalar_one() - before
            assert asked < 400, "each of the 200 asks every second"  # their first look may be counted late
            assert (await client.post("/submit", json=[REPORT])).status_code == 202, "the pool is exhausted"
            assert not any(request.done() for request in waiting), "meanwhile they were answered"
            assert (await client.post(f"/task/{task_id}/cancel")).status_code == 200
            answered = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answered} == {200}
    assert {answer.json()["status"] for answer in answered} == {"REVOKED"}


def test_readiness_says_that_the_schema_is_old_or_missing(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    with handler(database_url, redis_url, tmp_path) as alone:
        for change, words in (
            ("UPDATE alembic_version SET version_num = '0001'", "0001, this handler needs"),
            ("DROP TABLE alembic_version", "empty, this handler needs"),
        ):
            with engine.begin() as connection:
                connection.execute(text(change))
            ready = alone.client.get("/health/ready")
            assert ready.status_code == 503
            assert words in ready.json()["schema_revision"]
            assert "alembic upgrade head" in ready.json()["schema_revision"]


def test_on_a_newer_schema_the_release_before_migrates_nothing_and_works_while_all_that_it_uses_is_there(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    def do(change: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(change))

    do("UPDATE alembic_version SET version_num = '9999'")
    do("ALTER TABLE tasks ADD later_release integer")
    do("DROP INDEX tasks_idempotency_key")  # in place of another, perhaps
    upgrade(database_url, as_app(database_url))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    with pytest.raises(CommandError, match="9999"):
        command.check(config(database_url))
    with handler(database_url, redis_url, tmp_path) as alone:
        assert alone.client.get("/health/ready").status_code == 200
        do("ALTER TABLE report_scores RENAME score TO points")
        ready = eventually(lambda: (answer := alone.client.get("/health/ready")).status_code == 503 and answer)
        assert (
            "9999 is newer than this handler, which needs column report_scores.score" in ready.json()["schema_revision"]
        )


def test_readiness_names_what_a_schema_lacks_that_only_claims_its_revision(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    with handler(database_url, redis_url, tmp_path) as alone:
        lacking = []
        for change, words in (
            ("DROP INDEX tasks_idempotency_key", "index tasks_idempotency_key"),
            ("ALTER TABLE report_scores DROP CONSTRAINT report_scores_pkey", "primary key of report_scores"),
            ("ALTER TABLE report_scores RENAME score TO points", "column report_scores.score"),
            ("ALTER TABLE tasks RENAME deadline TO later", "column tasks.deadline"),
            ("DROP TABLE webhooks", "table webhooks"),
        ):
            with engine.begin() as connection:
                connection.execute(text(change))
            lacking.append(words)
            ready = alone.client.get("/health/ready")
            assert (ready.status_code, ready.json()["ready"]) == (503, False)
            assert all(words in ready.json()["schema_revision"] for words in lacking)
            assert "alembic stamp" in ready.json()["schema_revision"]


def test_without_postgres_the_handler_starts_and_asks_to_come_back(redis_url: str, tmp_path: Path) -> None:
    with handler(closed("postgresql"), redis_url, tmp_path) as alone:
        ready = alone.client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["postgres"] == "unreachable"
        for refused in (
            alone.client.post("/submit", json=[REPORT]),
            alone.client.post("/predict", json=REPORT),
            alone.client.get("/tasks"),
            alone.client.get("/models"),
            alone.client.get("/task/019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"),
        ):
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"] == "5"
            assert refused.json()["type"] == "urn:millrace:problem:store-unavailable"
            assert "try again in 5 s" in refused.json()["detail"]
        assert alone.client.post("/submit", json=[]).status_code == 503, "the database has the models"
        assert alone.client.get("/health/live").status_code == 200
    assert "Traceback" not in (tmp_path / "handler.log").read_text()


def test_without_redis_a_submission_is_as_durable_and_as_fast(
    database_url: str, tmp_path: Path, engine: Engine
) -> None:
    with handler(database_url, closed("redis"), tmp_path) as alone:
        task_ids = [alone.submit(REPORT) for _ in range(20)]
        assert count(engine, "tasks") == count(engine, "task_inputs") == 20
        assert alone.client.get(f"/task/{task_ids[0]}").json()["status"] == "PENDING"
        held = alone.client.get(f"/task/{task_ids[0]}", headers={"Prefer": "wait=1"})
        assert held.headers["preference-applied"] == "wait=1"


def test_a_202_is_never_sent_before_the_commit(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    """The trigger runs inside COMMIT, after the statement itself has succeeded."""
    with engine.begin() as connection:
        connection.execute(
            text("""
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN IF NEW.n_inputs = 3 THEN RAISE 'not this one'; END IF; RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW EXECUTE FUNCTION refuse();
            """)
        )
    with handler(database_url, redis_url, tmp_path) as alone:
        refused = alone.client.post("/submit", json=[REPORT] * 3)
        assert refused.status_code == 500
        assert refused.json()["type"] == "urn:millrace:problem:internal-error"
        assert "atabase" not in refused.json()["detail"]
        log = (tmp_path / "handler.log").read_text()
        assert "request_failed" in log
        assert "DBAPIError: not this one" in log
        assert "group_commit.py" in log, "the traceback"
        assert count(engine, "tasks") == count(engine, "task_inputs") == 0
        alone.submit(REPORT)
        assert count(engine, "tasks") == 1


async def test_a_submission_that_cannot_be_stored_harms_none_of_its_group(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tasks ADD CHECK (n_inputs <> 3)"))
    with handler(database_url, redis_url, tmp_path) as alone:
        async with httpx.AsyncClient(base_url=alone.url, timeout=30) as client:
            sizes = [1, 2, 3] * 20
            sent = await asyncio.gather(*(client.post("/submit", json=[REPORT] * size) for size in sizes))
        assert [answer.status_code for answer in sent] == [500 if size == 3 else 202 for size in sizes]
        assert count(engine, "tasks") == 40


def test_reads_that_wait_hold_up_no_commit(database_url: str, redis_url: str, tmp_path: Path, engine: Engine) -> None:
    with handler(database_url, redis_url, tmp_path, DATABASE_POOL_SIZE="1") as alone:
        with engine.begin() as holder:
            holder.execute(text("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE"))
            reading = Thread(target=lambda: httpx.get(f"{alone.url}/workers", timeout=30))
            reading.start()
            time.sleep(1.5)  # by then that, or the look at the backlog, has the one connection
            submitted = alone.client.post("/submit", json=[REPORT])
        reading.join()
        assert submitted.status_code == 202


def test_an_odd_answer_of_postgres_does_not_end_the_look_at_the_backlog(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tasks ALTER n_inputs DROP NOT NULL"))
    with handler(database_url, redis_url, tmp_path) as alone:
        task_id = alone.submit(REPORT)
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET n_inputs = NULL WHERE id = :id"), {"id": task_id})
        log = tmp_path / "handler.log"
        eventually(lambda: log.read_text().count("backlog_unknown") > 1)


PROGRAM = """
import asyncio
from handler.background import running

async def ends() -> None:
    raise ValueError("nobody knows why")

async def goes_on() -> None:
    await asyncio.sleep(60)

async def main() -> None:
    async with running([ends, goes_on]):
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_handler_that_has_lost_a_part_of_itself_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert ended.returncode == -signal.SIGTERM, ended.stderr
    assert "job_ended" in ended.stdout
    assert "nobody knows why" in ended.stdout + ended.stderr
