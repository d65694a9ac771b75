"""Receivers are told that their tasks have ended: by real HTTP, from real rows, whatever gets lost on the way."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine, text
from standardwebhooks import WebhookVerificationError
from uuid_utils.compat import uuid7

from broker.finished import Announcer
from store import verdicts
from store.engine import connect_async
from store.tables import tasks
from tests.conftest import as_app
from tests.receiving import SECRET, Received, receiving
from tests.running import Program, eventually
from webhooks.signing import key_for, key_of, written
from worker.webhooks import BUSY

Start = Callable[..., Program]
DEVELOPMENT = {"WEBHOOK_ALLOW_PRIVATE": "true", "WEBHOOK_SWEEP_SECONDS": "0.2"}


@pytest.fixture
def start(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a deliverer."""
    environment = {
        "DATABASE_URL": as_app(database_url),
        "REDIS_URL": redis_url,
        "WEBHOOK_SECRET": SECRET,
        "LOG_LEVEL": "DEBUG",
    }
    started: list[Program] = []

    def start(**settings: str) -> Program:
        program = Program("webhooks", ["worker.webhooks"], {**environment, **DEVELOPMENT, **settings}, tmp_path)
        started.append(program)
        return program

    yield start
    for program in started:
        program.stop()
    printed = "".join({program.log.read_text() for program in started})
    assert "Traceback" not in printed
    assert SECRET.removeprefix("whsec_") not in printed
    assert "token-of-the-receiver" not in printed


def add(engine: Engine, url: str, status: str = "SUCCESS", **columns: object) -> UUID:
    """Insert a task with a callback, as accepting does."""
    task_id = uuid7()
    ended = None if status in ("PENDING", "STARTED") else text("now()")
    with engine.begin() as connection:
        task = {"id": task_id, "model": "m", "n_inputs": 1, "status": status, "finished_at": ended}
        connection.execute(tasks.insert().values(task | columns))
        callback = {"id": task_id, "url": url}
        connection.execute(text("INSERT INTO webhooks (task_id, url) VALUES (:id, :url)"), callback)
    return task_id


def end(engine: Engine, task_id: UUID, status: str = "SUCCESS") -> None:
    with engine.begin() as connection:
        statement = "UPDATE tasks SET status = :status, finished_at = clock_timestamp() WHERE id = :id"
        connection.execute(text(statement), {"status": status, "id": task_id})


def callback(engine: Engine, task_id: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("SELECT * FROM webhooks WHERE task_id = :id"), {"id": task_id}).one()


def attempted(engine: Engine, task_id: UUID, times: int = 1) -> Any:
    """Wait until so many attempts are over, and return the row."""

    def row() -> Any:
        row = callback(engine, task_id)
        return row if row.attempts >= times and (row.last_status or row.last_error) else None

    return eventually(row, within=20)


def now_due(engine: Engine, task_id: UUID) -> None:
    """Let no test wait for the retry's delay."""
    with engine.begin() as connection:
        statement = "UPDATE webhooks SET due_at = now(), last_status = NULL, last_error = NULL WHERE task_id = :id"
        connection.execute(text(statement), {"id": task_id})


def test_an_ended_task_is_told_with_a_signature_that_verifies(engine: Engine, start: Start) -> None:
    kinds = {"SUCCESS": "succeeded", "FAILURE": "failed", "REVOKED": "revoked", "EXPIRED": "expired"}
    with receiving() as receiver:
        ended = {str(add(engine, f"{receiver.url}?token=token-of-the-receiver", status)): status for status in kinds}
        start()
        for task_id in ended:
            eventually(lambda task_id=task_id: callback(engine, UUID(task_id)).delivered_at)
    assert len(receiver.received) == 4
    for request in receiver.received:
        event = request.verified()
        status = ended[event["data"]["task_id"]]
        assert (request.path, request.headers["Content-Type"]) == (
            "/hook?token=token-of-the-receiver",
            "application/json",
        )
        assert event["type"] == f"task.{kinds[status]}"
        assert event["data"] == {"task_id": event["data"]["task_id"], "status": status, "model": "m"}
        row = callback(engine, UUID(event["data"]["task_id"]))
        assert (row.attempts, row.due_at, row.given_up_at, row.last_status) == (1, None, None, 204)
        with pytest.raises(WebhookVerificationError):
            Received(request.path, request.headers, request.body + b" ").verified()


