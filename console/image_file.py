"""The stored file of an image among the inputs of a task: nothing in it runs, and no other site gets it."""

import asyncio
from base64 import b64decode
from typing import Any
from uuid import UUID

from starlette.responses import Response

from console.images import kind_of
from console.page import Answer, Visit
from console.task_rows import PAYLOAD
from handler.http.parameters import id_in
from handler.models import KnownModel
from handler.problems import ProblemKind, RequestRefused
from serving import wire
from serving.contract import Column
from store import first_rows, task_story
from store.states import Status

IMAGE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


async def image(visit: Visit) -> Response:
    """Return an image of a task, by the row's position and the field's place. Raises RequestRefused."""
    task_id = id_in(visit.request, "task_id")
    task = await visit.services.tasks.read_summary(task_id, visit.caller)
    model = await visit.services.models.found(task["model"])
    position, column = _place(visit, model)
    content = await _content(visit, task, model, position, column)
    kind = kind_of(content) if isinstance(content, bytes) else None
    if kind is None:
        raise _no_image()
    return Response(content, media_type=kind)


def _place(visit: Visit, model: KnownModel | None) -> tuple[int, Column]:
    """Return the position of the row and its column; a role that sees no personal fields gets none of those."""
    position, place = (visit.request.path_params[name] for name in ("position", "place"))
    columns = model.spec.input_columns if model else ()
    if not all(number.isdecimal() and len(number) < 10 for number in (position, place)) or int(place) >= len(columns):
        raise _no_image()
    column = columns[int(place)]
    if model is not None and visit.caller.masked and column.name in (*model.spec.personal, model.spec.key):
        detail = f"The role {visit.caller.role} sees no personal fields, and this image is one."
        raise RequestRefused(ProblemKind.ROLE_REFUSED, detail)
    return int(position), column


async def _content(visit: Visit, task: dict[str, Any], model: KnownModel | None, position: int, column: Column) -> Any:
    task_id: UUID = task["task_id"]
    if model is None or column.kind != "bytes":
        return None
    if task["status"] == Status.SUCCESS:
        async with visit.services.results.connection() as connection:
            return await first_rows.value_at(connection, model.table, column.name, task_id, position)
    async with visit.services.engine.connect() as connection:
        payload = await task_story.kept_payload(connection, task_id, PAYLOAD)
    if payload is None:
        return None
    return await asyncio.to_thread(_waiting, payload, position, model.spec.public_names[column.name])


def _waiting(payload: bytes, position: int, name: str) -> bytes | None:
    """Return the bytes of a field of an input that waits to be scored, or could not be."""
    try:
        found = wire.inputs(payload)[position].get(name)
        return b64decode(found) if isinstance(found, str) else None
    except (wire.UnknownFormat, ValueError, IndexError):
        return None


def _no_image() -> RequestRefused:
    detail = "There is no PNG, JPEG or WebP file here: the field holds none, or its inputs are not kept."
    return RequestRefused(ProblemKind.NOT_FOUND, detail)


PAGES: list[tuple[str, Answer]] = [("/console/task/{task_id}/image/{position}/{place}", image)]
