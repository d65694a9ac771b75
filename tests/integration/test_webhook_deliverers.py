"""The program that delivers webhooks: killed, stopped, doubled, held up and cut off, it loses none and stays small."""

import signal
import time

import psutil  # type: ignore[import-untyped]
from sqlalchemy import Engine, text

from tests.callbacks import StartDeliverer, add, callback
from tests.receiving import receiving
from tests.running import eventually
from webhooks.deliverer import MAX_PER_HOST


def test_a_killed_deliverer_loses_no_delivery(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        task_ids = [add(engine, receiver.url) for _ in range(5)]
        first = start_deliverer()
        eventually(lambda: len(receiver.received) == 5)
        first.stop(signal.SIGKILL)
        receiver.hold.set()
        with engine.begin() as connection:  # as if the leases had run out
            assert connection.execute(text("SELECT count(*) FROM webhooks WHERE due_at > now()")).scalar_one() == 5
            connection.execute(text("UPDATE webhooks SET due_at = now()"))
        start_deliverer()
        for task_id in task_ids:
            eventually(lambda task_id=task_id: callback(engine, task_id).delivered_at)
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert (len(ids), len(set(ids))) == (10, 5)


def test_a_stopped_deliverer_hands_over_what_is_under_way(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        task_id = add(engine, receiver.url)
        first = start_deliverer()
        eventually(lambda: receiver.received)
        assert first.stop() == 0
        assert callback(engine, task_id).last_error == "interrupted"
        receiver.hold.set()
        start_deliverer()
        eventually(lambda: callback(engine, task_id).delivered_at)


def test_two_deliverers_tell_each_task_once(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        for _ in range(200):
            add(engine, receiver.url)
        start_deliverer(), start_deliverer()
        count = text("SELECT count(*) FROM webhooks WHERE delivered_at IS NOT NULL AND attempts = 1")
        with engine.connect() as connection:
            eventually(lambda: connection.execute(count).scalar_one() == 200)
        time.sleep(0.5)
        assert len(receiver.received) == len({request.headers["webhook-id"] for request in receiver.received}) == 200


def test_a_receiver_that_hangs_does_not_hold_up_the_others(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as hanging, receiving() as well:
        hanging.hold.clear()
        for _ in range(150):
            add(engine, hanging.url)
        start_deliverer()
        eventually(lambda: len(hanging.received) >= MAX_PER_HOST)
        task_ids = [add(engine, well.url) for _ in range(20)]
        for task_id in task_ids:
            eventually(lambda task_id=task_id: callback(engine, task_id).delivered_at)
        assert len(hanging.received) < 2 * MAX_PER_HOST


def test_postgres_away_for_a_moment_stops_nothing(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with receiving() as receiver:
        program = start_deliverer()
        eventually(lambda: "webhooks_started" in program.log.read_text())
        with engine.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            connection.execute(text(f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()"))
        task_id = add(engine, receiver.url)
        eventually(lambda: callback(engine, task_id).delivered_at)


def test_the_deliverer_is_small_and_imports_no_ml_runtime(start_deliverer: StartDeliverer) -> None:
    program = start_deliverer()
    eventually(lambda: "webhooks_started" in program.log.read_text())
    time.sleep(0.5)
    process = psutil.Process(program.pid)
    assert process.memory_info().rss < 100 * 2**20
    assert not [m.path for m in process.memory_maps() if "numpy" in m.path or "xgboost" in m.path]
