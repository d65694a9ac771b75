"""What the triage desk is asked for: by whom, which model, and the filter that stands in the address."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.responses import Response

from console.form import FormField, fields_of
from console.page import Visit
from console.session import LASTS
from handler.problems import ProblemKind, RequestRefused
from handler.submit.outcomes import Declared, declared
from handler.triage.filters import FILTERED, OPERATORS, PLACE, ROW, condition
from handler.triage.leases import reviewed
from serving.contract import Spec
from store.holdings import Reviewer

NAME = 100
"""Characters of a reviewer's name."""

_COOKIE, _PATH = "millrace_reviewer", "/console/triage"


@dataclass(frozen=True)
class Desk:
    """A desk: the model that is reviewed, the filter as the address and as the API has it, and who reviews."""

    model: Declared
    stated: Mapping[str, str]
    filter: Mapping[str, Any]
    reviewer: Reviewer | None

    @property
    def name(self) -> str:
        return self.model.spec.name

    @property
    def path(self) -> str:
        return f"/console/triage/{quote(self.name, safe='')}"

    @property
    def query(self) -> str:
        """The filter as the end of an address."""
        return f"?{urlencode(self.stated)}" if self.stated else ""

    @property
    def who(self) -> Reviewer:
        """Raises RequestRefused where nobody has said who reviews."""
        if self.reviewer is None:
            raise RequestRefused(ProblemKind.INVALID_FORM, "Say first who reviews: the desk has a field for your name.")
        return self.reviewer


async def desk_of(visit: Visit) -> Desk:
    """Return the desk of an address. Raises RequestRefused for a model or filter that there is not."""
    model = await reviewed(visit.services, visit.request.path_params["model"])
    stated = {name: value.strip() for name, value in visit.request.query_params.items() if value.strip()}
    asked = filter_of(model.spec, stated)
    condition(model.spec, asked)
    return Desk(model, stated, asked, reviewer_of(visit))


async def reviewable(visit: Visit) -> list[str]:
    """Return the models whose predictions can be reviewed."""
    found = {name: await declared(visit.services, name) for name in visit.services.models.registry.models}
    return sorted(name for name, model in found.items() if model is not None and model.spec.score is not None)


def filter_of(spec: Spec, stated: Mapping[str, str]) -> dict[str, Any]:
    """Return the API's filter: `field=value` is a value, `field.ge=value` a bound. What cannot be stays as it is."""
    columns = (*spec.input_columns, *spec.output_columns)
    kinds: dict[str, str] = {name: kind for name, (_, kind) in (ROW | PLACE).items()}
    kinds |= {spec.public_names[column.name]: column.kind for column in columns}
    found: dict[str, Any] = {}
    for parameter, value in stated.items():
        name, _, bound = parameter.rpartition(".")
        if name and bound in OPERATORS:
            bounds = found.get(name)
            found[name] = {**(bounds if isinstance(bounds, dict) else {}), bound: _typed(kinds.get(name), value)}
        else:
            found[parameter] = _typed(kinds.get(parameter), value)
    return found


def _typed(kind: str | None, value: str) -> Any:
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    try:
        number = int(value) if kind in ("integer", "bigint") else float(value) if kind == "double" else None
    except ValueError:
        return value
    return value if number is None or not math.isfinite(number) else number


def filter_fields(spec: Spec) -> list[FormField]:
    """Return the fields of the inputs by which can be filtered; numbers get a field for each bound."""
    kinds = {spec.public_names[column.name]: column.kind for column in spec.input_columns}
    return [field for field in fields_of(spec, {}) if kinds[field.name] in FILTERED]


def reviewer_of(visit: Visit) -> Reviewer | None:
    """Return who reviews: whose name this client has given in this browser, or else the client of the key."""
    client, _, name = unquote(visit.request.cookies.get(_COOKIE, "")).partition("\n")
    if client != (visit.caller.client or "") or not _is_name(name):
        name = visit.caller.client or ""
    return Reviewer(name, visit.caller.client) if name else None


def remember(visit: Visit, response: Response, name: str) -> None:
    """Keep a reviewer's name as long as a session lasts. Raises RequestRefused."""
    if not _is_name(name):
        raise RequestRefused(ProblemKind.INVALID_FORM, f"Give a name of 1 to {NAME} printable characters.")
    value = quote(f"{visit.caller.client or ''}\n{name}", safe="")
    secure = visit.request.url.scheme == "https"
    path = visit.root + _PATH
    response.set_cookie(_COOKIE, value, LASTS, path=path, secure=secure, httponly=True, samesite="lax")


def _is_name(name: str) -> bool:
    return 1 <= len(name) <= NAME and name.isprintable()
