"""A worker does not serve files that are not those which were added: it says which, and starts with no model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.conftest import as_app
from tests.running import ROOT

FLIPPED = "UPDATE model_artifacts SET content = set_byte(content, 1000, get_byte(content, 1000) # 1)"
LOST = "DELETE FROM model_artifacts"


@pytest.mark.parametrize(("change", "words"), [(FLIPPED, "sha256 is"), (LOST, "does not have the file")])
def test_a_worker_does_not_start_on_tampered_files(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path, change: str, words: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"{change} WHERE octet_length(content) > 50000"))
    done = subprocess.run(
        [sys.executable, "-m", "worker"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": as_app(database_url),
            "REDIS_URL": redis_url,
            "WORKER_MODELS": "report_scorer",
            "MODEL_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    log = done.stdout + done.stderr
    assert "no_model_loaded" in log
    assert words in log


def test_no_code_of_ours_unpickles() -> None:
    ours = [file for room in ROOT.iterdir() if (room / "__init__.py").exists() for file in room.rglob("*.py")]
    assert len(ours) > 50
    risky = ("pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal", "torch.load")
    found = [
        (str(file.relative_to(ROOT)), line)
        for file in ours
        # (The pool hands Python objects to processes of its own over pipes that nobody else can open.)
        if file.relative_to(ROOT).parts[0] not in ("tests", "pool")
        for line in file.read_text(encoding="utf-8").splitlines()
        # pickletools prints the orders of a pickle, and runs none.
        if (
            (line.strip().startswith(("import ", "from ")) and any(word in line for word in risky))
            and line != "import pickletools"
        )
        or "torch.load(" in line
    ]
    assert found == []
