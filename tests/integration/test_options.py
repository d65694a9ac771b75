"""Idempotency keys, deadlines, priorities, cancelling and replaying, over real HTTP."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.running import REPORT, Platform, eventually

QUICK = {"RESCUE_INTERVAL_SECONDS": "0.3", "REPUBLISH_AFTER_SECONDS": "1"}


def submit(platform: Platform, key: str | None = None, body: list[Any] | None = None, **query: str) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return platform.client.post("/submit", json=body or [REPORT], headers=headers, params=query)


def count(engine: Engine, condition: str) -> int:
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM tasks WHERE {condition}")).scalar_one()


@pytest.fixture
def without_worker(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A platform whose worker a test starts when it is ready for it."""
    with Platform(database_url, redis_url, tmp_path, **QUICK) as platform:
        platform.worker.stop()
        yield platform


class TestIdempotencyKeys:
    def test_the_same_key_and_body_give_the_first_task_again(self, platform: Platform) -> None:
        first, again = submit(platform, "again"), submit(platform, "again")
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["task_id"] == first.json()["task_id"]
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]
        platform.finished(first.json()["task_id"])
        assert submit(platform, '"again"').json() == {"task_id": first.json()["task_id"], "status": "SUCCESS"}

    def test_the_same_key_with_another_body_is_refused(self, platform: Platform) -> None:
        assert submit(platform, "reused").status_code == 202
        other = submit(platform, "reused", [REPORT | {"popularity": 0}])
        assert other.status_code == 422
        assert other.json()["type"] == "urn:millrace:problem:idempotency-key-reused"
        assert "use a new key" in other.json()["detail"]

    def test_submissions_in_flight_with_one_key_are_one_task(self, platform: Platform) -> None:
        answers: list[httpx.Response] = []
        clients = [threading.Thread(target=lambda: answers.append(submit(platform, "flight"))) for _ in range(16)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["task_id"] for answer in answers}) == 1
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 15

    def test_predict_takes_a_key_too(self, platform: Platform) -> None:
        first, again = (
            platform.client.post("/predict", json=REPORT, headers={"Idempotency-Key": "predicted"}) for _ in range(2)
        )
        assert first.json()["score"] == again.json()["score"]
        assert first.json()["task_id"] == again.json()["task_id"]

    @pytest.mark.parametrize("key", ["", '""', "x" * 257, '"open'])
    def test_a_key_that_is_none_is_refused(self, platform: Platform, key: str) -> None:
        answer = submit(platform, key)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"

    def test_a_key_is_forgotten_after_its_time(
        self, database_url: str, redis_url: str, tmp_path: Path, engine: Engine
    ) -> None:
        with Platform(database_url, redis_url, tmp_path, **QUICK, IDEMPOTENCY_HOURS="0.0005") as own:
            first = submit(own, "short-lived")
            eventually(lambda: count(engine, "idempotency_key IS NOT NULL") == 0)
            assert submit(own, "short-lived").json()["task_id"] != first.json()["task_id"]


