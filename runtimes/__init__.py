"""The libraries that run models which are data, one file each: `describe` says what a file holds, `load` loads it."""

from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from runtimes.description import Description
from serving.artifact import CODE, REMOTE, Artifact
from serving.contract import Predictor


class Runtime(NamedTuple):
    module: str
    library: str | None
    """What has to be installed here; None: nothing."""
    file: str
    """What the model file is called in an artifact."""


RUNTIMES = {
    "xgboost": Runtime("runtimes.xgboost_model", "xgboost", "model.ubj"),
    "lightgbm": Runtime("runtimes.lightgbm_model", "lightgbm", "model.txt"),
    "catboost": Runtime("runtimes.catboost_model", "catboost", "model.cbm"),
    "onnx": Runtime("runtimes.onnx_model", "onnxruntime", "model.onnx"),
    REMOTE: Runtime("runtimes.remote_model", None, ""),
    CODE: Runtime("runtimes.code_model", None, "model.py"),
}


def available(runtime: str) -> bool:
    """Return whether what the runtime needs is installed here, be it since this program has started."""
    if runtime not in RUNTIMES:
        return False
    library = RUNTIMES[runtime].library
    if library is None or find_spec(library) is not None:
        return True
    invalidate_caches()
    return find_spec(library) is not None


def describe(runtime: str, file: Path) -> Description:
    """Return what the model file says. The library parses it: call this where a crash or its appetite harms nobody."""
    found: Description = import_module(RUNTIMES[runtime].module).describe(file)
    return found


def load(found: Artifact) -> Predictor:
    """Load the model of an artifact, whose manifest names the runtime."""
    predictor: Predictor = import_module(RUNTIMES[found.manifest["runtime"]].module).load(found)
    return predictor
