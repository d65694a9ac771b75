"""The models: versions live and past, card, schema, events; promote and roll back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from starlette.responses import Response

from console import model_quality, model_shadow
from console.page import Answer, Visit
from handler.answer.versions import Promotion, RollbackReason
from handler.auth.caller import OPERATORS, SUBMITTERS
from handler.models import KnownModel
from handler.routes import models as api
from handler.routes import versions
from handler.submit import validation
from serving.contract import Column
from serving.fields import bare_type, constraints
from store.model_tables import State

LATEST = 200
"""Versions and events of a model that its page shows."""


async def models(visit: Visit) -> Response:
    """List the models that are served, and those that have no live version."""
    loaded = await api.loaded_models(visit.services)
    known = visit.services.models
    served = [api.served(model, loaded) for model in known.live.values()]
    others = sorted(name for name in known.registry.models if name not in known.live)
    return visit.render("models.html", here="models", models=served, others=others, may_try=_may_try(visit))


async def model(visit: Visit) -> Response:
    """Show a model: its live version and what that takes and gives, every version, and every event."""
    name = await versions.known_name(visit.services, visit.request.path_params["model"])
    live = visit.services.models.live.get(name)
    card = api.card(live, await api.loaded_models(visit.services)) if live else None
    found, events = await versions.latest_of(visit.services, name, LATEST)
    return visit.render(
        "model.html",
        here="models",
        name=name,
        card=card,
        inputs=_fields(live, "input") if live else [],
        outputs=_fields(live, "output") if live else [],
        metrics=_evaluation(card.evaluation) if card else None,
        schema=json.dumps({"input": card.input, "output": card.output}, indent=2, ensure_ascii=False) if card else "",
        versions=list(reversed(found)),
        previous=_previous(events, live),
        events=list(reversed(events)),
        latest=LATEST,
        quality=await model_quality.quality(visit, name, live.version.version if live else None),
        figure=model_quality.figure,
        shadows=await model_shadow.shadows(visit, live),
        compared=model_shadow.NEWEST,
        top=model_shadow.TOP,
        may_change=visit.caller.role in OPERATORS,
        may_try=_may_try(visit),
        State=State,
    )


async def promote(visit: Visit) -> Response:
    """Make a version live."""
    name = await versions.known_name(visit.services, visit.request.path_params["model"])
    form = await _form(visit)
    excepted = [stripped for line in form.pop("excepted", "").splitlines() if (stripped := line.strip())]
    asked = validation.model_of(Promotion, {**form, "excepted": excepted})
    await versions.make_live(visit.services, name, asked, visit.caller.client or versions.ANONYMOUS)
    return visit.go_to(f"/console/models/{name}")


async def roll_back(visit: Visit) -> Response:
    """Make the version live that was live before."""
    name = await versions.known_name(visit.services, visit.request.path_params["model"])
    asked = validation.model_of(RollbackReason, await _form(visit))
    await versions.make_previous_live(visit.services, name, asked, visit.caller.client or versions.ANONYMOUS)
    return visit.go_to(f"/console/models/{name}")


async def _form(visit: Visit) -> dict[str, Any]:
    """Return the fields that are filled in."""
    return {name: value for name, value in (await visit.form()).items() if value}


def _may_try(visit: Visit) -> bool:
    return visit.caller.role in SUBMITTERS


def _previous(events: list[Any], live: KnownModel | None) -> str | None:
    """Return the version that a rollback is likely to bring back: the one that was replaced last."""
    replaced = [event.version for event in events if event.old_state == State.LIVE]
    return replaced[-1] if live and replaced else None


def _fields(known: KnownModel, which: str) -> list[dict[str, Any]]:
    """Describe the fields of a model's inputs or outputs for a table."""
    spec = known.spec
    fields = (spec.input if which == "input" else spec.output).model_fields
    columns = spec.input_columns if which == "input" else spec.output_columns
    return [
        {
            "name": spec.public_names[column.name],
            "type": _kind(column),
            "required": fields[column.name].is_required(),
            "limits": _limits(fields[column.name]),
            "about": fields[column.name].description or "",
        }
        for column in columns
    ]


def _kind(column: Column) -> str:
    return {"double": "number", "bigint": "integer", "bytes": "base64", "double[]": "numbers", "text[]": "texts"}.get(
        column.kind, column.kind
    )


_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}


def _limits(field: FieldInfo) -> str:
    kind = bare_type(field)
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    found = [
        f"{sign} {bound:,}"
        for rule in constraints(field)
        for name, sign in _SIGNS.items()
        if (bound := getattr(rule, name, None)) is not None
    ]
    return ", ".join(found)


@dataclass(frozen=True)
class EvaluationTable:
    """The numbers of an evaluation: some alone, the others as a metric of each of what was compared."""

    alone: dict[str, float]
    columns: list[str]
    rows: dict[str, dict[str, float]]


def _evaluation(evaluation: Mapping[str, Any]) -> EvaluationTable | None:
    alone = {_label(name): value for name, value in evaluation.items() if _is_number(value)}
    compared = {
        _label(name): {_label(key): value for key, value in group.items() if _is_number(value)}
        for name, group in evaluation.items()
        if isinstance(group, dict)
    }
    columns = [name for name, group in compared.items() if group]
    rows: dict[str, dict[str, float]] = {}
    for column in columns:
        for metric, value in compared[column].items():
            rows.setdefault(metric, {})[column] = value
    return EvaluationTable(alone, columns, rows) if alone or rows else None


def _label(name: str) -> str:
    return name.replace("_", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


PAGES: list[tuple[str, Answer]] = [("/console/models", models), ("/console/models/{model}", model)]
CHANGES: list[tuple[str, Answer]] = [
    ("/console/models/{model}/promote", promote),
    ("/console/models/{model}/rollback", roll_back),
]
