"""Finds the served models: every folder beside this file that has a spec."""

import importlib
from functools import cache
from pathlib import Path

from models.contract import Load, Spec

ROOM = Path(__file__).parent


@cache
def specs() -> dict[str, Spec]:
    """Return every served model's spec by name, in alphabetical order."""
    found = {}
    for file in sorted(ROOM.glob("*/spec.py")):
        folder = file.parent.name
        spec = importlib.import_module(f"models.{folder}.spec").SPEC
        if spec.name != folder:
            raise ValueError(f"models/{folder}/spec.py names its model {spec.name!r}; name it {folder!r}")
        found[spec.name] = spec
    return found


def time_limit(name: str) -> int:
    """Return the seconds that a worker may take for a message of the model."""
    return specs()[name].time_limit


def bounds(name: str) -> tuple[int, int]:
    """Return how many inputs tasks of the model have together in one message, and its time limit in seconds."""
    spec = specs()[name]
    return spec.max_chunk, spec.time_limit


def loader(name: str) -> Load:
    """Import the model's runtime and return its `load`. Only a worker calls this."""
    load: Load = importlib.import_module(f"models.{name}.model").load
    return load
