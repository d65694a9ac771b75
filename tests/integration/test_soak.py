"""`make soak` in small, and the leaks that it found."""

import gc
import os
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, Table

from broker.config import create_celery
from devstack import local
from devstack.services import FLOWER, services
from devstack.settings import UpSettings
from registry import versions
from rescue import metrics
from rescue.metrics import RescueMetrics
from store.engine import connect
from tests.processes import descendants
from tests.running import Program, eventually, free_port
from tests.soak import Memory, soak


def memory_of(growth: float) -> Memory:
    """Sample two programs for 26 minutes: one that grows by so many megabytes a minute, and one that does not."""
    memory = Memory()
    for second in range(0, 26 * 60, 10):
        start_up = min(second, 120) / 10
        memory.add(
            second / 60, {"grows": 60 + start_up + growth * second / 60, "steady": 60 + start_up + second % 3 * 0.2}
        )
    return memory


def test_a_program_that_grows_is_named() -> None:
    assert memory_of(0.2).grown() == ["grows"]
    assert memory_of(0.02).grown() == []


@pytest.mark.timeout(600)
def test_no_program_of_a_platform_under_load_grows() -> None:
    memory = soak(seconds=30, rate=20)
    assert set(memory.megabytes) == {
        *("handler", "worker", "rescue", "webhooks", "Flower", "make up"),
        *("PostgreSQL", "Valkey"),
    }
    assert all(len(used) == len(memory.minutes) > 20 for used in memory.megabytes.values())
    assert all(min(used) > 1 for used in memory.megabytes.values())
    grown = {name: memory.growth(name) for name in memory.megabytes}
    loads = grown.pop("worker")  # its models, so soon after the start
    assert loads[1] - loads[0] < 100
    assert all(after - before < 20 for before, after, _ in grown.values()), grown


def test_rescue_describes_each_table_once(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy keeps a compiled statement for each table object that it meets."""
    monkeypatch.setattr(metrics, "EVERY", 0)
    watched = connect(database_url, pool_size=1)
    made = RescueMetrics(CollectorRegistry())
    with watched.connect() as connection:
        models = versions.read(connection)
    made.refresh(watched, models)
    tables = _tables()
    for _ in range(20):
        made.refresh(watched, models)
    assert tables > 0
    assert _tables() <= tables
    watched.dispose()


def _tables() -> int:
    gc.collect()
    return sum(isinstance(kept, Table) for kept in gc.get_objects())


def test_the_environment_says_how_much_the_flower_of_make_up_remembers(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_MAX_TASKS", "7")
    monkeypatch.setattr(local, "FOLDER", tmp_path)
    metrics = dict.fromkeys(("handler", "worker", "rescue", "webhooks"), free_port())
    *_, flower = services(UpSettings(), "postgresql://nowhere/none", redis_url, metrics, "me:secret", stop_seconds=1)
    flower.start()
    try:
        started = [child.environ() for child in descendants(os.getpid(), "celery", "flower")]
    finally:
        flower.stop(until=0)
    told = [(its["FLOWER_MAX_TASKS"], its["FLOWER_PURGE_OFFLINE_WORKERS"]) for its in started]
    assert told == [("7", FLOWER["FLOWER_PURGE_OFFLINE_WORKERS"])]


@pytest.mark.timeout(600)
def test_flower_remembers_a_bounded_number_of_deliveries(redis_url: str, tmp_path: Path) -> None:
    port, celery = free_port(), create_celery(redis_url)
    environment = {"CELERY_BROKER_URL": redis_url, "FLOWER_BASIC_AUTH": "me:secret", **FLOWER}
    limit = 200
    assert int(environment["FLOWER_MAX_TASKS"]) <= 2000
    environment["FLOWER_MAX_TASKS"] = str(limit)  # so that few deliveries fill it
    flower = Program("flower", ["celery", "flower", "--address=127.0.0.1", f"--port={port}"], environment, tmp_path)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("me", "secret"), timeout=30) as client:

            def answers() -> bool:
                try:
                    return client.get("/workers").status_code == 200
                except httpx.TransportError:
                    return False

            eventually(answers, within=240)
            sent = 0

            def deliver(deliveries: int) -> float:
                """Let Flower hear of so many more deliveries, and return the megabytes that it then has."""
                nonlocal sent
                with celery.connection_for_write() as connection, celery.events.Dispatcher(connection) as events:
                    for number in range(sent, sent + deliveries):
                        about = {"uuid": f"{number:036}", "name": "score.report_scorer", "kwargs": "x" * 200}
                        events.send("task-received", **about)
                        events.send("task-succeeded", runtime=0.1, **about)
                sent += deliveries
                newest = f"{sent - 1:036}"
                eventually(lambda: client.get(f"/api/task/info/{newest}").status_code == 200, within=300, every=0.2)
                return float(psutil.Process(flower.pid).memory_full_info().uss / 1e6)

            full = deliver(8 * limit)  # Celery keeps as much as four times the limit of other notes
            later = deliver(20 * limit)
            assert later - full < 8, (full, later)  # without the limit it is 20 MB
            assert len(client.get("/api/tasks", params={"limit": 2 * limit}).json()) == limit
    finally:
        flower.stop()
