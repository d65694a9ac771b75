"""A worker whose model files are not those that were trained does not start, and says which file it is."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import ROOT

ARTIFACT = Path("models/report_scorer/artifact/1.0.0")


def flip_a_bit(artifact: Path) -> None:
    file = artifact / "model.ubj"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lose_a_file(artifact: Path) -> None:
    (artifact / "model.ubj").unlink()


def add_a_file(artifact: Path) -> None:
    (artifact / "model.json").write_text("{}")


def add_a_pickle(artifact: Path) -> None:
    (artifact / "model.pkl").write_bytes(pickle.dumps(print))


def list_a_pickle(artifact: Path) -> None:
    """As somebody might who trains with a library that knows nothing else."""
    add_a_pickle(artifact)
    manifest = artifact / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"sha256": {', '"sha256": {"model.pkl": "0",', 1))


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (flip_a_bit, "model.ubj: sha256 is"),
        (lose_a_file, "model.ubj: sha256 is missing"),
        (add_a_file, "model.json: the manifest does not know it"),
        (add_a_pickle, "model.pkl: the manifest does not know it"),
        (list_a_pickle, "model.pkl: not one of .bin"),
    ],
)
def test_a_worker_does_not_start_on_a_tampered_artifact(
    tmp_path: Path, tamper: Callable[[Path], None], words: str
) -> None:
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    tamper(tmp_path / ARTIFACT)
    done = subprocess.run(
        [sys.executable, "-m", "worker"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "REDIS_URL": "redis://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "artifact_refused" in line
    assert str(tmp_path / ARTIFACT) in line
    assert words in line


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
        if (line.strip().startswith(("import ", "from ")) and any(word in line for word in risky))
        or "torch.load(" in line
    ]
    assert found == []
