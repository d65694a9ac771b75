"""What deleting asks of the export: which days a bucket holds, verified, and to write one of them anew."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Protocol

from sqlalchemy import Engine

from store.old_days import OldDay


class ExportedDay(Protocol):
    """The manifest of a day."""

    @property
    def rows(self) -> int: ...


@dataclass(frozen=True)
class Exports:
    """The export's functions, for the bucket of EXPORT_URL."""

    verified: Callable[[str, date], ExportedDay | None]
    """Return the manifest of a model's day if its files are there and are what it says."""
    days: Callable[[str], Collection[date]]
    """Return the days of a model that have a manifest."""
    export_day: Callable[[str, str, date], object]
    """Write a model's day anew, from the table of this name."""
    erase: Callable[[str, date, str, str | int], object] | None = None
    """Write a model's day anew from its own files, without the rows that have this value in this column: for days that
    retention has deleted from the table. It raises KeyError where there is no such column. None: it is not possible."""


def exports(engine: Engine) -> Exports | None:
    """Return the functions for EXPORT_URL; None where it is not set, and nothing is exported."""
    url = os.environ.get("EXPORT_URL")
    if not url:
        return None
    from export import days, erasing, manifest  # Arrow and fsspec, which few need

    return Exports(
        verified=partial(manifest.verified, url),
        days=partial(manifest.days, url),
        export_day=partial(days.export_day, engine, url),
        erase=partial(erasing.erase_rows, engine, url),
    )


def why_kept(exports: Exports | None, model: str, old: OldDay) -> str | None:
    """Return why a day must stay in the table; None: it may be deleted.

    A day that an interrupted run has begun was found exported then, and the table no longer has all of its rows.
    """
    if exports is None or old.unfinished or old.predictions == 0:
        return None
    manifest = exports.verified(model, old.day)
    if manifest is None:
        return "it is not exported, or its export cannot be verified"
    if manifest.rows != old.predictions:
        return f"its export has {manifest.rows:,} rows and the table {old.predictions:,}: export the day again"
    return None
