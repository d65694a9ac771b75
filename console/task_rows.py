"""The first rows of a task: inputs, and outputs beside them once there are any, bounded whatever a model has."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from console import images
from console.page import Visit
from handler.answer.result_stream import shape_of
from handler.models import KnownModel
from serving import wire
from serving.contract import Spec
from store import first_rows, task_story
from store.states import Status

ROWS = 50
"""Rows of a task that a page shows."""

COLUMNS = 30
"""Fields that a page shows: outputs have a half of them, and what inputs leave of the others."""

SHOWN = 300
"""Characters of a value that a page shows."""

PAYLOAD = 2**20
"""Bytes of stored inputs that are read for a page; of more, the page says only how many there are."""


@dataclass(frozen=True)
class TaskRows:
    """What is shown of the rows, and of how many fields."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    rows: list[dict[str, Any]]
    fields: int


class DrawnRows:
    """The HTML of a task's rows, drawn once for each state and attempt: a stream shows a page again and again."""

    def __init__(self) -> None:
        self._of: tuple[str, int] | None = None
        self._html = ""

    async def html(self, visit: Visit, task: dict[str, Any], attempt: int) -> str:
        """Return the section of a task's page that has its rows; a thread draws it."""
        asked = (task["status"], attempt)
        if self._of != asked:
            rows = await _rows(visit, task)
            self._html = await asyncio.to_thread(visit.html, "task_rows.html", task=task, rows=rows, most=SHOWN)
            self._of = asked
        return self._html


async def _rows(visit: Visit, task: dict[str, Any]) -> TaskRows | None:
    """Return the first inputs, beside their outputs where there are any; None where none can be shown."""
    model = await visit.services.models.found(task["model"])
    if model is None:
        return None
    if task["status"] == Status.SUCCESS:
        return _with_images(model.spec, task["task_id"], await _scored(visit, model, task["task_id"]))
    async with visit.services.engine.connect() as connection:
        payload = await task_story.kept_payload(connection, task["task_id"], PAYLOAD)
    if payload is None:
        return None
    found = await asyncio.to_thread(_stored, model.spec, payload, masked=visit.caller.masked)
    return _with_images(model.spec, task["task_id"], found)


def _stored(spec: Spec, payload: bytes, *, masked: bool) -> TaskRows | None:
    """Return the inputs that wait to be scored, or could not be."""
    try:
        rows = [images.decoded(spec, row) for row in wire.inputs(payload)[:ROWS]]
    except (wire.UnknownFormat, ValueError):
        return None
    hidden = {spec.public_names[name] for name in (*spec.personal, *([spec.key] if spec.key else []))}
    names = [spec.public_names[column.name] for column in spec.input_columns]
    seen = [name for name in names if not (masked and name in hidden)]
    shown, _ = chosen(seen, [])
    return TaskRows(shown, [], [{name: row.get(name) for name in shown} for row in rows], len(seen))


def _with_images(spec: Spec, task_id: UUID, found: TaskRows | None) -> TaskRows | None:
    """Return the rows with thumbnails in the first of them."""
    if found is None:
        return None
    shown = [images.drawn(spec, task_id, position, row) for position, row in enumerate(found.rows[: images.DRAWN])]
    return replace(found, rows=[*shown, *found.rows[images.DRAWN :]])


async def _scored(visit: Visit, model: KnownModel, task_id: UUID) -> TaskRows:
    columns = dict(shape_of(model, visit.caller, details=False).columns)
    del columns["model_version"]  # the page has it
    results = {column.name for column in model.spec.output_columns}
    inputs, outputs = chosen(
        [name for name, column in columns.items() if column not in results],
        [name for name, column in columns.items() if column in results],
    )
    names = [*outputs, *inputs]
    async with visit.services.results.connection() as connection:
        rows = await first_rows.first_rows(
            connection, model.table, [columns[name] for name in names], task_id, ROWS, SHOWN
        )
    return TaskRows(inputs, outputs, [dict(zip(names, row, strict=True)) for row in rows], len(columns))


def chosen(inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the inputs and outputs that are shown, at most COLUMNS together."""
    outputs = outputs[: max(COLUMNS // 2, COLUMNS - len(inputs))]
    return inputs[: COLUMNS - len(outputs)], outputs
