"""Stream rows of predictions: inputs beside outputs, of one task or of many."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from starlette.responses import Response

from handler.answer.outcome import require_success
from handler.answer.result_stream import shape_of
from handler.answer.row_formats import preferred
from handler.auth.caller import EVERY_ROLE
from handler.http.operation import Operation
from handler.http.parameters import Time, described_parameters, validated
from handler.http.request import ApiRequest
from handler.models import KnownModel
from handler.problems import ProblemKind, RequestRefused
from handler.services import Services
from handler.submit.batches import ARROW, CSV, NDJSON
from serving.plain import plain_error
from store import result_rows
from store.result_rows import RowSource

MAX_IDS = 1_000
"""Tasks that one request may name: their ids fit into the head of a request."""

LOOKED_UP = 256
"""Tasks that are looked up at once."""

_IDS = TypeAdapter(list[UUID])


def _ids(text: Any) -> list[UUID]:
    parts = [part.strip() for part in str(text).split(",")]
    if len(parts) > MAX_IDS:
        raise plain_error(f"At most {MAX_IDS} ids, separated by commas")
    try:
        return _IDS.validate_python(parts)
    except ValidationError:
        raise plain_error("Must be task ids, separated by commas") from None


_LISTED = WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F-]{36}(,[0-9a-fA-F-]{36})*$"})


class RowFilter(BaseModel):
    """Which rows to stream."""

    model_config = ConfigDict(extra="forbid")

    task_ids: Annotated[list[UUID] | None, BeforeValidator(_ids), _LISTED] = Field(
        None, description=f"Only these tasks, in this order: up to {MAX_IDS} ids, separated by commas"
    )
    submitted_after: Time | None = Field(None, description="RFC 3339, included", examples=["2026-01-31T09:00:00Z"])
    submitted_before: Time | None = Field(None, description="RFC 3339, not included", examples=["2026-02-01T09:00:00Z"])
    after: UUID | None = Field(
        None, description="The last task_id that was read whole: the stream goes on with the task that follows it"
    )


async def stream_predictions(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Stream the rows of a model's finished tasks: inputs beside outputs, the oldest task first.

    The format is what `Accept` names: NDJSON (the default), CSV, or an Arrow IPC stream. CSV holds each text exactly; a
    spreadsheet may run one as a formula unless it imports the column as text. A stream that was cut off goes on with
    `after`.
    """
    asked = validated(RowFilter, request.query_params)
    model = await services.models.found(request.path_params["model"])
    if model is None:
        raise RequestRefused(ProblemKind.UNKNOWN_MODEL, f"Unknown model {request.path_params['model']!r}.")
    caller = request.caller
    if asked.task_ids is not None:
        sources = _one_group(await _named(services, model, caller.confined_to, asked.task_ids))
    else:
        if asked.after is not None:
            await services.tasks.read(asked.after, caller)  # an unknown one has no successor
        sources = _groups(services, model, caller.confined_to, asked)
    return services.results.respond(request, shape_of(model, caller), preferred(request) or NDJSON, sources)


async def _named(services: Services, model: KnownModel, client: str | None, ids: Sequence[UUID]) -> list[RowSource]:
    async with services.results.connection() as connection:
        found = await result_rows.these_tasks(connection, model.name, client, ids)
    missing = set(ids) - {source.task_id for source in found}
    if missing:
        first = next(task_id for task_id in ids if task_id in missing)
        detail = f"Task {first} has no outputs of the model {model.name}: it is unknown, has not ended, or has failed."
        raise RequestRefused(ProblemKind.UNKNOWN_TASK, detail)
    return found


async def _one_group(sources: Sequence[RowSource]) -> AsyncIterator[Sequence[RowSource]]:
    yield sources


async def _groups(
    services: Services, model: KnownModel, client: str | None, asked: RowFilter
) -> AsyncIterator[Sequence[RowSource]]:
    after = asked.after
    while True:
        async with services.results.connection() as connection:
            found = await result_rows.finished_tasks(
                connection,
                model.name,
                client,
                submitted_after=asked.submitted_after,
                submitted_before=asked.submitted_before,
                after=after,
                limit=LOOKED_UP,
            )
        if found:
            yield found
            after = found[-1].task_id
        if len(found) < LOOKED_UP:
            return


async def rows_of(
    request: ApiRequest, services: Services, task: Mapping[str, Any], media_type: str, wait: float
) -> Response:
    """Stream the rows of a task that has succeeded. Raises RequestRefused where it has not."""
    require_success(task, wait)
    model = await services.models.found(task["model"])
    if model is None:
        detail = f"Task {task['task_id']} was scored by another release, so its rows can be read in SQL only."
        raise RequestRefused(ProblemKind.UNKNOWN_MODEL, detail)
    source = RowSource(task["task_id"], task["n_inputs"])
    return services.results.respond(request, shape_of(model, request.caller), media_type, _one_group([source]))


ROWS = {
    200: {
        "description": "The rows, in the format that Accept names",
        "content": {
            NDJSON: {"schema": {"type": "string", "examples": ['{"report_id":"r-1001","score":0.93}\n']}},
            CSV: {"schema": {"type": "string", "examples": ["report_id,score\nr-1001,0.93\n"]}},
            ARROW: {"schema": {"type": "string", "format": "binary", "examples": [""]}},
        },
    }
}

OPERATIONS = [
    Operation(
        *("GET", "/models/{model}/predictions", stream_predictions, "tasks"),
        responses=ROWS,
        problems=(ProblemKind.UNKNOWN_MODEL, ProblemKind.UNKNOWN_TASK, ProblemKind.LISTS_BUSY),
        request={"parameters": described_parameters(RowFilter)},
        roles=EVERY_ROLE,
    ),
]
