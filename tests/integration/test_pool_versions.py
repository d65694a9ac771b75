"""ENGINE=pool: a version that fails its test goes live on no process, and leaves the others at work."""

from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine

from registry import administration
from tests.artifacts import misremembered, recalibrated
from tests.faults import catalogue
from tests.running import REPORT, Platform, eventually

QUICK = {
    "ENGINE": "pool",
    "LEASE_SECONDS": "2",
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "REPUBLISH_AFTER_SECONDS": "2",
    "WORKER_CONCURRENCY": "2",
}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def pooled(database_url: str, tmp_path: Path) -> Iterator[Platform]:
    (tmp_path / "logs").mkdir()
    settings = {**QUICK, "MODEL_CACHE": str(tmp_path / "cache"), "WORKER_MODELS": "report_scorer,text_classifier"}
    with Platform(database_url, "", tmp_path / "logs", **settings) as platform:
        yield platform


def make_live(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        administration.promote(connection, "report_scorer", version, "ada")


def loaded(platform: Platform) -> set[str]:
    """Return the versions of the report scorer that the processes have."""
    workers = platform.client.get("/workers").json()
    return {one["version"] for worker in workers for one in worker["models"] if one["model"] == "report_scorer"}


def test_a_version_whose_golden_rows_fail_goes_live_on_no_process_not_on_a_new_one_either(
    pooled: Platform, engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        administration.add(connection, recalibrated(tmp_path, "1.1.0", 3.0), "ada")
        administration.add(connection, misremembered(tmp_path, "1.2.0"), "ada")
    make_live(engine, "1.1.0")
    eventually(lambda: loaded(pooled) == {"1.1.0"})
    make_live(engine, "1.2.0")
    unloaded = eventually(lambda: pooled.client.get("/health/ready").json()["unloaded"].get("report_scorer"))
    assert "1.2.0" in unloaded
    assert "golden row 2" in unloaded
    for _ in range(10):
        assert pooled.client.post("/predict", json=REPORT).json()["model_version"] == "1.1.0"
    before = {worker["pid"] for worker in pooled.client.get("/workers").json()}
    for pid in before:
        psutil.Process(pid).kill()
    eventually(lambda: before.isdisjoint(worker["pid"] for worker in pooled.client.get("/workers").json()))
    waiting = pooled.submit(REPORT)
    text = {"text": "The goalie made 40 saves."}
    assert eventually(lambda: pooled.client.post("/prediction", json=text).json().get("label")) == "hockey"
    assert pooled.client.get(f"/task/{waiting}").json()["status"] in ("PENDING", "STARTED")
    with engine.begin() as connection:
        administration.roll_back(connection, "report_scorer", "ada")
    task = pooled.finished(waiting)
    assert (task["status"], task["model_version"]) == ("SUCCESS", "1.1.0"), task


def test_a_version_that_ends_the_process_which_loads_it_leaves_the_others_at_work(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    catalogue.create_table(engine)
    settings = catalogue.copy_with_faulty(tmp_path)
    (tmp_path / "models" / "faulty" / "model.py").write_text("import os\ndef load(artifact): os._exit(9)")
    platform = Platform(database_url, "", tmp_path, **settings, **QUICK)
    platform._models = lambda: ["report_scorer"]  # type: ignore[method-assign]
    with platform:
        assert platform.finished(platform.submit(REPORT))["status"] == "SUCCESS"
        unloaded = eventually(lambda: platform.client.get("/health/ready").json()["unloaded"].get("faulty"))
        assert "ended" in unloaded