class TestDeadlines:
    @pytest.mark.parametrize("as_time", [False, True])
    def test_a_task_past_its_deadline_expires_and_is_never_scored(
        self, without_worker: Platform, engine: Engine, as_time: bool
    ) -> None:
        def accepted() -> httpx.Response | None:
            time_ = (datetime.now(UTC) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
            answer = submit(without_worker, deadline=time_ if as_time else "1")
            return answer if answer.status_code == 202 else None  # on a busy machine the time has passed before

        task_id = eventually(accepted).json()["task_id"]  # type: ignore[union-attr]
        task = without_worker.finished(task_id)
        assert (task["status"], task["error"]) == ("EXPIRED", "deadline passed before scoring")
        without_worker.worker = without_worker.start_worker()
        without_worker.wait_until_ready()
        assert without_worker.finished(task_id) == task
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM report_scores")).scalar_one() == 0

    def test_a_task_in_time_is_scored(self, platform: Platform) -> None:
        assert platform.finished(submit(platform, deadline="60").json()["task_id"])["status"] == "SUCCESS"

    @pytest.mark.parametrize("deadline", ["0", "-1", "soon", "nan", "1e9", "2020-01-01T00:00:00Z", "2999-01-01"])
    def test_a_deadline_that_is_none_is_refused(self, platform: Platform, deadline: str) -> None:
        answer = submit(platform, deadline=deadline)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "deadline"


class TestPriorities:
    def test_high_overtakes_a_backlog_of_low(self, without_worker: Platform) -> None:
        own = without_worker
        low = [submit(own, body=[REPORT] * 2000, priority="low").json()["task_id"] for _ in range(30)]
        normal = submit(own).json()["task_id"]
        high = submit(own, priority="high").json()["task_id"]
        own.worker = own.start_worker()
        finished = {name: own.finished(task_id) for name, task_id in (("high", high), ("normal", normal))}
        last = own.finished(low[-1])
        assert str(finished["high"]["started_at"]) <= str(finished["normal"]["started_at"])
        assert str(finished["normal"]["finished_at"]) < str(last["started_at"])

    def test_low_does_not_starve_beside_a_stream_of_high(
        self, database_url: str, redis_url: str, tmp_path: Path
    ) -> None:
        with Platform(database_url, redis_url, tmp_path, **QUICK, STARVING_AFTER_SECONDS="1") as own:
            own.worker.stop()
            self.stream_high_beside_low(own)

    def stream_high_beside_low(self, own: Platform) -> None:
        low = submit(own, priority="low").json()["task_id"]
        stop = time.monotonic() + 60
        streaming = True

        def stream() -> None:
            with httpx.Client(base_url=own.url, timeout=30) as client:
                while streaming and time.monotonic() < stop:
                    client.post("/submit", params={"priority": "high"}, json=[REPORT] * 3000)

        high = [threading.Thread(target=stream) for _ in range(3)]
        for one in high:
            one.start()
        try:
            time.sleep(1)
            own.worker = own.start_worker()
            assert own.finished(low)["status"] == "SUCCESS"
        finally:
            streaming = False
            for one in high:
                one.join()

    def test_a_priority_that_is_none_is_refused(self, platform: Platform) -> None:
        answer = submit(platform, priority="urgent")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "priority"


def test_a_parameter_that_is_not_known_is_refused(platform: Platform) -> None:
    answer = submit(platform, prioritaet="high")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"detail": "Unknown parameter; /docs lists the parameters", "parameter": "prioritaet"}
    ]


class TestCancelling:
    def test_a_waiting_task_is_revoked_and_never_scored(self, without_worker: Platform, engine: Engine) -> None:
        task_id = submit(without_worker).json()["task_id"]
        answer = without_worker.client.post(f"/task/{task_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "REVOKED")
        assert answer.json()["error"] == "cancelled by its client"
        without_worker.worker = without_worker.start_worker()
        without_worker.wait_until_ready()
        without_worker.finished(submit(without_worker).json()["task_id"])
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM report_scores")).scalar_one() == 1
            assert connection.execute(text("SELECT count(*) FROM task_inputs")).scalar_one() == 0

    def test_who_waits_for_a_cancelled_task_hears_of_it(self, without_worker: Platform) -> None:
        task_id = submit(without_worker).json()["task_id"]
        canceller = threading.Timer(0.5, lambda: httpx.post(f"{without_worker.url}/task/{task_id}/cancel"))
        canceller.start()
        start = time.monotonic()
        assert without_worker.finished(task_id)["status"] == "REVOKED"
        assert time.monotonic() - start < 45, "it was not told, its time was over"
        canceller.join()

    def test_a_task_that_has_ended_cannot_be_cancelled(self, platform: Platform) -> None:
        task_id = submit(platform).json()["task_id"]
        task = platform.finished(task_id)
        answer = platform.client.post(f"/task/{task_id}/cancel")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:millrace:problem:task-ended")
        assert platform.finished(task_id) == task


class TestReplaying:
    def test_a_failed_task_is_scored_once_more(self, without_worker: Platform, engine: Engine) -> None:
        task_id = submit(without_worker).json()["task_id"]
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE tasks SET status = 'FAILURE', attempt = 3, error = 'lost', finished_at = now()")
            )
        answer = without_worker.client.post(f"/task/{task_id}/replay")
        assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
        without_worker.worker = without_worker.start_worker()
        task = without_worker.finished(task_id)
        assert (task["status"], task["error"], len(task["score"])) == ("SUCCESS", None, 1)

    def test_only_a_failure_can_be_replayed(self, platform: Platform) -> None:
        task_id = submit(platform).json()["task_id"]
        platform.finished(task_id)
        answer = platform.client.post(f"/task/{task_id}/replay")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:millrace:problem:task-not-failed")


@pytest.mark.parametrize("verb", ["cancel", "replay"])
def test_an_unknown_task_is_404(platform: Platform, verb: str) -> None:
    answer = platform.client.post(f"/task/01a1fbff-6bc2-77a0-9580-9b6d17fbabd4/{verb}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:millrace:problem:unknown-task")
