"""What Flower shows is what became of a task, and none of its buttons can leave one waiting."""

import base64
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import redis
from celery.worker.control import Panel
from uuid_utils.compat import uuid7

from broker.config import create_celery
from broker.message import QueuedTask
from broker.redis_broker import RedisBroker
from serving import catalogue
from store.engine import connect
from store.tables import task_inputs, tasks
from tests.conftest import Servers, empty_redis, new_database
from tests.images import png
from tests.processes import descendants
from tests.running import REPORT, Platform, Program, eventually, free_port
from worker.celery.remote_control import ALLOWED

IMAGES = "image_classifier"
DATABASE = 4
AUTH = ("somebody", "a password")


GOOD, BAD = ({"image": base64.b64encode(png(8, 8, data=pixels)).decode()} for pixels in (bytes(9) * 8, b""))


@pytest.fixture(scope="module")
def own(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    url, logs = new_database(servers, template), tmp_path_factory.mktemp("flower")
    settings = {"WORKER_MODELS": f"report_scorer,{IMAGES}", "RESCUE_INTERVAL_SECONDS": "0.5", "LEASE_SECONDS": "60"}
    with Platform(url, empty_redis(servers, DATABASE), logs, **settings) as platform:
        yield platform


@pytest.fixture(scope="module")
def flower(own: Platform) -> Iterator[httpx.Client]:
    port = free_port()
    program = Program(
        "flower",
        ["celery", "flower", "--address=127.0.0.1", f"--port={port}"],
        {"CELERY_BROKER_URL": own.environment["REDIS_URL"], "FLOWER_BASIC_AUTH": ":".join(AUTH)},
        own.logs,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=AUTH, timeout=30) as client:

        def sees_the_worker() -> bool:
            try:
                return bool(client.get("/api/workers", params={"refresh": 1}).json())
            except (httpx.TransportError, ValueError):
                return False

        eventually(sees_the_worker, within=60, every=0.5)
        yield client
    program.stop(signal.SIGKILL)


@pytest.fixture
def worker(flower: httpx.Client) -> str:
    (name,) = flower.get("/api/workers").json()
    return str(name)


@contextmanager
def held(own: Platform) -> Iterator[None]:
    """Hold the process that scores, so that what is submitted waits; Celery's main process goes on."""
    children = descendants(own.worker.pid)
    for child in children:
        child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            child.send_signal(signal.SIGCONT)


def submit(own: Platform, model: str, *inputs: dict[str, Any], **query: str) -> str:
    answer = own.client.post(f"/models/{model}/submit", json=inputs, params=query)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


@contextmanager
def unpublished(own: Platform) -> Iterator[None]:
    """Let Redis take nothing: what the handler accepts meanwhile it publishes together, as on a busy machine."""
    with redis.Redis.from_url(own.environment["REDIS_URL"]) as client:
        client.client_pause(60_000, all=False)
        try:
            yield
        finally:
            client.client_unpause()


def shown(flower: httpx.Client, task_id: str, state: str, said: str = "") -> dict[str, Any]:
    """Wait until Flower shows a message of this task in this state, and in these words.

    Its id is the task's only where it carries no other: which tasks share one depends on what else the handler has to
    publish at that moment.
    """
    seen: list[dict[str, Any]] = []

    def found() -> dict[str, Any] | None:
        seen[:] = flower.get("/api/tasks", params={"search": task_id}).json().values()
        return next((message for message in seen if message["state"] == state and said in str(message)), None)

    try:
        message = eventually(found)
    except AssertionError:
        raise AssertionError(seen) from None
    assert message is not None
    return message


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("how", [{}, {"terminate": "true"}, {"terminate": "true", "signal": "SIGKILL"}])
def test_a_task_that_is_revoked_in_flower_is_scored_all_the_same(
    own: Platform, flower: httpx.Client, how: dict[str, str], together: bool
) -> None:
    refused = own.logs / "worker.log"
    before = refused.read_text().count("control_refused")
    with held(own):
        with unpublished(own) if together else nullcontext():
            waiting = [submit(own, "report_scorer", REPORT) for _ in range(4)]  # the process has the first message
        for task_id in waiting:
            assert flower.post(f"/api/task/revoke/{task_id}", params=how).status_code == 200
        eventually(lambda: refused.read_text().count("control_refused") >= before + len(waiting))
    for task_id in waiting:
        assert own.finished(task_id)["status"] == "SUCCESS"
    messages = {shown(flower, task_id, "SUCCESS")["uuid"] for task_id in waiting}
    assert len(messages) < len(waiting) or not together


def test_no_button_of_flower_stops_a_worker_from_taking_tasks(own: Platform, flower: httpx.Client, worker: str) -> None:
    queue = {"queue": "score.report_scorer"}
    for button, query in {
        f"worker/queue/cancel-consumer/{worker}": queue,
        f"worker/queue/add-consumer/{worker}": {"queue": "score.unknown"},
        f"worker/pool/shrink/{worker}": {"n": "1"},
        f"worker/pool/grow/{worker}": {"n": "1"},
        f"worker/pool/autoscale/{worker}": {"min": "0", "max": "0"},
        f"worker/pool/restart/{worker}": {},
        "task/rate-limit/score.report_scorer": {"workername": worker, "ratelimit": "1/h"},
        "task/timeout/score.report_scorer": {"workername": worker, "soft": "0.001", "hard": "0.002"},
    }.items():
        answer = flower.post(f"/api/{button}", params=query)
        assert answer.status_code in (403, 404), (button, answer.text)
        assert "not allowed on Millrace" in answer.text or answer.status_code == 404, (button, answer.text)
    for _ in range(3):
        assert own.finished(submit(own, "report_scorer", REPORT))["status"] == "SUCCESS"


def test_orders_by_celerys_remote_control_leave_no_task_waiting(own: Platform) -> None:
    """Each that Celery knows, whether Flower has a button for it or not; two carry ids of tasks."""
    log, before = own.logs / "worker.log", own.worker.pid
    refused = log.read_text().count("control_refused")
    orders = sorted(set(Panel.data) - ALLOWED - {f"dump_{name}" for name in ALLOWED})
    with create_celery(own.environment["REDIS_URL"]) as app, held(own):
        task_id = submit(own, "report_scorer", REPORT)
        waiting = submit(own, "report_scorer", REPORT)
        for order in orders:
            arguments = {"task_id": [task_id, waiting], "revoked": {waiting: 1}, "queue": "score.report_scorer"}
            app.control.broadcast(order, arguments=arguments)
        eventually(lambda: log.read_text().count("control_refused") == refused + len(orders))
    assert own.finished(task_id)["status"] == "SUCCESS"
    assert own.finished(waiting)["status"] == "SUCCESS"
    assert own.worker.pid == before


def test_flower_shows_a_failed_task_as_failed_with_the_reason(own: Platform, flower: httpx.Client) -> None:
    task_id = submit(own, IMAGES, BAD)
    task = own.finished(task_id)
    assert task["status"] == "FAILURE"
    seen = shown(flower, task_id, "FAILURE")
    assert seen["uuid"] == task_id, "a message of one task has the task's id"
    assert str(task["error"]).partition(":")[0] in seen["exception"]
    assert BAD["image"] not in json.dumps(seen)


def test_flower_shows_a_cancelled_and_an_expired_task_as_revoked(own: Platform, flower: httpx.Client) -> None:
    with held(own):
        submit(own, IMAGES, GOOD)  # the process has it; never in one message with those of another model
        cancelled, expired = submit(own, "report_scorer", REPORT), submit(own, "report_scorer", REPORT, deadline="1")
        assert own.client.post(f"/task/{cancelled}/cancel").status_code == 200
        assert own.finished(expired)["status"] == "EXPIRED"
    shown(flower, cancelled, "REVOKED")
    shown(flower, expired, "REVOKED")


def test_flower_shows_a_task_as_revoked_that_expired_before_rescue_saw_it(own: Platform, flower: httpx.Client) -> None:
    rescue = psutil.Process(own.rescue.pid)
    rescue.suspend()
    try:
        with held(own):
            task_id = submit(own, "report_scorer", REPORT, deadline="1")
            time.sleep(1.2)
        shown(flower, task_id, "REVOKED")
    finally:
        rescue.resume()
    assert own.finished(task_id)["status"] == "EXPIRED"


def test_flower_shows_what_became_of_a_task_in_the_end(own: Platform, flower: httpx.Client) -> None:
    task_id = submit(own, IMAGES, BAD)
    own.finished(task_id)
    shown(flower, task_id, "FAILURE")
    with held(own):
        submit(own, "report_scorer", REPORT)
        assert own.client.post(f"/task/{task_id}/replay").status_code == 202
        assert own.client.post(f"/task/{task_id}/cancel").status_code == 200
    shown(flower, task_id, "REVOKED")


@pytest.mark.parametrize(
    ("bad", "cancelled", "state", "said"),
    [
        (0, 0, "SUCCESS", "'SUCCESS': 3"),
        (1, 0, "FAILURE", "1 of 3 failed"),
        (0, 1, "SUCCESS", "'REVOKED': 1"),
        (1, 2, "FAILURE", "1 of 3 failed"),
        (0, 3, "REVOKED", ""),
    ],
)
def test_a_message_of_several_tasks_has_failed_when_one_has(
    own: Platform, flower: httpx.Client, bad: int, cancelled: int, state: str, said: str
) -> None:
    ids = sorted(uuid7() for _ in range(3))
    engine = connect(own.database_url)
    with engine.begin() as connection:
        for number, task_id in enumerate(ids):
            status = "REVOKED" if number >= 3 - cancelled else "PENDING"
            connection.execute(tasks.insert().values(id=task_id, model=IMAGES, n_inputs=1, status=status))
            if status == "PENDING":
                payload = json.dumps([BAD if number < bad else GOOD]).encode()
                connection.execute(task_inputs.insert().values(task_id=task_id, payload=payload))
    engine.dispose()
    RedisBroker(own.environment["REDIS_URL"], catalogue.bounds).publish(
        [QueuedTask(task_id, IMAGES, 1, 1) for task_id in ids]
    )
    shown(flower, str(ids[0]), state, said)
