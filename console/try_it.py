"""Score one input by a form, with the curl and the Python that do the same."""

import json
import shlex
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from console.form import fields_of, input_of
from console.page import Answer, Visit
from handler.auth.caller import SUBMITTERS
from handler.models import KnownModel, answered_fields
from handler.problems import ProblemKind, RequestRefused
from handler.routes.submissions import FLAGSHIP
from handler.submit import validation
from handler.submit.options import NO_OPTIONS
from handler.submit.submission import accept_and_wait
from handler.submit.validation import locate_single
from store import jobs
from store.states import FINAL, Status

RECENT = 5
"""Files that are listed."""

FIGURES = ("roc_auc", "average_precision", "accuracy", "macro_f1")
"""Of the evaluation, that stand beside a result: higher is better, and 1 is best."""

SHOWN = 400
"""Characters of a value in an example of a command: an image is a million."""


async def try_it(visit: Visit) -> Response:
    """Offer the models, or lead to the only one."""
    live = list(visit.services.models.live.values())
    if not live:
        return visit.render("try_none.html", here="try")
    first = next((model.name for model in live if model.name == FLAGSHIP), live[0].name)
    return visit.go_to(f"/console/try/{first}")


async def try_model(visit: Visit) -> Response:
    """Show the form of a model, and a place to drop a file."""
    model = visit.services.models.get(visit.request.path_params["model"])
    return await _page(visit, model)


async def score(visit: Visit) -> Response:
    """Score the input of the form, and show its outputs or what is wrong with it."""
    model = visit.services.models.get(visit.request.path_params["model"])
    spec = model.spec
    given = await visit.large_form([spec.public_names[column.name] for column in spec.input_columns])
    value = input_of(spec, given)
    try:
        visit.services.backlog.check()
        inputs = validation.validate(spec, model.manifest, [value], locate_single)
    except RequestRefused as refused:
        if refused.kind is not ProblemKind.INVALID_INPUT:
            raise
        return await _page(visit, model, given=given, errors=_by_field(refused.errors), refused=refused)
    wait = visit.services.settings.predict_wait_seconds
    client = visit.caller.client
    _, task = await accept_and_wait(visit.services, client, model, NO_OPTIONS, inputs, wait, locate_single)
    return await _page(
        visit, model, given=given, done=_done(visit, model, value, task), errors=_by_field(task.get("errors") or ())
    )


async def _page(visit: Visit, model: KnownModel, **more: Any) -> Response:
    values = {"given": None, "errors": {}, "refused": None, "done": None, **more}
    refused = values["refused"]
    async with visit.services.engine.connect() as connection:
        recent = await jobs.newest(connection, visit.caller.confined_to, None, RECENT)
    return visit.render(
        "try.html",
        refused.kind.status if refused else 200,
        here="try",
        model=model,
        models=list(visit.services.models.live),
        fields=fields_of(model.spec, values["given"]),
        recent=recent,
        evaluated=_evaluated(model),
        **values,
    )


def _evaluated(model: KnownModel) -> dict[str, float]:
    """Return the best known figures of how good the version was on data that its training did not see."""
    found = model.version.evaluation
    of_model = found["model"] if isinstance(found.get("model"), dict) else found
    return {name.replace("_", " "): of_model[name] for name in FIGURES if isinstance(of_model.get(name), float)}


def _by_field(errors: Any) -> dict[str, str]:
    """Return what is wrong by the name of the field, with which its pointer begins."""
    return {_first_part(error["pointer"]): error["detail"] for error in errors}


def _first_part(pointer: str) -> str:
    """Return the first part of a JSON pointer that is a URI fragment (RFC 6901, 6)."""
    first = unquote(pointer).removeprefix("#").removeprefix("/").partition("/")[0]
    return first.replace("~1", "/").replace("~0", "~")


def _done(visit: Visit, model: KnownModel, value: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    spec = model.spec
    names = [spec.public_names[name] for name in answered_fields(spec) if name != spec.key]
    outputs = {name: task[name][0] for name in names if task.get(name)}
    took = (task["finished_at"] - task["submitted_at"]).total_seconds() if task["finished_at"] else None
    cut = {name: _cut(one) for name, one in value.items()}
    return {
        "task": task,
        "outputs": outputs,
        "took": took,
        "ended": task["status"] in FINAL,
        "succeeded": task["status"] == Status.SUCCESS,
        "curl": _curl(visit, model.name, cut),
        "python": _python(visit, model.name, cut),
    }


def _cut(value: Any) -> Any:
    return f"{value[:SHOWN]}…" if isinstance(value, str) and len(value) > SHOWN else value


def _curl(visit: Visit, model: str, value: dict[str, Any]) -> str:
    key = "" if visit.services.settings.auth == "off" else ' \\\n  -H "Authorization: Bearer $KEY"'
    body = shlex.quote(json.dumps([value], ensure_ascii=False))
    address = shlex.quote(f"{_address(visit)}/models/{model}/submit")
    return f"curl -s {address} -H 'Content-Type: application/json'{key} \\\n  -d {body}"


def _python(visit: Visit, model: str, value: dict[str, Any]) -> str:
    key = "" if visit.services.settings.auth == "off" else ", key=KEY"
    fields = "".join(f"        {name!r}: {one!r},\n" for name, one in value.items())
    return (
        "from millrace_client import Client\n\n"
        f"client = Client({_address(visit)!r}{key})\n"
        f"rows = [\n    {{\n{fields}    }}\n]\n"
        f"print(client.score(rows, model={model!r}))"
    )


def _address(visit: Visit) -> str:
    url = visit.request.url
    return f"{url.scheme}://{url.netloc}{visit.root}"


PAGES: list[tuple[str, Answer]] = [("/console/try", try_it), ("/console/try/{model}", try_model)]
CHANGES: list[tuple[str, Answer]] = [("/console/try/{model}", score)]
ROLES = SUBMITTERS