def test_a_clients_webhook_is_signed_with_the_clients_own_secret(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        add(engine, receiver.url, client="ada")
        start()
        eventually(lambda: receiver.received)
        assert receiver.received[0].verified(written(key_for(key_of(SECRET), "ada")))["type"] == "task.succeeded"
        with pytest.raises(WebhookVerificationError):
            receiver.received[0].verified(SECRET)


def test_nobody_is_told_before_the_task_has_ended_and_then_an_announcement_makes_it_quick(
    engine: Engine, redis_url: str, start: Start
) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url, "STARTED")
        program = start(WEBHOOK_SWEEP_SECONDS="3600")
        announcer = Announcer(redis_url)
        eventually(lambda: "webhooks_started" in program.log.read_text())
        time.sleep(0.5)
        announcer.announce([task_id, uuid7()])
        time.sleep(0.5)
        assert receiver.received == []
        end(engine, task_id)
        announcer.announce([task_id])
        eventually(lambda: receiver.received, within=2)


def test_an_ending_that_nobody_announced_is_found(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url, "STARTED")
        start(REDIS_URL="redis://127.0.0.1:1/0")
        end(engine, task_id, "FAILURE")
        eventually(lambda: receiver.received)
        assert receiver.received[0].verified()["type"] == "task.failed"


def test_a_receiver_that_fails_is_told_again_with_the_same_id(engine: Engine, start: Start) -> None:
    with receiving(500, (503, {"Retry-After": "3600"}), 200) as receiver:
        task_id = add(engine, receiver.url)
        start()
        first = attempted(engine, task_id)
        assert (first.last_status, first.delivered_at, first.given_up_at) == (500, None, None)
        eventually(lambda: len(receiver.received) == 2, within=10)  # after 5 s, without help
        second = eventually(lambda: (row := callback(engine, task_id)).last_status == 503 and row)
        with engine.connect() as connection:
            wait = connection.execute(text("SELECT extract(epoch FROM due_at - now()) FROM webhooks")).scalar_one()
        assert (second.last_status, 3500 < wait <= 3600) == (503, True)
        now_due(engine, task_id)
        eventually(lambda: callback(engine, task_id).delivered_at)
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert int(receiver.received[1].headers["webhook-timestamp"]) > int(
        receiver.received[0].headers["webhook-timestamp"]
    )
    assert [request.verified()["data"]["task_id"] for request in receiver.received] == [str(task_id)] * 3


