"""How good a model is on live traffic, as `millrace evaluate --live` has stored it: the handler has no numpy."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from handler.answer.evaluations import EvaluatedGroup, LiveEvaluation
from handler.auth.caller import LEADS
from handler.http.body import model_response
from handler.http.operation import Operation, success
from handler.http.parameters import described_parameters, validated
from handler.http.request import ApiRequest
from handler.problems import ProblemKind, RequestRefused
from handler.routes.versions import known_name
from handler.services import Services
from serving.plain import plain_error
from store import evaluations

GROUPINGS = ("all", "version", "week", "client", "slice")


def _known(words: str) -> str:
    if unknown := [word for word in words.split(",") if word not in GROUPINGS]:
        raise plain_error(f"{unknown[0]!r} is none of {', '.join(GROUPINGS)}")
    return words


class AskedGroupings(BaseModel):
    """Which groups to show."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[str, AfterValidator(_known)] = Field(
        "all",
        max_length=100,
        description="all, version, week, client or slice; several with commas between them",
        examples=["version,week"],
        json_schema_extra={"pattern": f"^({'|'.join(GROUPINGS)})(,({'|'.join(GROUPINGS)}))*$"},
    )


async def read_evaluation(request: ApiRequest, services: Services, client: str | None) -> Response:
    """Say how good a model is on live traffic: the figures that were computed last, naive and weighted.

    They are of the predictions of all clients.
    """
    asked = validated(AskedGroupings, request.query_params)
    model = await known_name(services, request.path_params["model"])
    async with services.lists.reading(request.caller) as connection:
        rows = await evaluations.last(connection, model, asked.by.split(","))
    if not rows:
        detail = f"No figures of {model} by {asked.by} are stored."
        raise RequestRefused(ProblemKind.NOT_EVALUATED, detail)
    groups = [EvaluatedGroup(by=row.grouping, group=row.group_name, **_fields(row._asdict())) for row in rows]
    return model_response(LiveEvaluation(model=model, groups=groups))


def _fields(row: dict[str, object]) -> dict[str, object]:
    return {name: row[name] for name in EvaluatedGroup.model_fields if name in row}


OPERATIONS = [
    Operation(
        *("GET", "/models/{model}/evaluation", read_evaluation, "models"),
        responses=success(LiveEvaluation, "The figures"),
        problems=(ProblemKind.UNKNOWN_MODEL, ProblemKind.NOT_EVALUATED, ProblemKind.LISTS_BUSY),
        request={"parameters": described_parameters(AskedGroupings)},
        roles=LEADS,
    ),
]
