"""How good a model is on live traffic: what `millrace evaluate`, `models gate` and `drift` have stored last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from console.page import Visit
from handler.auth.caller import LEADS
from store import drift, evaluations, version_scores

REPORTS = 5
"""Reports of the gate that the page shows."""

COLUMNS = 50
"""Comparisons of columns that the page shows, what has drifted first."""


@dataclass(frozen=True)
class Quality:
    """Rows of the tables of the same names, the latest first."""

    evaluations: Sequence[Row[Any]]
    figures: list[str]
    """The names of the figures that any of the evaluations has."""
    gate: Sequence[Row[Any]]
    drift: Sequence[Row[Any]]


async def quality(visit: Visit, model: str, version: str | None) -> Quality | None:
    """Return what is known of a model; None for roles that may not know what all clients' predictions were worth."""
    if visit.caller.role not in LEADS:
        return None
    async with visit.services.lists.reading(visit.caller) as connection:
        evaluated = await evaluations.last(connection, model, ["all", "version"])
        reports = await connection.run_sync(version_scores.gate_reports_of, model, REPORTS)
        moved = await connection.run_sync(drift.last, [(model, version)] if version else [], COLUMNS)
    figures = dict.fromkeys(name for row in evaluated for name in row.naive)
    return Quality(evaluated, list(figures), reports, moved)


def figure(found: Mapping[str, Any] | None, name: str) -> str:
    """Write a figure with its interval; empty where there is none."""
    one = (found or {}).get(name)
    if one is None or one["value"] is None:
        return ""
    if one["low"] is None:
        return f"{one['value']:.3f} (too few)"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