def test_a_receiver_that_is_away_is_told_when_it_is_back(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        url = receiver.url
    task_id = add(engine, url)
    start()
    assert "ConnectError" in attempted(engine, task_id).last_error
    with receiving() as receiver:
        with engine.begin() as connection:
            connection.execute(text("UPDATE webhooks SET url = :url, due_at = now()"), {"url": receiver.url})
        eventually(lambda: callback(engine, task_id).delivered_at)
    assert callback(engine, task_id).attempts == 2


def test_a_receiver_that_does_not_answer_in_time_is_tried_again(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        task_id = add(engine, receiver.url)
        start(WEBHOOK_TIMEOUT_SECONDS="0.3")
        row = attempted(engine, task_id)
        assert (row.last_status, row.last_error, row.delivered_at) == (None, "no answer within 0.3 s", None)
        assert row.due_at


def test_gone_means_never_again(engine: Engine, start: Start) -> None:
    with receiving(410) as receiver:
        task_id = add(engine, receiver.url)
        start()
        row = attempted(engine, task_id)
        assert (row.last_status, row.due_at, row.given_up_at is None) == (410, None, False)


def test_after_the_last_attempt_it_is_given_up(engine: Engine, start: Start) -> None:
    with receiving(404) as receiver:
        task_id = add(engine, receiver.url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE webhooks SET attempts = 10"))
        start()
        row = attempted(engine, task_id, 11)
        assert (row.last_status, row.due_at, row.given_up_at is None, row.attempts) == (404, None, False, 11)


def test_a_redirect_is_not_followed(engine: Engine, start: Start) -> None:
    statuses = [301, 302, 303, 307, 308]
    with receiving() as elsewhere:
        with receiving(*[(status, {"Location": elsewhere.url}) for status in statuses]) as receiver:
            task_ids = [add(engine, receiver.url) for _ in statuses]
            start()
            rows = [attempted(engine, task_id) for task_id in task_ids]
        assert sorted(row.last_status for row in rows) == statuses
        assert not any(row.delivered_at for row in rows)
        assert all(row.due_at for row in rows)
        assert (len(receiver.received), elsewhere.received) == (5, [])


def test_a_killed_deliverer_loses_no_delivery(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        task_ids = [add(engine, receiver.url) for _ in range(5)]
        first = start()
        eventually(lambda: len(receiver.received) == 5)
        first.stop(signal.SIGKILL)
        receiver.hold.set()
        with engine.begin() as connection:  # as if the leases had run out
            assert connection.execute(text("SELECT count(*) FROM webhooks WHERE due_at > now()")).scalar_one() == 5
            connection.execute(text("UPDATE webhooks SET due_at = now()"))
        start()
        for task_id in task_ids:
            eventually(lambda task_id=task_id: callback(engine, task_id).delivered_at)
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert (len(ids), len(set(ids))) == (10, 5)


def test_a_stopped_deliverer_hands_over_what_is_under_way(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        task_id = add(engine, receiver.url)
        first = start()
        eventually(lambda: receiver.received)
        begin = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - begin < 6
        assert callback(engine, task_id).last_error == "interrupted"
        receiver.hold.set()
        start()
        eventually(lambda: callback(engine, task_id).delivered_at, within=10)


def test_two_deliverers_tell_each_task_once(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        for _ in range(200):
            add(engine, receiver.url)
        start(), start()
        count = text("SELECT count(*) FROM webhooks WHERE delivered_at IS NOT NULL AND attempts = 1")
        with engine.connect() as connection:
            eventually(lambda: connection.execute(count).scalar_one() == 200)
        time.sleep(0.5)
        assert len(receiver.received) == len({request.headers["webhook-id"] for request in receiver.received}) == 200


def test_a_receiver_that_hangs_does_not_hold_up_the_others(engine: Engine, start: Start) -> None:
    with receiving() as hanging, receiving() as well:
        hanging.hold.clear()
        for _ in range(150):
            add(engine, hanging.url)
        start()
        eventually(lambda: len(hanging.received) >= BUSY)
        task_ids = [add(engine, well.url) for _ in range(20)]
        for task_id in task_ids:
            eventually(lambda task_id=task_id: callback(engine, task_id).delivered_at, within=5)
        assert len(hanging.received) < 2 * BUSY


def test_a_private_address_is_refused_whatever_its_name(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        url = receiver.url.replace("http:", "https:")
        hosts = [
            "localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "vm.localhost",
        ]
        task_ids = [add(engine, url.replace("127.0.0.1", host)) for host in [*hosts, socket.gethostname()]]
        start(WEBHOOK_ALLOW_PRIVATE="false")
        for task_id in task_ids:
            assert "public" in attempted(engine, task_id).last_error
        assert receiver.received == []


def test_without_a_secret_nothing_is_sent(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url)
        program = start(WEBHOOK_SECRET="")
        eventually(lambda: callback(engine, task_id).due_at)
        time.sleep(1.5)
        assert (receiver.received, callback(engine, task_id).attempts) == ([], 0)
        assert program.process.poll() is None


async def replay(database_url: str, task_id: UUID) -> None:
    engine = connect_async(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO task_inputs SELECT id, '[{}]' FROM tasks"))
        assert await verdicts.replay(connection, task_id, None)
    await engine.dispose()


def test_a_replayed_task_tells_again_under_another_id(engine: Engine, database_url: str, start: Start) -> None:
    with receiving() as receiver:
        task_id = add(engine, receiver.url, "FAILURE")
        start()
        eventually(lambda: callback(engine, task_id).delivered_at)
        asyncio.run(replay(database_url, task_id))
        time.sleep(0.5)
        end(engine, task_id)
        eventually(lambda: len(receiver.received) == 2)
    events = [request.verified() for request in receiver.received]
    assert [event["type"] for event in events] == ["task.failed", "task.succeeded"]
    assert receiver.received[0].headers["webhook-id"] != receiver.received[1].headers["webhook-id"]


def test_postgres_away_for_a_moment_stops_nothing(engine: Engine, start: Start) -> None:
    with receiving() as receiver:
        program = start()
        eventually(lambda: "webhooks_started" in program.log.read_text())
        with engine.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            connection.execute(text(f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()"))
        task_id = add(engine, receiver.url)
        eventually(lambda: callback(engine, task_id).delivered_at)


def test_the_deliverer_is_small_and_imports_no_ml_runtime(start: Start) -> None:
    program = start()
    eventually(lambda: "webhooks_started" in program.log.read_text())
    time.sleep(0.5)
    process = psutil.Process(program.pid)
    assert process.memory_info().rss < 100 * 2**20
    assert not [m.path for m in process.memory_maps() if "numpy" in m.path or "xgboost" in m.path]
