"""Writes results as JSON, so that what a decision rested on can be stored and read again."""

from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any

import numpy as np


def as_json(result: Any) -> Any:
    """Return a result as dicts, lists, strings, numbers and None: JSON knows no NaN, so it is null.

    Raises TypeError for what none of our results holds.
    """
    if is_dataclass(result) and not isinstance(result, type):
        return {field.name: as_json(getattr(result, field.name)) for field in fields(result)}
    if isinstance(result, Enum):
        return result.value
    if isinstance(result, dict):
        return {str(name): as_json(value) for name, value in result.items()}
    if isinstance(result, np.ndarray | np.generic):
        return as_json(result.tolist())
    if isinstance(result, list | tuple):
        return [as_json(value) for value in result]
    if isinstance(result, float):
        return result if isfinite(result) else None
    if result is None or isinstance(result, str | int):
        return result
    raise TypeError(f"a {type(result).__name__} has no form in JSON")
