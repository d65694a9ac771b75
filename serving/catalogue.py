"""Finds the served models: every folder of models/ with a spec."""

import importlib.util
from functools import cache
from pathlib import Path

import structlog

from serving.contract import Loader, Spec

log = structlog.get_logger(__name__)

_MODELS = importlib.util.find_spec("models")
FOLDER = Path(str(_MODELS and _MODELS.origin)).parent


@cache
def folders() -> tuple[str, ...]:
    """Return the names of the models that have a spec, whether it can be read or not."""
    return tuple(sorted(file.parent.name for file in FOLDER.glob("*/spec.py")))


def specs() -> dict[str, Spec]:
    """Return every served model's spec by name, in alphabetical order, without those that cannot be read."""
    return _load_specs()[0]


def refused() -> dict[str, str]:
    """Return why, by name, for the models whose spec cannot be read, or describes what no table can keep."""
    return _load_specs()[1]


@cache
def _load_specs() -> tuple[dict[str, Spec], dict[str, str]]:
    found: dict[str, Spec] = {}
    reasons: dict[str, str] = {}
    for folder in folders():
        try:
            spec: Spec = importlib.import_module(f"models.{folder}.spec").SPEC
            if spec.name != folder:
                raise ValueError(f"models/{folder}/spec.py names its model {spec.name!r}; name it {folder!r}")
            _ = spec.stored_columns
        except Exception as error:
            reasons[folder] = f"{type(error).__name__}: {error}"
            log.critical("model_refused", model=folder, reason=reasons[folder])
        else:
            found[folder] = spec
    return found, reasons


def time_limit(name: str) -> int:
    """Return the seconds that predicting a chunk of the model may take."""
    return specs()[name].time_limit


def bounds(name: str) -> tuple[int, int]:
    """Return how many inputs a chunk of the model has at most, and its time limit in seconds."""
    spec = specs()[name]
    return spec.max_chunk, spec.time_limit


def loader(name: str) -> Loader:
    """Import the model's runtime and return its `load`. Only a worker calls this."""
    load: Loader = importlib.import_module(f"models.{name}.model").load
    return load
