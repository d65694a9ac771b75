"""A hundred models come and go: programs forget each that is retired, and only its table stays."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, inspect

from cli.models.add import new_version
from registry import administration, inspection, prediction_tables
from registry.inspection import ModelProposal
from serving.schema import spec_of
from tests.integration.test_own_model import FEATURES, trained
from tests.processes import own_memory
from tests.running import Platform, eventually

WAVES = 10
TOGETHER = 10

GROWTH = 1.15
"""Of a program's own memory from twenty models to a hundred: for each, it keeps what the registry says of it."""


@pytest.fixture
def platform(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Platform]:
    (tmp_path / "logs").mkdir()
    settings = {"MODEL_CACHE": str(tmp_path / "cache"), "WORKER_MODELS": ""}
    with Platform(database_url, redis_url, tmp_path / "logs", **settings) as platform:
        yield platform


def add(connection: Connection, proposal: ModelProposal, name: str, folder: Path) -> None:
    folder.mkdir()
    new = new_version(replace(proposal, name=name), folder)
    administration.add(connection, new, "ada")
    prediction_tables.make(connection, spec_of(name, new.table, proposal.schema))
    administration.promote(connection, name, None, "ada")


def loaded(platform: Platform, names: list[str]) -> bool:
    processes = {model["name"]: model["processes"] for model in platform.client.get("/models").json()}
    return all(processes.get(name) for name in names)


def score(platform: Platform, name: str, rows: list[dict[str, Any]]) -> list[float]:
    inputs = [{field: row[field] for field in FEATURES if row[field] is not None} for row in rows]
    task_id = platform.client.post(f"/models/{name}/submit", json=inputs).json()["task_id"]
    task = platform.client.get(f"/task/{task_id}", headers={"Prefer": "wait=30"}).json()
    assert task["status"] == "SUCCESS", task
    scores: list[float] = task["score"]
    return scores


@pytest.mark.timeout(600)
def test_a_hundred_models_leave_nothing_but_their_tables(platform: Platform, engine: Engine, tmp_path: Path) -> None:
    rows = trained(tmp_path / "churn")[:50]
    proposal = inspection.inspect(tmp_path / "churn")
    used: list[tuple[int, int]] = []
    for wave in range(WAVES):
        names = [f"churn_{wave}_{number}" for number in range(TOGETHER)]
        with engine.begin() as connection:
            for name in names:
                add(connection, proposal, name, tmp_path / name)
        eventually(lambda names=names: loaded(platform, names))
        for name in names:
            assert score(platform, name, rows) == pytest.approx([row["expected"] for row in rows], abs=1e-6)
        with engine.begin() as connection:
            for name in names:
                administration.retire(connection, name, None, "ada")
        eventually(lambda names=names: not {m["name"] for m in platform.client.get("/models").json()} & set(names))
        time.sleep(2)  # so that a worker's processes have looked, too
        used.append((own_memory(platform.handler.pid), own_memory(platform.worker.pid)))
    left = [table for table in inspect(engine).get_table_names() if table.startswith("churn_")]
    assert len(left) == WAVES * TOGETHER
    for program in (0, 1):
        first, last = used[1][program], used[-1][program]
        assert last < GROWTH * first, [tuple(n >> 20 for n in one) for one in used]
