"""The rooms keep to their floors: no ML runtime under the handler, no room without a role, no import upwards."""

import json
import subprocess
import sys
from pathlib import Path

from tests.running import ROOT

RUNTIMES = {
    "xgboost",
    "onnxruntime",
    "ctranslate2",
    "torch",
    "torchvision",
    "transformers",
    "sklearn",
    "scipy",
    "numpy",
}
NOT_A_ROLE = {"utils", "util", "common", "core", "helpers", "helper", "misc", "base"}

PROBE = """
import json, sys
import handler.app
from serving.catalogue import FOLDER, specs
assert len(specs()) == len(list(FOLDER.glob("*/spec.py"))) > 0
json.dump(sorted({name.partition(".")[0] for name in sys.modules}), sys.stdout)
"""


def sources() -> list[Path]:
    """Our Python files, and the folders that they are in."""
    rooms = [room for room in ROOT.iterdir() if room.is_dir() and not room.name.startswith(".")]
    files = [file.relative_to(ROOT) for room in rooms for file in room.rglob("*.py")]
    assert len(files) > 50
    return [*files, *{folder for file in files for folder in file.parents if folder.name}]


def test_the_handler_and_every_spec_import_no_ml_runtime_and_no_celery() -> None:
    imported = set(json.loads(subprocess.check_output([sys.executable, "-c", PROBE], cwd=ROOT)))
    assert "handler" in imported
    assert not imported & (RUNTIMES | {"celery", "kombu"})


def test_no_room_is_named_by_its_kind() -> None:
    assert [
        path for path in sources() if path.stem.lower() in NOT_A_ROLE and path.parts[:2] != ("pool", "compat")
    ] == []


def test_no_room_shadows_the_standard_library() -> None:
    """A top-level queue/ would hide the standard library's queue, and Celery could not be imported."""
    ours = {path.parts[0].removesuffix(".py") for path in sources()}
    assert "handler" in ours
    assert ours & sys.stdlib_module_names == set()


def test_every_import_goes_down() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
