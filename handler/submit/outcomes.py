"""Reads outcomes in any format of inputs, and checks them against what their models declare."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from handler.http.request import ApiRequest
from handler.pointer import pointer
from handler.problems import MAX_FIELD_ERRORS
from handler.services import Services
from handler.submit import reading, validation
from registry.outcome_views import rules_of
from serving import wire
from serving.contract import MAX_INTEGER, NO_NUL, Spec
from serving.outcomes import MAX_KIND, OutcomeRules
from store.matching import KeyOf, key_of
from store.timestamps import YEARS

UUID_TEXT = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

AHEAD = timedelta(minutes=5)
"""By so much the clock of who decides may be ahead. A decision of next year would stand until then."""

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]


class NewOutcome(BaseModel):
    """What became known about a prediction: by its key, or by its task and position."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"model": "report_scorer", "key": "r-1", "outcome": "abuse", "decided_at": "2026-11-28T10:00:00Z"}
            ]
        },
    )

    decided_at: Annotated[
        AwareDatetime, Field(description="When it was decided, with offset", examples=["2026-11-28T10:00:00Z"])
    ]
    model: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            pattern=NO_NUL,
            description="The model; may be left out where the query has it",
            examples=["report_scorer"],
        ),
    ] = None
    key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=NO_NUL,
            description="The caller's own key of the prediction, or of several",
            examples=["r-1"],
        ),
    ] = None
    task_id: Annotated[
        str | None, Field(pattern=UUID_TEXT, description="The task, and with it the position, instead of a key")
    ] = None
    position: Annotated[
        int | None, Field(ge=0, le=MAX_INTEGER, description="Place of the prediction in the task, from 0")
    ] = None
    outcome: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_KIND,
            pattern=NO_NUL,
            description="One of the kinds that the model declares",
            examples=["abuse"],
        ),
    ] = None
    value: Annotated[float | None, Field(description="The outcome, of a model whose outcomes are numbers")] = None
    reviewer: Annotated[Name | None, Field(description="Who decided", examples=["ada"])] = None
    source: Annotated[
        Name | None, Field(description="The process or system that it comes from", examples=["moderation"])
    ] = None
    withdrawn: Annotated[
        bool, Field(description="Takes back what this reviewer and source have reported before; without an outcome")
    ] = False


OUTCOMES = Spec(name="outcomes", title="Outcomes", input=NewOutcome, output=NewOutcome, table="outcomes")
"""Outcomes are read as a model's inputs are: the same formats, and the same words about what is wrong."""


@dataclass(frozen=True)
class Declared:
    """What a model says of its outcomes, and where they find its predictions."""

    spec: Spec
    rules: OutcomeRules

    @property
    def key(self) -> KeyOf | None:
        return key_of(self.spec)


@dataclass(frozen=True)
class ReadOutcomes:
    """Valid outcomes, one value a column each, and the models that they are about."""

    columns: Mapping[str, Sequence[Any]]
    models: Mapping[str, Declared]


async def read_outcomes(request: ApiRequest, services: Services, model: str | None) -> ReadOutcomes:
    """Read the body; `model` is that of the rows that name none. Raises RequestRefused, and nothing is stored."""
    inputs = await reading.read_inputs(request, services.bodies, OUTCOMES, {})
    return await _read(services, inputs.payload, model)


async def outcomes_of(services: Services, values: Sequence[Mapping[str, Any]]) -> ReadOutcomes:
    """Read outcomes that JSON could hold. Raises RequestRefused, as for a body that has them."""
    inputs = validation.validate(OUTCOMES, {}, values, validation.locate_in_array)
    return await _read(services, inputs.payload, None)


async def _read(services: Services, payload: bytes, model: str | None) -> ReadOutcomes:
    columns: dict[str, Any] = dict(wire.unpack(OUTCOMES, [payload]))
    columns["model"] = [given or model for given in columns["model"]]
    models = {name: await declared(services, name) for name in set(columns["model"]) if name is not None}
    if not _is_usual(columns, models):
        validation.refuse_invalid(list(_faults(columns, models)))
    return ReadOutcomes(columns, {name: one for name, one in models.items() if one is not None})


