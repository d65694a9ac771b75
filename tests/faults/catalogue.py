"""Serves the faulty model beside the real ones, from a copy of `models/`: the product knows nothing of it."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from registry import administration, prediction_tables
from registry.administration import NewVersion
from registry.builtin import CODE
from serving.artifact import sha256
from tests.faults.faulty.spec import SPEC
from tests.running import ROOT

GOLDEN = {"input": {"act": "score", "number": 7}, "output": {"double": 14}}
NOT_SERVED = shutil.ignore_patterns("__pycache__")


def copy_with_faulty(folder: Path) -> dict[str, str]:
    """Make a copy of `models/` with the faulty one, and return the settings with which programs take it for theirs."""
    models = folder / "models"
    shutil.copytree(ROOT / "models", models, ignore=NOT_SERVED)
    shutil.copytree(Path(__file__).parent / SPEC.name, models / SPEC.name, ignore=NOT_SERVED)
    artifact = models / SPEC.name / "artifact" / "1.0.0"
    artifact.mkdir(parents=True)
    (artifact.parent / "CURRENT").write_text("1.0.0\n")
    (artifact / "golden.jsonl").write_text(json.dumps(GOLDEN) + "\n")
    manifest = {"version": "1.0.0", "sha256": {"golden.jsonl": sha256(artifact / "golden.jsonl")}}
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    # Both Python and uvicorn would put the checkout, where the programs start, before this.
    return {
        "WORKER_MODELS": f"report_scorer,{SPEC.name}",
        "PYTHONPATH": f"{folder}:{ROOT}",
        "PYTHONSAFEPATH": "1",
        "UVICORN_APP_DIR": str(folder),
    }


def create_table(engine: Engine) -> None:
    """Make the faulty model's table, and make it live."""
    with TemporaryDirectory() as folder, engine.begin() as connection:
        golden = Path(folder) / "golden.jsonl"
        golden.write_text(json.dumps(GOLDEN) + "\n")
        files, runtime = {golden.name: golden}, f"{CODE}{SPEC.name}"
        new = NewVersion(SPEC.name, SPEC.table, runtime=runtime, schema=None, files=files, version="1.0.0")
        administration.add(connection, new, "tests")
        prediction_tables.make(connection, SPEC)
        administration.promote(connection, SPEC.name, "1.0.0", "tests")
