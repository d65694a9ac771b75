"""A model whose tensors lie in a file beside it is served as any other, and its worker reads no other file."""

import os
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from tests.external import DATA, WEIGHTS, network, saved, split, tensor
from tests.forking import run_command
from tests.running import Platform, eventually

pytestmark = pytest.mark.timeout(240)

FLIPPED = text("UPDATE model_artifacts SET content = set_byte(content, 3, 1) WHERE content = :content")


def millrace(platform: Platform, *arguments: str, status: int = 0) -> str:
    ended, said = run_command(["cli.models", *arguments], {**os.environ, "DATABASE_URL": platform.database_url})
    assert ended == status, said
    return said


def score(platform: Platform) -> tuple[str, list[float]]:
    """Return the version that scores two rows, and the values."""
    rows = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 4.0, "b": 5.0, "c": 6.0}]
    task_id = eventually(lambda: platform.client.post("/models/net/submit", json=rows).json().get("task_id"))
    task = platform.client.get(f"/task/{task_id}", headers={"Prefer": "wait=30"}).json()
    return task["model_version"], task["value"]


def test_it_is_added_promoted_scored_and_verified(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    folder, cache = tmp_path / "net", tmp_path / "cache"
    split(folder)
    (folder / "sample.csv").write_text("a,b,c,expected\n1,2,3,14\n4,5,6,32\n")
    (tmp_path / "logs").mkdir()
    settings = {"MODEL_CACHE": str(cache), "WORKER_MODELS": ""}
    with Platform(database_url, redis_url, tmp_path / "logs", **settings) as platform:
        assert f"model.onnx, {DATA}" in millrace(platform, "inspect", str(folder))
        millrace(platform, "add", str(folder))
        assert "unchanged" in millrace(platform, "add", str(folder))
        millrace(platform, "promote", "net")
        assert score(platform) == ("1", [14.0, 32.0])
        (kept,) = cache.glob("net/1-*")
        assert (kept / DATA).read_bytes() == WEIGHTS.tobytes()

        (folder / DATA).write_bytes((WEIGHTS * 2).tobytes())
        (folder / "sample.csv").write_text("a,b,c,expected\n1,2,3,28\n4,5,6,64\n")
        assert "version 2 is a candidate" in millrace(platform, "add", str(folder)), "the weights alone are another"
        with engine.begin() as connection:
            changed = connection.execute(FLIPPED, {"content": (WEIGHTS * 2).tobytes()})
            assert changed.rowcount == 1
        assert f"{DATA}: sha256 is" in millrace(platform, "promote", "net", "--yes")
        assert score(platform) == ("1", [14.0, 32.0])

        saved(folder, network(tensor([("location", "../cache/outside")])))
        np.save(cache / "outside", WEIGHTS)
        refused = millrace(platform, "add", str(folder), status=1)
        assert "the tensor 'W' lies in '../cache/outside', outside the model's folder" in refused