async def declared(services: Services, model: str) -> Declared | None:
    """Return what a model says of its outcomes; None: there is no such model, or it declares none."""
    registry = services.models.registry
    if model not in registry.models:
        await services.models.refresh()  # it may be newer than the last look
    found = rules_of(registry, model)
    return None if found is None else Declared(*found)


def _is_usual(columns: Mapping[str, Sequence[Any]], models: Mapping[str, Declared | None]) -> bool:
    """Return whether the outcomes are all of kinds and by key, and nothing is wrong, as in most large requests."""
    found = {models.get(name) for name in set(columns["model"])}
    kinds = set(columns["outcome"])
    times = columns["decided_at"]
    return (
        all(one is not None and one.key is not None and kinds <= set(one.rules.kinds) for one in found)
        and not any(columns["withdrawn"])
        and all(set(columns[name]) == {None} for name in ("task_id", "position", "value"))
        and None not in columns["key"]
        and max(times) <= datetime.now(UTC) + AHEAD
        and min(times).year in YEARS
    )


def _faults(columns: Mapping[str, Sequence[Any]], models: Mapping[str, Declared | None]) -> Iterator[dict[str, str]]:
    """Yield what is wrong beyond the schema, each with its place, up to a few more than are listed."""
    latest, count = datetime.now(UTC) + AHEAD, 0
    names = ("model", "key", "task_id", "position", "outcome", "value", "withdrawn", "decided_at")
    for number, row in enumerate(zip(*(columns[name] for name in names), strict=True)):
        model, key, task_id, position, *said, decided_at = row
        for field, detail in (
            _wrong_model(model, models)
            or _wrong_place(models[model], model, key, task_id, position)
            or _wrong_outcome(models[model], *said)
            or _wrong_time(decided_at, latest)
        ):
            yield {"detail": detail, "pointer": pointer((number, field))}
            count += 1
        if count > MAX_FIELD_ERRORS:
            return


Wrong = list[tuple[str, str]]
"""Field and detail."""


def _wrong_model(model: str | None, models: Mapping[str, Declared | None]) -> Wrong:
    if model is None:
        return [("model", "Name the model here, or once for all in the query: ?model=report_scorer")]
    if models[model] is None:
        remedy = "add [outcomes] with kinds and a target to its model.toml, and add it again"
        return [("model", f"There is no model {model!r} that declares outcomes; {remedy}")]
    return []


def _wrong_place(found: Any, model: str, key: str | None, task_id: str | None, position: int | None) -> Wrong:
    if (task_id is None) != (position is None):
        return [("position" if position is None else "task_id", "Give task_id and position together")]
    if task_id is None and key is None:
        return [("key", "Name the prediction: give its key, or task_id and position")]
    if task_id is None and found.key is None:
        return [("key", f"The model {model} has no field for keys; give task_id and position")]
    return []


def _wrong_outcome(found: Any, outcome: str | None, value: float | None, withdrawn: bool) -> Wrong:
    rules: OutcomeRules = found.rules
    if withdrawn:
        return [("withdrawn", "A withdrawal has no outcome; leave it out")] if (outcome, value) != (None, None) else []
    if rules.number:
        if outcome is not None:
            return [("outcome", "The model's outcomes are numbers; give value instead")]
        return [("value", "Required field is missing")] if value is None else []
    if value is not None:
        return [("value", "The model's outcomes are no numbers; give outcome instead")]
    if outcome not in rules.kinds:
        kinds = ", ".join(map(repr, rules.kinds[:20])) + (", …" if len(rules.kinds) > 20 else "")
        return [("outcome", "Required field is missing" if outcome is None else f"Must be one of {kinds}")]
    return []


def _wrong_time(decided_at: datetime, latest: datetime) -> Wrong:
    if decided_at > latest:
        return [("decided_at", "The time is in the future; check the clock and the offset")]
    if decided_at.year not in YEARS:
        return [("decided_at", f"Give a year from {YEARS[0]} to {YEARS[-1]}")]
    return []
