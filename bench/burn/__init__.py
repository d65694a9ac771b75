"""A model that only burns CPU: the load by which a public in-process package was measured.

Served by Millrace from a copy of `models/` (the product knows nothing of it), and by `sync.py` in the API's process.
"""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.burn.model.spec import SPEC
from devstack.local import ROOT
from registry import administration, prediction_tables
from registry.administration import NewVersion
from registry.builtin import CODE
from serving.artifact import sha256
from store.engine import connect

GOLDEN = {"input": {"cycles": 10, "number": 7}, "output": {"burnt": 10}}
NOT_SERVED = shutil.ignore_patterns("__pycache__")


def serve(folder: Path) -> dict[str, str]:
    """Make a copy of `models/` with this one, and return the settings with which programs take it for theirs."""
    models = folder / "models"
    shutil.copytree(ROOT / "models", models, ignore=NOT_SERVED)
    shutil.copytree(Path(__file__).parent / "model", models / SPEC.name, ignore=NOT_SERVED)
    artifact = models / SPEC.name / "artifact" / "1.0.0"
    artifact.mkdir(parents=True)
    (artifact.parent / "CURRENT").write_text("1.0.0\n", encoding="utf-8")
    (artifact / "golden.jsonl").write_text(json.dumps(GOLDEN) + "\n", encoding="utf-8")
    (artifact / "evaluation.json").write_text("{}\n", encoding="utf-8")
    files = {file.name: sha256(file) for file in artifact.iterdir()}
    (artifact / "manifest.json").write_text(json.dumps({"version": "1.0.0", "sha256": files}), encoding="utf-8")
    # Both Python and uvicorn would put the checkout, where the programs start, before this.
    return {"PYTHONPATH": f"{folder}:{ROOT}", "PYTHONSAFEPATH": "1", "UVICORN_APP_DIR": str(folder)}


def register(database_url: str) -> None:
    """Make the model live, and make its table."""
    engine = connect(database_url)
    with TemporaryDirectory() as folder, engine.begin() as connection:
        golden = Path(folder) / "golden.jsonl"
        golden.write_text(json.dumps(GOLDEN) + "\n", encoding="utf-8")
        files, runtime = {golden.name: golden}, f"{CODE}{SPEC.name}"
        new = NewVersion(SPEC.name, SPEC.table, runtime=runtime, schema=None, files=files, version="1.0.0")
        administration.add(connection, new, "bench")
        prediction_tables.make(connection, SPEC)
        administration.promote(connection, SPEC.name, "1.0.0", "bench")
    engine.dispose()
