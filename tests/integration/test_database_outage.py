"""PostgreSQL that is away for longer than leases and time limits last costs no task an attempt, let alone its life."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from devstack.embedded import start_postgres
from migrations.revisions import upgrade
from store import rescue_rounds, transitions
from store.engine import connect
from store.states import Status
from tests.conftest import as_app
from tests.faults import catalogue
from tests.faults.proxy import Proxy
from tests.integration.test_claims import add_tasks, claim, status_of
from tests.running import REPORT, Platform, answers, eventually

LEASE, LIMIT = 2, 2
AWAY = 3 * LEASE + LIMIT
QUICK = {"LEASE_SECONDS": str(LEASE), "RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2"}


@contextmanager
def database(engine_url: str) -> Iterator[Engine]:
    engine = connect(engine_url)
    yield engine
    engine.dispose()


@pytest.mark.timeout(240)
def test_what_was_predicted_when_postgres_went_is_stored_when_it_is_back(
    open_folder: Path, redis_url: str, tmp_path: Path
) -> None:
    postgres = start_postgres(open_folder / "postgres")
    try:
        upgrade(postgres.url, as_app(postgres.url))
        with database(postgres.url) as engine:
            catalogue.create_table(engine)
            with engine.begin() as connection:
                connection.execute(text("GRANT SELECT, INSERT ON faulty_answers TO millrace_app"))
        settings = {**catalogue.copy_with_faulty(tmp_path), **QUICK, "MAX_ATTEMPTS": "1"}
        with Platform(as_app(postgres.url), redis_url, tmp_path, **settings) as platform:
            orders = [{"act": "sleep", "number": 4}]
            answer = platform.client.post("/models/faulty/submit", json=orders)
            task_id = answer.json()["task_id"]
            eventually(lambda: platform.client.get(f"/task/{task_id}").json()["status"] == "STARTED", every=0.01)
            port = postgres.port
            postgres.stop()
            time.sleep(AWAY)
            postgres = start_postgres(open_folder / "postgres", port=port)
            eventually(platform._is_ready, within=60)
            task = platform.finished(task_id)
        assert (task["status"], task["error"]) == ("SUCCESS", None)
        assert task["double"] == [8]
    finally:
        postgres.stop()


def note(engine: Engine, *, away: bool = False) -> None:
    with engine.begin() as connection:
        rescue_rounds.note(connection, gap=timedelta(seconds=15), away=away)


def later(engine: Engine, seconds: float) -> None:
    """Let that much time pass."""
    with engine.begin() as connection:
        past = {"past": timedelta(seconds=seconds)}
        connection.execute(
            text("UPDATE rescue_rounds SET latest_at = latest_at - :past, steady_since = steady_since - :past"), past
        )
        connection.execute(text("UPDATE tasks SET lease_until = lease_until - :past"), past)


def take_back(engine: Engine, attempts: int = 1) -> tuple[int, int]:
    """Return how many tasks wait again, and how many failed."""
    with engine.begin() as connection:
        statuses = list(transitions.take_back(connection, attempts=attempts, limit=10).values())
    return statuses.count(Status.PENDING), statuses.count(Status.FAILURE)


def attempts_of(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT lost_attempts FROM tasks")).scalar_one()


@pytest.fixture
def steady(engine: Engine) -> Engine:
    """A database that rescue has looked at for an hour without a gap."""
    note(engine)
    note(engine)
    return engine


def test_a_lease_that_ends_while_postgres_is_there_costs_an_attempt(steady: Engine) -> None:
    [task_id] = add_tasks(steady)
    claim(steady, [task_id], lease=timedelta(seconds=-1))
    note(steady)
    assert take_back(steady) == (0, 1)
    assert status_of(steady, task_id) == "FAILURE"


@pytest.mark.parametrize("told", ["by the gap", "by an error"])
def test_one_that_ended_while_it_was_away_costs_none_and_its_worker_has_time_to_come_back(
    steady: Engine, told: str
) -> None:
    [task_id] = add_tasks(steady)
    claim(steady, [task_id], lease=timedelta(seconds=20))
    later(steady, 60 if told == "by the gap" else 14)
    later(steady, 0 if told == "by the gap" else 10)
    note(steady, away=told == "by an error")
    assert take_back(steady) == (0, 0), "its worker may renew it"
    later(steady, 11)
    note(steady)
    assert take_back(steady) == (1, 0)
    assert attempts_of(steady) == 0


def test_after_an_outage_a_worker_that_dies_costs_an_attempt_again(steady: Engine) -> None:
    [task_id] = add_tasks(steady)
    later(steady, 60)
    note(steady)
    later(steady, 14)
    note(steady)
    claim(steady, [task_id], lease=timedelta(seconds=-1))
    assert take_back(steady, attempts=2) == (1, 0)
    assert attempts_of(steady) == 1


def test_a_handler_that_started_without_postgres_answers_whole_as_soon_as_it_is_there(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """It knows no model until then, and a task that succeeded is not answered without its scores."""
    with Platform(database_url, redis_url, tmp_path) as platform:
        task_id = platform.submit(REPORT)
        scored = platform.finished(task_id)
        address = make_url(database_url)
        assert address.port is not None
        proxy = Proxy(address.port)
        through = address.set(port=proxy.port).render_as_string(hide_password=False)
        alone = Platform(through, redis_url, tmp_path)
        program = None
        try:
            with proxy.cut():
                program = alone.start_handler()
                eventually(lambda: answers(alone.client))
            read = eventually(lambda: found if (found := alone.client.get(f"/task/{task_id}")).is_success else None)
            assert read.json() == scored
        finally:
            alone.client.close()
            if program is not None:
                program.stop()
            proxy.stop()
