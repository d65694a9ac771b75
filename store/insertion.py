"""A few predictions as an INSERT within the statement that ends their tasks. `copying` is for many.

COPY needs a transaction around it: four more round trips, which together take longer than a few rows.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table

FEW = 16
"""Rows. Beyond, COPY's binary stream is cheaper than JSON."""


def inserting(table: Table, columns: Sequence[str]) -> str:
    """Return the INSERT of the rows `:rows` whose task is in the relation `ended`."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"""
        INSERT INTO "{table.name}" ({names}) SELECT {names} FROM json_populate_recordset(NULL::"{table.name}", :rows)
        WHERE task_id IN (SELECT id FROM ended)
    """


def as_json(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> str | None:
    """Return the rows for `inserting`, or None where JSON cannot say them: bytes, and numbers that are not finite."""
    lists = [values.tolist() if isinstance(values, np.ndarray) else values for values in columns.values()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    try:
        return json.dumps(rows, allow_nan=False, default=_plain)
    except (TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(type(value))
