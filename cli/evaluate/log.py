"""The log of draws as the statistics take it, and its filters as conditions in SQL."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from cli.evaluate.copied import copied
from evaluation.draws import ALL
from evaluation.linear import Flags, Floats
from serving.contract import Spec
from store.outcome_tables import Policy

OPERATORS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

NOWHERE = -1
"""The place of a prediction that was erased."""


@dataclass(frozen=True)
class DrawLog:
    """A model's draws in their order, without second reviews: these depend on the first one alone."""

    place: NDArray[np.int64]
    """Where the prediction lies in its table, or NOWHERE."""
    at: Floats
    """Seconds since 1970."""
    random: Flags
    pool: Floats
    filter: NDArray[np.str_]

    @property
    def filters(self) -> list[str]:
        """Return the filters that there are, as JSON, without the empty one."""
        return [name for name in np.unique(self.filter).tolist() if name != ALL]


def read(connection: Connection, spec: Spec) -> DrawLog:
    of_draw = "p.task_id = d.task_id AND p.position = d.position"
    columns = {
        "place": (f'(SELECT p.ctid FROM "{spec.table}" AS p WHERE {of_draw})', "tid"),
        "at": ("extract(epoch FROM d.drawn_at)", "double precision"),
        "random": (f"d.policy = '{Policy.RANDOM}'", "boolean"),
        "pool": ("d.pool", "double precision"),
        "filter": ("CASE WHEN d.filter = '{}' THEN '' ELSE CAST(d.filter AS text) END", "text"),
    }
    rest = "FROM draws AS d WHERE d.model = %(model)s AND d.policy <> %(second)s ORDER BY d.id"
    found = copied(connection, columns, rest, {"model": spec.name, "second": Policy.SECOND.value})
    return DrawLog(
        found["place"].fill_null(NOWHERE).to_numpy(),
        found["at"].to_numpy(),
        found["random"].to_numpy(),
        found["pool"].to_numpy(),
        found["filter"].to_numpy().astype(str),
    )


def condition(spec: Spec, filtered: str, prefix: str) -> tuple[str, Mapping[str, Any]]:
    """Return the condition on the alias p that a filter of a draw means, and its parameters, which begin with `prefix`.

    The handler has checked the filter before it was noted. A field that no version has any more fits nothing.
    """
    columns = {spec.public_names[column.name]: column.name for column in (*spec.input_columns, *spec.output_columns)}
    columns |= {"scored_at": "scored_at", "model_version": "model_version"}
    parts: list[str] = ["true"]
    values: dict[str, Any] = {}
    for name, asked in json.loads(filtered).items():
        if name not in columns:
            return "false", {}
        bounds = asked.items() if isinstance(asked, dict) else [("in", asked if isinstance(asked, list) else [asked])]
        for operator, value in bounds:
            parameter = f"{prefix}_{len(values)}"
            compared = f'p."{columns[name]}" {OPERATORS.get(operator, "=")}'
            parts.append(f"{compared} ANY(%({parameter})s)" if operator == "in" else f"{compared} %({parameter})s")
            values[parameter] = value
    return f"coalesce({' AND '.join(parts)}, false)", values
