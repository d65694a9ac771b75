"""Overload is said, and stopping loses nothing."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from millrace_client.cli.main import main
from sqlalchemy import Engine, text

from tests.running import REPORT, Platform, eventually

BATCH = 1_000
QUICK = {"RESCUE_INTERVAL_SECONDS": "0.3", "REPUBLISH_AFTER_SECONDS": "1"}


@pytest.fixture
def small(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A platform that lets 5 batches wait."""
    with Platform(database_url, redis_url, tmp_path, **QUICK, MAX_BACKLOG_INPUTS=str(5 * BATCH)) as platform:
        yield platform


def submit(platform: Platform, inputs: int = BATCH) -> httpx.Response:
    return platform.client.post("/submit", json=[REPORT] * inputs)


class TestBackpressure:
    def test_past_the_backlog_submissions_are_refused_and_reading_goes_on(self, small: Platform) -> None:
        small.worker.stop()
        answers = [submit(small) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [202] * 5 + [503] * 3
        refused = answers[-1]
        assert refused.json()["type"] == "urn:millrace:problem:backlog-full"
        assert 1 <= int(refused.headers["retry-after"]) <= 300
        assert small.client.post("/submit", json=["unread"]).status_code == 503
        assert small.client.get("/tasks").status_code == 200
        assert small.client.get(f"/task/{answers[0].json()['task_id']}").json()["status"] == "PENDING"

        small.worker = small.start_worker()
        for answer in answers[:5]:
            assert small.finished(answer.json()["task_id"])["status"] == "SUCCESS"
        eventually(lambda: submit(small).status_code == 202)

    def test_submissions_at_once_fill_the_backlog_exactly(self, small: Platform) -> None:
        small.worker.stop()
        for _ in range(3):
            with ThreadPoolExecutor(16) as clients:
                answers = list(clients.map(lambda _: submit(small), range(32)))
            assert {answer.status_code for answer in answers} <= {202, 503}
        eventually(lambda: submit(small).status_code == 503)
        waiting = small.client.get("/tasks", params={"status": "PENDING"}).json()["tasks"]
        assert sum(task["n_inputs"] for task in waiting) == 5 * BATCH

    def test_what_was_not_stored_is_no_backlog(self, small: Platform, engine: Engine) -> None:
        """Neither what PostgreSQL refused, nor what repeats an idempotency key."""
        small.worker.stop()
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE task_inputs RENAME TO elsewhere"))
        assert {submit(small).json()["type"] for _ in range(12)} == {"urn:millrace:problem:store-unavailable"}
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO task_inputs"))
        again = [
            small.client.post("/submit", json=[REPORT] * BATCH, headers={"Idempotency-Key": "again"}) for _ in range(12)
        ]
        assert {answer.status_code for answer in again} == {202}
        assert [submit(small).status_code for _ in range(5)] == [202] * 4 + [503]

    def test_a_submission_larger_than_the_limit_passes_when_nothing_waits(self, small: Platform) -> None:
        answer = eventually(lambda: (a := submit(small, 6 * BATCH)).status_code == 202 and a)
        assert small.finished(answer.json()["task_id"])["status"] == "SUCCESS"

    def test_the_wait_that_is_asked_for_fits_the_speed_of_the_workers(self, small: Platform) -> None:
        accepted, waits = 0, []
        start = time.monotonic()
        while (took := time.monotonic() - start) < 12:
            answer = submit(small)
            if answer.status_code == 503:
                waits.append(int(answer.headers["retry-after"]))
                time.sleep(0.05)
            else:
                accepted += BATCH
        assert waits, "the backlog never filled"
        full = 5 * BATCH * took / accepted
        assert waits[-1] <= 5 + 10 * full, f"the workers empty a full backlog in some {full:.1f} s"


class TestWaiting:
    def test_whoever_waits_for_a_task_queues_for_a_connection(
        self, database_url: str, redis_url: str, tmp_path: Path, engine: Engine
    ) -> None:
        """A lock holds the only connection, for longer than the pool lets anybody wait for one."""
        with (
            Platform(database_url, redis_url, tmp_path, **QUICK, DATABASE_POOL_SIZE="1") as own,
            ThreadPoolExecutor(16) as clients,
        ):
            task_id = own.submit(REPORT)
            assert own.finished(task_id)["status"] == "SUCCESS"

            def read(wait: int) -> int:
                headers = {"Prefer": f"wait={wait}"} if wait else {}
                return httpx.get(f"{own.url}/task/{task_id}", headers=headers, timeout=60).status_code

            with engine.begin() as holder:
                holder.execute(text("LOCK TABLE tasks"))
                first = clients.submit(read, 0)
                eventually(lambda: _reads_behind_the_lock(engine))
                waiting = [clients.submit(read, 60) for _ in range(8)]
                at_once = [clients.submit(read, 0) for _ in range(4)]
                assert {answer.result() for answer in at_once} == {503}, "they have no time, so the pool refuses them"
                assert own.client.get("/health/ready").status_code == 200
                assert not any(answer.done() for answer in waiting)
            assert {answer.result() for answer in [first, *waiting]} == {200}


def _reads_behind_the_lock(engine: Engine) -> int:
    query = """SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE '%FROM tasks%WHERE tasks.id = %'"""
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar_one()


class TestStopping:
    def test_a_request_that_waits_is_answered_when_its_handler_stops(self, small: Platform) -> None:
        small.worker.stop()
        task_id = submit(small, 1).json()["task_id"]
        answers: list[httpx.Response] = []
        waiting = threading.Thread(
            target=lambda: answers.append(
                httpx.get(f"{small.url}/task/{task_id}", headers={"Prefer": "wait=50"}, timeout=60)
            )
        )
        waiting.start()
        time.sleep(1)
        start = time.monotonic()
        small.handler.stop()
        waiting.join()
        assert time.monotonic() - start < 45, "it was not told, its time was over"
        assert (answers[0].status_code, answers[0].json()["status"]) == (200, "PENDING")

    def test_a_stopping_worker_leaves_no_lease_behind(
        self, database_url: str, redis_url: str, tmp_path: Path, engine: Engine
    ) -> None:
        """Its chunk is held up by a lock, so that it cannot finish within its grace."""
        with Platform(database_url, redis_url, tmp_path, **QUICK, WORKER_GRACE_SECONDS="1") as own:
            with engine.begin() as holder:
                holder.execute(text("LOCK TABLE report_scores IN EXCLUSIVE MODE"))
                task_id = submit(own).json()["task_id"]
                eventually(lambda: own.client.get(f"/task/{task_id}").json()["status"] == "STARTED")
                own.worker.process.terminate()
                time.sleep(2)
            own.worker.process.wait(60)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM tasks WHERE status = 'STARTED'")).scalar_one() == 0
            own.worker = own.start_worker()
            assert own.finished(task_id)["status"] == "SUCCESS"


class TestReplayCommand:
    def fail_all(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET status = 'FAILURE', error = 'lost', finished_at = now()"))

    def test_failed_tasks_are_scored_again(
        self, small: Platform, engine: Engine, monkeypatch: pytest.MonkeyPatch, database_url: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database_url)
        small.worker.stop()
        ids = [submit(small, 1).json()["task_id"] for _ in range(3)]
        self.fail_all(engine)
        one = CliRunner().invoke(main, ["replay", ids[0]])
        assert (one.exit_code, one.output) == (0, "1 task will be scored again within seconds\n")
        rest = CliRunner().invoke(main, ["replay", "--failed", "--since", "1h"])
        assert (rest.exit_code, rest.output) == (0, "2 tasks will be scored again within seconds\n")
        small.worker = small.start_worker()
        assert {small.finished(task_id)["status"] for task_id in ids} == {"SUCCESS"}

    def test_what_is_no_failed_task_is_said(
        self, small: Platform, monkeypatch: pytest.MonkeyPatch, database_url: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database_url)
        task_id = submit(small, 1).json()["task_id"]
        done = CliRunner().invoke(main, ["replay", task_id])
        assert done.exit_code == 1
        assert f"{task_id} is no failed task" in done.output

    @pytest.mark.parametrize("words", [[], ["--failed"], ["--since", "1h"], ["--failed", "--since", "yesterday"]])
    def test_a_command_that_makes_no_sense_is_refused(self, words: list[str]) -> None:
        assert CliRunner().invoke(main, ["replay", *words]).exit_code == 2
