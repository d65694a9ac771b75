"""ENGINE=pool: the same promises from one container and PostgreSQL, each fault provoked for real."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine, text

from devstack.embedded import start_postgres
from migrations.revisions import upgrade
from serving.catalogue import specs
from store.engine import connect
from tests.conftest import Servers, new_database
from tests.processes import descendants
from tests.receiving import receiving
from tests.running import REPORT, Platform, eventually, in_the_middle, temporary_open_folder

QUICK = {
    "ENGINE": "pool",
    "LEASE_SECONDS": "2",
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "REPUBLISH_AFTER_SECONDS": "2",
    "WEBHOOK_SECRET": "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgMjQgYnl0ZXMgYW5kIG1vcmU=",
    "WEBHOOK_ALLOW_PRIVATE": "true",
}
BATCH = 5_000


@pytest.fixture(scope="module")
def pooled(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A handler with every model, which the tests of this module may hurt but not stop."""
    logs = tmp_path_factory.mktemp("pooled")
    with Platform(new_database(servers, template), "", logs, **QUICK, WORKER_MODELS="") as platform:
        yield platform


@pytest.fixture
def stored(pooled: Platform) -> Iterator[Engine]:
    engine = connect(pooled.database_url)
    yield engine
    engine.dispose()


def children(platform: Platform) -> list[psutil.Process]:
    return descendants(platform.handler.pid, "spawn_main")


def scoring(platform: Platform) -> list[psutil.Process]:
    """The processes that GET /workers lists."""
    pids = {worker["pid"] for worker in platform.client.get("/workers").json()}
    return [child for child in children(platform) if child.pid in pids]


def statuses(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return dict(tuple(row) for row in connection.execute(text("SELECT status, count(*) FROM tasks GROUP BY 1")))


def test_every_model_is_loaded_and_answers(pooled: Platform) -> None:
    assert pooled.client.get("/health/ready").json()["models"] == dict.fromkeys(specs(), 1)
    assert {model["model"] for model in pooled.client.get("/workers").json()[0]["models"]} == set(specs())
    reports = [REPORT | {"popularity": n % 6, "report_id": f"r-{n}"} for n in range(50)]
    together = pooled.finished(pooled.submit(*reports))
    assert (together["status"], together["report_id"]) == ("SUCCESS", [f"r-{n}" for n in range(50)])
    assert pooled.client.post("/predict", json=REPORT).json()["status"] == "SUCCESS"
    assert pooled.client.post("/prediction", json={"text": "The goalie made 40 saves."}).json()["label"] == "hockey"
    phrase = {"fromLang": "en", "toLang": "ja", "records": [{"id": "1", "text": "Life is like a box of chocolates."}]}
    assert pooled.client.post("/translation", json={"payload": phrase}).status_code == 200


def test_the_handlers_own_process_has_no_runtime_in_it(pooled: Platform) -> None:
    mapped = Path(f"/proc/{pooled.handler.pid}/maps")
    if not mapped.exists():
        pytest.skip("only Linux shows what a process has loaded")
    assert not [line for line in mapped.read_text().splitlines() if "numpy" in line or "xgboost" in line]


def test_a_process_killed_in_the_middle_of_a_chunk_loses_no_task(pooled: Platform, stored: Engine) -> None:
    task_ids = [pooled.submit(*[REPORT] * BATCH) for _ in range(8)]
    (victim,) = scoring(pooled)

    def caught() -> bool:
        victim.suspend()
        if in_the_middle(pooled):
            return True
        victim.resume()
        task_ids.append(pooled.submit(*[REPORT] * BATCH))  # the others may be scored already
        return False

    eventually(caught, every=0.01)
    victim.kill()
    for task_id in task_ids:
        task = pooled.finished(task_id)
        assert (task["status"], len(task["score"])) == ("SUCCESS", BATCH)  # type: ignore[arg-type]
    with stored.connect() as connection:
        counts = text("SELECT count(*) FROM report_scores WHERE task_id = ANY(CAST(:ids AS uuid[]))")
        assert connection.scalar(counts, {"ids": task_ids}) == BATCH * len(task_ids)
        assert connection.scalar(text("SELECT max(attempt) FROM tasks")) == 2
    assert "chunk_lost" in pooled.handler.log.read_text()


def test_webhooks_deadlines_and_cancelling_need_no_other_program(pooled: Platform) -> None:
    (scorer,) = scoring(pooled)
    scorer.suspend()
    try:
        with receiving() as receiver:
            cancelled, late, told = (
                pooled.client.post("/submit", json=[REPORT], params=params).json()["task_id"]
                for params in ({}, {"deadline": "1"}, {"callback_url": receiver.url})
            )
            assert pooled.client.post(f"/task/{cancelled}/cancel").json()["status"] == "REVOKED"
            assert pooled.finished(late)["status"] == "EXPIRED"
            scorer.resume()
            assert pooled.finished(told)["status"] == "SUCCESS"
            (request,) = eventually(lambda: receiver.received)
            assert request.verified(QUICK["WEBHOOK_SECRET"])["data"]["task_id"] == told
    finally:
        scorer.resume()


def test_postgres_away_and_back_delays_and_loses_nothing(tmp_path: Path) -> None:
    with temporary_open_folder() as folder:
        postgres = start_postgres(folder)
        upgrade(postgres.url)
        try:
            with Platform(postgres.url, "", tmp_path, **QUICK) as own:
                task_ids = [own.submit(*[REPORT] * BATCH) for _ in range(6)]
                postgres.stop()
                postgres = start_postgres(folder, port=postgres.port)
                eventually(lambda: own.client.get("/health/ready").status_code == 200)
                assert [own.finished(task_id)["status"] for task_id in task_ids] == ["SUCCESS"] * 6
        finally:
            postgres.stop()


def test_two_containers_drain_inside_ten_seconds_and_the_other_finishes(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    """Whoever is told to stop leaves no process and no lease; what it had accepted is scored elsewhere, once."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Platform(database_url, "", tmp_path / "a", **QUICK) as first:
        task_ids = []
        while statuses(engine).get("PENDING", 0) < 20:
            with ThreadPoolExecutor(8) as clients:
                task_ids += clients.map(lambda _: first.submit(*[REPORT] * BATCH), range(16))
        processes = children(first)
        assert first.handler.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert [process for process in processes if process.is_running()] == []
        left = statuses(engine)
        assert left.get("PENDING", 0) > 0
        assert "STARTED" not in left
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM workers")) == 0
    with Platform(database_url, "", tmp_path / "b", **QUICK) as second:
        assert {second.finished(task_id)["status"] for task_id in task_ids} == {"SUCCESS"}
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM report_scores")) == BATCH * len(task_ids)
